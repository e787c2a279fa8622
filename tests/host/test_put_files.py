"""Files are put in place all or none, whatever happens on the way."""

import subprocess

import pytest
from host_under_test import all_files, call, mode


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "srv"
    made.mkdir()
    return made


def put(folder, **texts):
    return [
        call("put", folder / name, "0600", 1883, 1884, text=f"{text}\n")
        for name, text in texts.items()
    ]


def test_they_have_text_owner_and_mode(host, folder):
    done = host.run("lib/put_files.sh", *put(folder, acl="rules", passwd="hashes"))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert all_files(folder) == {"acl": "rules\n", "passwd": "hashes\n"}
    assert mode(folder / "acl") == mode(folder / "passwd") == ("0600", 1883, 1884)


def test_a_folder_that_is_missing_is_made(host, folder):
    host.run("lib/put_files.sh", *put(folder / "a" / "b", env="x"))

    assert all_files(folder) == {"a/b/env": "x\n"}
    # Others look for their own files there.
    assert mode(folder / "a" / "b") == ("0755", 0, 0)


def test_a_second_time_leaves_the_same(host, folder):
    host.run("lib/put_files.sh", *put(folder, acl="rules"))

    assert host.run("lib/put_files.sh", *put(folder, acl="rules")).returncode == 0
    assert all_files(folder) == {"acl": "rules\n"}
    assert mode(folder / "acl") == ("0600", 1883, 1884)


def test_owner_and_mode_are_put_right_where_somebody_changed_them(host, folder):
    host.run("lib/put_files.sh", *put(folder, acl="rules"))
    (folder / "acl").chmod(0o644)

    host.run("lib/put_files.sh", *put(folder, acl="rules"))

    assert mode(folder / "acl") == ("0600", 1883, 1884)


@pytest.mark.parametrize("full", ["at the first", "at the last", "at the copy of what is there"])
def test_a_disk_that_fills_leaves_every_file_as_it_was(host, folder, mount, full):
    sizes = {
        "at the first": {"first": "x" * 90_000, "second": "new"},
        "at the last": {"first": "new", "second": "x" * 90_000},
        "at the copy of what is there": {"first": "new", "second": "x" * 21_000},
    }
    mount(folder, "size=64k,mode=755")
    host.run("lib/put_files.sh", *put(folder, first="old", second="y" * 21_000))
    before = all_files(folder)
    assert len(before) == 2

    done = host.run("lib/put_files.sh", *put(folder, **sizes[full]))

    assert done.returncode == 1
    assert "is the disk full?" in done.stderr
    assert all_files(folder) == before

    (folder / "second").unlink()
    assert host.run("lib/put_files.sh", *put(folder, first="new", second="new")).returncode == 0
    assert all_files(folder) == {"first": "new\n", "second": "new\n"}


def test_a_rename_that_fails_half_way_puts_back_what_was_there(host, folder):
    """A file that is a mount point can be copied aside and staged, and not be replaced."""
    host.run("lib/put_files.sh", *put(folder, second="old"))
    third = folder / "third"
    third.write_text("mounted")
    subprocess.run(["mount", "--bind", str(third), str(third)], check=True)
    try:
        done = host.run("lib/put_files.sh", *put(folder, first="new", second="new", third="new"))
        assert done.returncode != 0
        # The first was not there before, so it isn't now.
        assert all_files(folder) == {"second": "old\n", "third": "mounted"}
    finally:
        subprocess.run(["umount", str(third)], check=True)


def test_a_signal_between_two_renames_puts_back_what_was_there(host, folder):
    host.run("lib/put_files.sh", *put(folder, first="old", second="old"))
    host.program(
        "mv", f'case "$*" in *{folder}/second) kill -TERM $PPID ;; *) /bin/mv "$@" ;; esac'
    )

    done = host.run("lib/put_files.sh", *put(folder, first="new", second="new", third="new"))

    assert done.returncode == 143
    assert all_files(folder) == {"first": "old\n", "second": "old\n"}


def test_a_folder_in_the_way_is_refused_before_anything_is_changed(host, folder):
    (folder / "second").mkdir()

    done = host.run("lib/put_files.sh", *put(folder, first="new", second="new"))

    assert done.returncode == 1
    assert done.stderr.startswith(f"{folder}/second: is a folder; move it away")
    assert all_files(folder) == {}


def test_nobodys_own_copies_beside_a_file_are_touched(host, folder):
    host.run("lib/put_files.sh", *put(folder, env="old"))
    mine = {f"env.{each}": each for each in ("previous", "staged", "old", "new", "bak")}
    for name, text in mine.items():
        (folder / name).write_text(text)

    host.run("lib/put_files.sh", *put(folder, env="new"))

    assert all_files(folder) == {"env": "new\n", **mine}


def test_root_writes_through_nobodys_link(host, folder, tmp_path):
    """Whoever owns the folder could have put one where the next file is prepared."""
    target = tmp_path / "target"
    target.write_text("theirs")
    for suffix in ("new", "old"):
        (folder / f"env.sentient-mqtt-{suffix}").symlink_to(target)
    (folder / "env").write_text("old")

    done = host.run("lib/put_files.sh", *put(folder, env="new"))

    assert done.returncode == 0
    assert target.read_text() == "theirs"
    assert mode(target)[1:] == (0, 0)
    assert all_files(folder) == {"env": "new\n"}


def test_what_was_left_by_a_run_that_was_killed_does_not_matter(host, folder):
    host.run("lib/put_files.sh", *put(folder, env="old"))
    (folder / "env.sentient-mqtt-new").write_text("half a f")
    (folder / "env.sentient-mqtt-old").write_text("older")

    assert host.run("lib/put_files.sh", *put(folder, env="new")).returncode == 0
    assert all_files(folder) == {"env": "new\n"}


def test_removal_takes_the_files_and_nothing_else(host, folder):
    host.run("lib/put_files.sh", *put(folder, acl="rules", passwd="hashes"))
    (folder / "notes").write_text("mine")

    for _ in range(2):
        done = host.run(
            "lib/put_files.sh", *put(folder, acl="rules", passwd="hashes"), action="remove"
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert all_files(folder) == {"notes": "mine"}


def test_what_goes_wrong_is_said_without_any_text(host, folder):
    (folder / "env").mkdir()

    done = host.run("lib/put_files.sh", *put(folder, first="s3cret", env="s3cret"))

    assert done.returncode == 1
    assert "s3cret" not in done.stdout + done.stderr
