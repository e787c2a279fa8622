"""How a command ends: 0 where all is well, else with a sentence on stderr and 1 or 2."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from cli.errors import FAILED, CommandError, FindingError, NotPerformedError

INTERRUPTED = 130

P = ParamSpec("P")


def refusals() -> tuple[type[Exception], ...]:
    """Return what is for a person to mend; anything else is a bug."""
    # Imported here: a command that ends well needs none of it.
    from bootstrap.backend import NoBackend
    from bootstrap.daemon import DaemonError
    from bootstrap.engine import NoEngineError
    from bootstrap.image import ImageError
    from bootstrap.progress import FailedError

    return (CommandError, NoBackend, NoEngineError, DaemonError, ImageError, FailedError)


def finish(main: Callable[[], None]) -> None:
    """Run *main*; a refusal is for a person, so it is shown without a traceback."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as wrong:
        if not isinstance(wrong, refusals()):
            raise
        print(f"error: {wrong}", file=sys.stderr)
        sys.exit(getattr(wrong, "exit_code", FAILED))


def asks(command: Callable[P, None]) -> Callable[P, None]:
    """
    Mark *command* as one that only asks.

    Cron and CI then tell a broker that is not well (1) from one that nobody could ask (2).
    """

    @wraps(command)
    def asked(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except Exception as wrong:
            if isinstance(wrong, FindingError) or not isinstance(wrong, refusals()):
                raise
            raise NotPerformedError(str(wrong)) from None

    return asked
