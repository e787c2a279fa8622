"""The judge sees each effect on files outside, and none where nothing happened."""

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
    """Canaries on a file system that notes each read, where everybody may come by."""
    disk = Path(tempfile.mkdtemp(prefix="judged-"))
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "strictatime,mode=0755", "t", str(disk)], check=True
    )
    disk.chmod(0o755)
    made = disk / "outside"
    make_canaries(made, ["mosquitto.db", "config"])
    yield made
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
    disk.rmdir()


def await_tick(folder):
    """File times are as coarse as the kernel's clock: wait until it has gone on."""
    probe = folder / "probe"
    probe.touch()
    first = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == first:
        probe.unlink()
        probe.touch()
    probe.unlink()


def seen_of(outside, act):
    before = prepare(outside)
    await_tick(outside.parent)
    act()
    read = times_of_reading(before)
    return [each.replace(f"{outside}/", "") for each in effects(before, read, look(outside))]


def write(path, text):
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


EFFECTS = {
    "read file": lambda it: (it / "file").read_text(),
    "written file": lambda it: write(it / "file", "more"),
    "mode 0600 to 0644 file": lambda it: (it / "file").chmod(0o644),
    "owner 0:0 to 4713:4713 file": lambda it: os.chown(it / "file", NOBODY, NOBODY),
    "deleted folder/mosquitto.db": lambda it: (it / "folder" / "mosquitto.db").unlink(),
    "created absent/new": lambda it: (it / "absent" / "new").touch(),
    "linked file": lambda it: os.link(it / "file", it.parent / "another"),
    "read folder": lambda it: list((it / "folder").iterdir()),
    "replaced file": lambda it: (
        shutil.copy(it / "file", it / "f") and (it / "f").rename(it / "file")
    ),
    "attributes file": lambda it: os.chown(it / "file", 0, 0),
}


@pytest.mark.parametrize("effect", EFFECTS)
def test_each_effect_is_seen(outside, effect):
    assert effect in seen_of(outside, lambda: EFFECTS[effect](outside))


def test_nothing_is_seen_where_nothing_happened(outside):
    def harmless():
        (outside / "file").lstat()
        (outside.parent / "beside").write_text("x")
        (outside.parent / "link").symlink_to(outside / "file")
        (outside.parent / "link").lstat()

    assert seen_of(outside, harmless) == []
    assert seen_of(outside, lambda: None) == []


def scanned(folder, *secrets):
    done = subprocess.run(
        scan_argv(NOBODY, NOBODY, [folder]),
        input="".join(f"{each}\n" for each in secrets),
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    return {(index, path.rpartition("/")[2]) for index, path in leaks(done.stdout)}


def test_a_secret_is_found_where_that_user_can_read_it_and_nowhere_else(outside):
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


def test_names_are_noticed_whoever_uses_them(tmp_path):
    with watched([tmp_path]) as noticed:
        code = (
            "import os, sys; os.mkdir(sys.argv[1]); open(sys.argv[1] + '/x', 'w'); os.rmdir('/no')"
        )
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "made")], check=False, capture_output=True
        )
        (tmp_path / "made" / "x").rename(tmp_path / "y")
    assert {f"{tmp_path}/made", f"{tmp_path}/made/x", f"{tmp_path}/y"} <= noticed


def test_listening_ends_at_once(tmp_path):
    began = time.monotonic()
    with watched([tmp_path]) as noticed:
        pass
    assert noticed == set()
    assert time.monotonic() - began < 60
