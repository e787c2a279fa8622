"""Run a command of brokerctl in this process: its error is an exception for the test."""

import cli.app


def types_command(*words: str) -> None:
    """Run the command, and return if its exit code is 0."""
    try:
        cli.app.run(list(words))
    except SystemExit as ended:
        if ended.code:
            raise
