"""The errors that a command ends with: one message for a person, and an exit code."""

FAILED, NOT_PERFORMED = 1, 2
"""
Exit codes.

1: a finding or a failure. 2: the broker could not be asked, or the command was typed wrongly.
"""


class CommandError(Exception):
    """A command failed; the message says what is wrong and how to fix it."""

    exit_code = FAILED


class FindingError(CommandError):
    """A command did its work and found something wrong."""


class NotPerformedError(CommandError):
    """The command observed nothing and changed nothing."""

    exit_code = NOT_PERFORMED
