"""`make verify-backup`: a broker of its own starts on an archive, and holds what it says."""

from __future__ import annotations

import argparse
from pathlib import Path

from broker.backup.backups import Report, archive_calls, drill_calls
from cli.backup import SECONDS, declared
from cli.docker import image_for_root
from cli.exit_codes import finish
from cli.run_on_host import run_scripts
from cli.stack import Refusal, Stack, arguments


def main() -> None:
    """Print what the broker found in it."""
    given = archive_arguments("Try a backup.").parse_args()
    stack = Stack.read(given.stack)
    report = drill(stack, given.archive, read_identity(given.identity))
    print(f"{report.facts['archive']}: whole, of {report.facts['written']}")
    print(f"A broker of its own starts on it and finds {report.counts()}.")
    if ended := report.ended():
        print(ended)
    print(
        f"It lets its own user in and nobody without a password; {report.facts['logins']} logins' "
        "hashes are there."
    )


def archive_arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser of what names an archive."""
    parser = arguments(description)
    parser.add_argument("--archive", default="latest")
    parser.add_argument("--identity", type=Path)
    return parser


def read_identity(path: Path | None) -> str:
    """
    Return the text of an age identity file.

    Raises:
        Refusal: it can't be read.

    """
    if path is None:
        return ""
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as wrong:
        raise Refusal(f"IDENTITY={path}: {wrong}") from None


def drill(stack: Stack, archive: str, identity: str) -> Report:
    """
    Run ``host/commands/verify_backup.sh``.

    Raises:
        Refusal: the archive is not what it ought to be.

    """
    way, broker = stack.transport, stack.settings.broker
    done = run_scripts(
        stack,
        ("lib/database.sh", "lib/archive.sh", "commands/verify_backup.sh"),
        [
            *archive_calls(broker, declared(stack), stack.name, way.socket, identity),
            *drill_calls(broker, archive),
        ],
        action="apply",
        become=broker.become,
        image=image_for_root(stack),
        seconds=SECONDS,
    )
    if done.returncode:
        raise Refusal(f"host {way.host}: {done.stderr.strip()}")
    return Report.parse(done.stdout)


if __name__ == "__main__":
    finish(main)
