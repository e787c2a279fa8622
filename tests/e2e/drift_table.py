"""What somebody does to the objects on a host, and the table of docs/reference/drift.md."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from site_under_test import Site

STRANGER = 4711
"""A uid that owns nothing of a broker."""


@dataclass(frozen=True)
class Recorded:
    """An object in the records of a broker (host/lib/applied.sh)."""

    kind: str
    path: Path

    def state(self) -> tuple[int, int, int, bytes]:
        """Return mode, owner, group and content; without the content that others write."""
        found = self.path.lstat()
        content = b"" if self.kind in ("folder", "written") else self.path.read_bytes()
        return found.st_mode, found.st_uid, found.st_gid, content


def read_records(folder: Path) -> list[Recorded]:
    """Return the files and folders in all records below *folder*, without absent ones."""
    lines = [line for record in sorted(folder.iterdir()) for line in record.read_text().split("\n")]
    fields = [line.split(" ", 6) for line in lines if line.count(" ") >= 6]
    return [
        Recorded(kind=kind, path=Path(path))
        for kind, *_, path in fields
        if kind not in ("enabled", "absent", "container")
    ]


def _edit(path: Path) -> None:
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.write(b"#" if content[:1] != b"#" else b"!")


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\n# by hand\n")


def _replace_by_link(path: Path) -> None:
    # Elsewhere: logrotate and cron read every file in their folders.
    target = Path(tempfile.mkdtemp(prefix="sentient-mqtt-drift-"), path.name)
    shutil.move(path, target)
    path.symlink_to(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "theirs").write_text("kept")


def _replace_by_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("kept")


FILE_CHANGES: Mapping[str, Callable[[Path], None]] = {
    "edited": _edit,
    "appended": _append,
    "emptied": lambda path: os.truncate(path, 0),
    "mode": lambda path: path.chmod(0o666),
    "owner": lambda path: os.chown(path, STRANGER, STRANGER),
    "symlink": _replace_by_link,
    "removed": _remove,
    "replaced by a folder": _replace_by_folder,
}

FOLDER_CHANGES: Mapping[str, Callable[[Path], None]] = {
    "mode": lambda path: path.chmod(0o777),
    "owner": lambda path: os.chown(path, STRANGER, STRANGER),
    "symlink": _replace_by_link,
    "removed": _remove,
    "replaced by a file": _replace_by_file,
}


CHANGES = {"folder": FOLDER_CHANGES}
"""The changes by kind of object; ``FILE_CHANGES`` for every other kind."""


def changes_of(recorded: Recorded) -> Mapping[str, Callable[[Path], None]]:
    """Return what somebody may do to the object, by name."""
    changes = CHANGES.get(recorded.kind, FILE_CHANGES)
    # The broker writes its log, and a command the state of the rules.
    without = {"edited", "appended", "emptied"} if recorded.kind == "written" else set()
    # With the folder of a certificate, the certificate is gone.
    if recorded.kind == "folder" and "tls" in recorded.path.parts:
        without = {"symlink", "removed"}
    return {name: change for name, change in changes.items() if name not in without}


def render_table(rows: Iterable[tuple[str, Mapping[str, str]]]) -> str:
    """Return the rows, by object and change, as a Markdown table."""
    changes = [*FILE_CHANGES, "replaced by a file"]
    lines = [f"| object | {' | '.join(changes)} |", f"| --- |{' --- |' * len(changes)}"]
    lines += [
        f"| {name} | {' | '.join(cells.get(change, '-') for change in changes)} |"
        for name, cells in rows
    ]
    return "\n".join(lines) + "\n"


def assert_one_up_repairs(site: Site) -> None:
    """
    Change files, a folder, the firewall and the container.

    A preview names them, and one `up` repairs them.
    """
    broker = site.settings.broker
    acl, folder = (
        Path(broker.folders.config, broker.files.acl),
        Path(broker.folders.config, "health"),
    )
    env_file = Path(broker.env_files[0].path)
    before = acl.read_text()
    _append(acl)
    folder.chmod(0o777)
    env_file.unlink()
    restart = site.inspect()["HostConfig"]["RestartPolicy"]
    site.docker("update", "--restart", "no", site.container)
    subprocess.run(["nft", "flush", "table", "inet", f"sentient-mqtt-{site.container}"], check=True)

    preview = site.preview().output
    for words in (f"{acl} has other content", f"{folder} has mode 777", f"{env_file} was removed"):
        assert words in preview
    assert f"rules for {site.container} are changed on the host" in preview
    assert "restart is no, not unless-stopped" in preview
    with site.client("admin") as unaffected:
        site.up()
        assert unaffected.disconnected is None

    assert acl.read_text() == before
    assert site.inspect()["HostConfig"]["RestartPolicy"] == restart
    assert (folder.stat().st_mode & 0o777, env_file.exists()) == (0o750, True)
    site.up("--expect-no-changes")
