"""`python -m bench.soak`: a server of its own for a run, of which nothing is left at its end."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.site.server import child_of, on_a_server
from bench.soak.plan import Plan
from bootstrap.daemon import ensure_daemon
from bootstrap.engine import ensure_engine
from bootstrap.image import FALLBACK_SUITE, fallback_image
from cli.exit_codes import finish
from cli.refusals import Refusal

ALONE = ("--pid", "--fork", "--kill-child", "--mount-proc")
"""When the run's first process ends, however it does, the kernel ends all the others."""
WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""Stands before what must not outlive this process."""


def main() -> None:
    """
    Run, and end with 1 where an acknowledged message was lost that autosave had promised to keep.

    Raises:
        Refusal: a figure is out of its bounds, or this login can't make a server.

    """
    parser = argparse.ArgumentParser(description="Disturb a broker under load, and count.")
    parser.add_argument("--minutes", default="10")
    parser.add_argument("--clients", default="200")
    parser.add_argument("--out", type=Path, help="a file for the report")
    given = parser.parse_args()
    Plan.parse(given.minutes, given.clients)
    if given.out is not None and not given.out.resolve().parent.is_dir():
        raise Refusal(f"--out {given.out}: its folder is not there. Make it, or name another file.")
    if os.geteuid() != 0:
        raise Refusal(
            "the soak makes network and mount namespaces, a Docker daemon and a small disk in "
            "them: it needs root. Run it with sudo, or in a virtual machine of your own."
        )
    # What needs the network is done before: the server has none but its own.
    ensure_engine()
    daemon = ensure_daemon()
    image = fallback_image(FALLBACK_SUITE, daemon).name
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        tar = folder / "image.tar"
        daemon.ask("save", "--output", str(tar), image)
        code = run(folder, tar, "--minutes", given.minutes, "--clients", given.clients)
        report = folder / "report.md"
        if given.out is not None and report.exists():
            given.out.write_bytes(report.read_bytes())
    sys.exit(code)


def run(folder: Path, image: Path, *words: str) -> int:
    """Return the exit code of a run; no process of it is left, also where we are told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    process = subprocess.Popen(
        [*WITH_US, *on_a_server(folder, *ALONE), sys.executable, "-m", "bench.soak.run",
         "--folder", str(folder), "--image", str(image), *words],
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            # unshare(1) waits for the first process, and that ends after all the others.
            os.kill(child_of(process.pid), signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    finish(main)
