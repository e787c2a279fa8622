"""How a command ends: with 0, or with a sentence on stderr and 1."""

import sys
from collections.abc import Callable

from ops.stack import Refusal
from setup.backend import NoBackend
from setup.daemon import DaemonError
from setup.engine import NoEngineError
from setup.image import ImageError
from setup.progress import FailedError


def finish(main: Callable[[], None]) -> None:
    """Run *main*; a refusal is for a person, so it is shown without a traceback."""
    try:
        main()
    except (Refusal, NoBackend, NoEngineError, DaemonError, ImageError, FailedError) as wrong:
        sys.exit(f"error: {wrong}")
    except KeyboardInterrupt:
        sys.exit(130)
