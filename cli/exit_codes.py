"""Exit codes of commands: 0 for success, else 1 or 2 and an error message on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from cli.errors import FAILED, CommandError, FindingError, NotPerformedError

INTERRUPTED = 130

P = ParamSpec("P")


def expected_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that a person can fix; any other exception is a bug."""
    # Imported here, because a command that succeeds needs none of these.
    from bootstrap.broker_image import ImageError
    from bootstrap.docker_daemon import DaemonError
    from bootstrap.progress import FailedError
    from bootstrap.pulumi_backend import NoBackend
    from bootstrap.pulumi_engine import NoEngineError

    return (CommandError, NoBackend, NoEngineError, DaemonError, ImageError, FailedError)


def finish(main: Callable[[], None]) -> None:
    """Run *main*, and exit on an expected error with its message and without a traceback."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not isinstance(error, expected_errors()):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", FAILED))


def as_query(command: Callable[P, None]) -> Callable[P, None]:
    """
    Make *command* exit with 2 for every error except a finding.

    Cron and CI then distinguish an unhealthy broker (1) from one that could not be asked (2).
    """

    @wraps(command)
    def query(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except Exception as error:
            if isinstance(error, FindingError) or not isinstance(error, expected_errors()):
                raise
            raise NotPerformedError(str(error)) from None

    return query
