"""Run a command of brokerctl in this process: its error is an exception for the test."""

import cli.app


def types_command(*words: str) -> None:
    """Run it; one that ends well returns."""
    try:
        cli.app.run(list(words))
    except SystemExit as ended:
        if ended.code:
            raise
