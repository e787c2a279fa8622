"""A command of brokerctl, typed in this process: a refusal is an exception that a test can name."""

import cli.app


def types_command(*words: str) -> None:
    """Run it; one that ends well returns."""
    try:
        cli.app.run(list(words))
    except SystemExit as ended:
        if ended.code:
            raise
