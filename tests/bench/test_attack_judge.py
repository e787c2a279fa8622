"""The judge detects every effect on files outside, and no effect without a change."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bench.attacks.inotify import watched
from bench.attacks.judge import (
    MARK,
    effects,
    leaks,
    look,
    make_canaries,
    prepare,
    scan_argv,
    times_of_reading,
)

NOBODY = 4713


@pytest.fixture
def outside():
    """Canaries in a folder that all users can enter, on a file system with access times."""
    disk = Path(tempfile.mkdtemp(prefix="judged-"))
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "strictatime,mode=0755", "t", str(disk)], check=True
    )
    disk.chmod(0o755)
    canaries = disk / "outside"
    make_canaries(canaries, ["mosquitto.db", "config"])
    yield canaries
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
    disk.rmdir()


def await_tick(folder):
    """Wait until the kernel's clock of file times has advanced."""
    probe = folder / "probe"
    probe.touch()
    first = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == first:
        probe.unlink()
        probe.touch()
    probe.unlink()


def effects_of(outside, act):
    before = prepare(outside)
    await_tick(outside.parent)
    act()
    read = times_of_reading(before)
    return [effect.replace(f"{outside}/", "") for effect in effects(before, read, look(outside))]


def write(path, text):
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


EFFECTS = {
    "read file": lambda path: (path / "file").read_text(),
    "written file": lambda path: write(path / "file", "more"),
    "mode 0600 to 0644 file": lambda path: (path / "file").chmod(0o644),
    "owner 0:0 to 4713:4713 file": lambda path: os.chown(path / "file", NOBODY, NOBODY),
    "deleted folder/mosquitto.db": lambda path: (path / "folder" / "mosquitto.db").unlink(),
    "created absent/new": lambda path: (path / "absent" / "new").touch(),
    "linked file": lambda path: os.link(path / "file", path.parent / "another"),
    "read folder": lambda path: list((path / "folder").iterdir()),
    "replaced file": lambda path: (
        shutil.copy(path / "file", path / "f") and (path / "f").rename(path / "file")
    ),
    "attributes file": lambda path: os.chown(path / "file", 0, 0),
}


@pytest.mark.parametrize("effect", EFFECTS)
def test_every_effect_is_detected(outside, effect):
    assert effect in effects_of(outside, lambda: EFFECTS[effect](outside))


def test_no_effect_is_detected_without_a_change(outside):
    def harmless():
        (outside / "file").lstat()
        (outside.parent / "beside").write_text("x")
        (outside.parent / "link").symlink_to(outside / "file")
        (outside.parent / "link").lstat()

    assert effects_of(outside, harmless) == []
    assert effects_of(outside, lambda: None) == []


def scanned(folder, *secrets):
    done = subprocess.run(
        scan_argv(NOBODY, NOBODY, [folder]),
        input="".join(f"{secret}\n" for secret in secrets),
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    return {(index, path.rpartition("/")[2]) for index, path in leaks(done.stdout)}


def test_a_secret_is_found_only_in_files_that_the_user_can_read(outside):
    folder = outside.parent / "product"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "shown").write_text("xx first yy\n")
    (folder / "hidden").write_text("second\n")
    (folder / "hidden").chmod(0o600)
    (folder / "link").symlink_to(outside / "file")
    os.mkfifo(folder / "fifo")
    (folder / "a.tar.gz").write_bytes(b"\x1f\x8b and more")

    assert scanned(folder, "first", "second", MARK) == {(0, "shown"), (-1, "a.tar.gz")}


def test_names_that_another_process_uses_are_recorded(tmp_path):
    with watched([tmp_path]) as used:
        code = (
            "import os, sys; os.mkdir(sys.argv[1]); open(sys.argv[1] + '/x', 'w'); os.rmdir('/no')"
        )
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "made")], check=False, capture_output=True
        )
        (tmp_path / "made" / "x").rename(tmp_path / "y")
    assert {f"{tmp_path}/made", f"{tmp_path}/made/x", f"{tmp_path}/y"} <= used


def test_watching_ends_without_delay(tmp_path):
    began = time.monotonic()
    with watched([tmp_path]) as used:
        pass
    assert used == set()
    assert time.monotonic() - began < 60
