"""What a command refuses, and the exit code that it ends with then."""

FAILED, NOT_ASKED = 1, 2
"""Exit codes: a finding or a failure; nobody could ask, or the command was typed wrongly."""


class Refusal(Exception):
    """Something a person has to mend first; its text says what and how."""

    exit_code = FAILED


class Finding(Refusal):
    """What was asked about is not as it ought to be."""


class NotAsked(Refusal):
    """The command has looked at nothing and changed nothing."""

    exit_code = NOT_ASKED
