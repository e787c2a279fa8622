"""`python -m bench.soak`: run a soak test on an isolated server, and remove the server."""

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
from bootstrap.broker_image import FALLBACK_SUITE, fallback_image
from bootstrap.docker_daemon import ensure_daemon
from bootstrap.pulumi_engine import ensure_engine
from cli.errors import CommandError
from cli.exit_codes import finish

PID_NAMESPACE = ("--pid", "--fork", "--kill-child", "--mount-proc")
"""When the first process of the namespace ends, the kernel kills all others."""
DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
"""An argv prefix for processes that must end with this one."""


def main() -> None:
    """
    Run the test; exit with 1 if a message was lost that is covered by the guarantee of autosave.

    Raises:
        CommandError: an option is invalid, or this user cannot create a server.

    """
    parser = argparse.ArgumentParser(description="Disturb a broker under load, and count.")
    parser.add_argument("--minutes", default="10")
    parser.add_argument("--clients", default="200")
    parser.add_argument("--out", type=Path, help="a file for the report")
    options = parser.parse_args()
    Plan.parse(options.minutes, options.clients)
    if options.out is not None and not options.out.resolve().parent.is_dir():
        raise CommandError(
            f"--out {options.out}: the folder does not exist. Create it, or name another file."
        )
    if os.geteuid() != 0:
        raise CommandError(
            "the soak test creates network and mount namespaces, a Docker daemon and a small disk: "
            "it needs root. Run it with sudo, or in a virtual machine."
        )
    # Before the server exists, which has no access to other networks.
    ensure_engine()
    daemon = ensure_daemon()
    image = fallback_image(FALLBACK_SUITE, daemon).name
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        tar = folder / "image.tar"
        daemon.ask("save", "--output", str(tar), image)
        code = run(folder, tar, "--minutes", options.minutes, "--clients", options.clients)
        report = folder / "report.md"
        if options.out is not None and report.exists():
            options.out.write_bytes(report.read_bytes())
    sys.exit(code)


def run(folder: Path, image: Path, *words: str) -> int:
    """Return the exit code of a run; kill all its processes, also on SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    server = on_a_server(folder, *PID_NAMESPACE)
    process = subprocess.Popen(
        [*DIE_WITH_PARENT, *server, sys.executable, "-m", "bench.soak.run",
         "--folder", str(folder), "--image", str(image), *words],
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            # unshare(1) waits for the first process, which ends after all others.
            os.kill(child_of(process.pid), signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    finish(main)
