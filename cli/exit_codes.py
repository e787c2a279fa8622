"""How a command ends: with 0, or with a sentence on stderr and 1."""

import sys
from collections.abc import Callable

from bootstrap.backend import NoBackend
from bootstrap.daemon import DaemonError
from bootstrap.engine import NoEngineError
from bootstrap.image import ImageError
from bootstrap.progress import FailedError
from cli.stack import Refusal

REFUSALS = (Refusal, NoBackend, NoEngineError, DaemonError, ImageError, FailedError)
"""What is for a person to mend; anything else is a bug."""


def finish(main: Callable[[], None]) -> None:
    """Run *main*; a refusal is for a person, so it is shown without a traceback."""
    try:
        main()
    except REFUSALS as wrong:
        sys.exit(f"error: {wrong}")
    except KeyboardInterrupt:
        sys.exit(130)
