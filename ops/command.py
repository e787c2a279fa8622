"""How a command ends: with 0, or with a sentence on stderr and 1."""

import sys
from collections.abc import Callable

from ops.stack import Refusal
from setup.backend import NoBackend
from setup.daemon import DaemonError
from setup.engine import NoEngineError
from setup.image import ImageError
from setup.progress import FailedError

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
