"""Remember that an `up` began and did not succeed: the state may be ahead of the broker."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from bootstrap import folders
from bootstrap.pulumi_backend import state_folder
from cli.stack import Stack


@contextmanager
def unfinished(stack: Stack, environ: Mapping[str, str]) -> Iterator[None]:
    """Mark the stack until the block ends without an error."""
    mark = _mark(stack, environ)
    mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark.touch()
    yield
    mark.unlink(missing_ok=True)


def warn_if_unfinished(stack: Stack, environ: Mapping[str, str]) -> None:
    """Print on stderr that the broker may refuse the passwords of the state."""
    if _mark(stack, environ).exists():
        print(
            f"The last `up` of stack {stack.name} from this machine did not succeed: the broker "
            "may still have the former password, and refuse this one. Run ./brokerctl up "
            f"--stack {stack.name}; which logins work: ./brokerctl check --stack {stack.name}",
            file=sys.stderr,
        )


def _mark(stack: Stack, environ: Mapping[str, str]) -> Path:
    """Return the file that marks a stack, one for each state of it."""
    name = sha256(f"{state_folder(stack.name, environ)}".encode()).hexdigest()[:16]
    return folders.state_path() / "unfinished" / f"{stack.name}-{name}"
