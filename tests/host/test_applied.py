"""A command records what it applied, and the comparison with the host names each difference."""

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from host_scripts import host_scripts
from host_under_test import call

from broker.host.script_calls import Record, render_stdin

PUT = "lib/put_files.sh"


@pytest.fixture
def container():
    name = f"unit-{secrets.token_hex(4)}"
    yield name
    shutil.rmtree(f"/etc/sentient-mqtt/{name}", ignore_errors=True)


@pytest.fixture
def applied(host, container, tmp_path):
    """Return ``apply(revision, action)``, which puts two files in place and records them."""
    folder = tmp_path / "srv"
    folder.mkdir()

    def apply(revision="1", action="apply", **texts):
        record = Record(container=container, component="files", revision=revision)
        calls = [
            call("put", folder / name, "0600", 1883, 1884, text=f"{text}\n")
            for name, text in (texts or {"acl": "rules", "passwd": "hashes"}).items()
        ]
        return host.run(PUT, *calls, action=action, record=record)

    apply.folder = folder
    assert apply().returncode == 0
    return apply


@pytest.fixture
def differences(host, container):
    def compare(*components):
        done = host.run(
            "commands/drift.sh",
            call("compare", container, *(components or ("files",))),
            action="look",
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return compare


def test_unchanged_host_does_not_differ(applied, differences):
    assert differences() == ["applied files=1"]


def test_record_is_for_root_only_and_has_no_content(applied, container):
    record = Path("/etc/sentient-mqtt", container, "applied", "files")
    assert record.stat().st_mode & 0o777 == 0o600
    assert record.parent.stat().st_mode & 0o777 == 0o700
    assert "hashes" not in record.read_text()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda path: path.write_text("evil\n"), "has other content (changed 20"),
        (lambda path: path.write_text(""), "was emptied (changed 20"),
        (lambda path: path.chmod(0o644), "has mode 644, not 600"),
        (lambda path: os.chown(path, 0, 0), "belongs to 0:0, not 1883:1884"),
        (lambda path: path.unlink(), "was removed"),
        (
            lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
            "was replaced by a symbolic link (changed 20",
        ),
        (lambda path: (path.unlink(), path.mkdir()), "was replaced by a directory (changed 20"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "was replaced by a fifo (changed 20"),
    ],
)
def test_difference_is_named_and_the_next_run_repairs_it(applied, differences, change, what):
    acl = applied.folder / "acl"
    change(acl)

    first, found = differences()

    assert first == "applied files=1"
    assert found.startswith(f"differs files:{acl}={what}")
    assert applied("2").returncode == 0
    assert differences() == ["applied files=2"]
    assert acl.read_text() == "rules\n"


def test_folder_in_place_of_a_file_is_kept_beside_it(applied, differences):
    acl = applied.folder / "acl"
    acl.unlink()
    acl.mkdir()
    (acl / "theirs").write_text("kept")

    assert applied("2").returncode == 0

    (moved,) = applied.folder.glob("acl.sentient-mqtt-moved-*")
    assert (moved / "theirs").read_text() == "kept"


def test_folder_of_another_program_is_never_moved(host, applied):
    theirs = applied.folder / "other"
    theirs.mkdir()

    done = applied("2", other="text")

    assert done.returncode == 1
    assert f"{theirs}: is a folder; move it away" in done.stderr
    assert theirs.is_dir()


def test_target_of_a_link_is_neither_read_nor_changed(applied, tmp_path):
    target = tmp_path / "target"
    target.write_text("theirs")
    (applied.folder / "acl").unlink()
    (applied.folder / "acl").symlink_to(target)

    assert applied("2").returncode == 0

    assert target.read_text() == "theirs"
    assert not (applied.folder / "acl").is_symlink()


def test_folder_that_others_may_write_is_not_read(applied, differences):
    applied.folder.chmod(0o777)

    found = differences()

    assert all("can't be compared: users other than root may write" in line for line in found[1:])
    assert len(found) == 3


def test_missing_record_has_the_time(differences):
    (found,) = differences("files")

    word, clock = found.removeprefix("applied files=").split()
    assert (word, int(clock) > 1_000_000_000) == ("never", True)


def test_removal_deletes_the_record(applied, container):
    applied(action="remove")

    assert not Path("/etc/sentient-mqtt", container).exists()


def test_failed_run_keeps_the_former_record(applied, differences):
    (applied.folder / "other").mkdir()
    (applied.folder / "acl").chmod(0o644)

    assert applied("2", acl="rules", other="text").returncode == 1

    first, found = differences()
    assert first == "applied files=1"
    assert "has mode 644" in found


def test_calls_without_a_record_keep_none(host, tmp_path):
    done = host.run(PUT, call("put", tmp_path / "acl", "0600", 0, 0, text="rules\n"))

    assert (done.returncode, (tmp_path / "acl").read_text()) == (0, "rules\n")
    # Other tests make and delete records at the same time.
    for record in Path("/etc/sentient-mqtt").glob("*/applied/*"):
        with suppress(FileNotFoundError):
            assert str(tmp_path) not in record.read_text()


def test_interrupted_connection_leaves_everything_as_it_was(host, applied, container):
    """The last two calls may be missing: then nothing is changed, or nothing is recorded."""
    record = Record(container=container, component="files", revision="2")
    put = call("put", applied.folder / "acl", "0600", 1883, 1884, text="new\n")
    text = render_stdin(host_scripts(PUT), [put], record)

    assert text.endswith("\nfinish\nrecord\n")
