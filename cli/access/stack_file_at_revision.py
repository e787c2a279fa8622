"""Read a stack file as it was at another revision of this repository."""

import subprocess
from pathlib import Path

from cli.errors import NotPerformedError
from cli.stack import ROOT


def stack_file_at(revision: str, name: str, folder: Path = ROOT) -> str | None:
    """
    Return the text of ``Pulumi.<name>.yaml`` at *revision*, or None if there was no such file.

    Raises:
        NotPerformedError: this repository has no such revision.

    """
    commit = _git(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if commit.returncode:
        raise NotPerformedError(
            f"revision {revision!r}: no such revision here. Fetch it (git fetch origin "
            f"{revision}), or name another."
        )
    shown = _git(folder, "show", f"{commit.stdout.strip()}:./Pulumi.{name}.yaml")
    return None if shown.returncode else shown.stdout


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False
    )
