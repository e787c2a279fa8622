"""Files are put in place all or none, also after a failure or a signal."""

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


def test_files_have_text_owner_and_mode(host, folder):
    done = host.run("lib/put_files.sh", *put(folder, acl="rules", passwd="hashes"))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert all_files(folder) == {"acl": "rules\n", "passwd": "hashes\n"}
    assert mode(folder / "acl") == mode(folder / "passwd") == ("0600", 1883, 1884)


def test_missing_folder_is_created(host, folder):
    host.run("lib/put_files.sh", *put(folder / "a" / "b", env="x"))

    assert all_files(folder) == {"a/b/env": "x\n"}
    # Other programs have files there.
    assert mode(folder / "a" / "b") == ("0755", 0, 0)


def test_second_run_changes_nothing(host, folder):
    host.run("lib/put_files.sh", *put(folder, acl="rules"))

    assert host.run("lib/put_files.sh", *put(folder, acl="rules")).returncode == 0
    assert all_files(folder) == {"acl": "rules\n"}
    assert mode(folder / "acl") == ("0600", 1883, 1884)


def test_changed_owner_and_mode_are_corrected(host, folder):
    host.run("lib/put_files.sh", *put(folder, acl="rules"))
    (folder / "acl").chmod(0o644)

    host.run("lib/put_files.sh", *put(folder, acl="rules"))

    assert mode(folder / "acl") == ("0600", 1883, 1884)


@pytest.mark.parametrize("full", ["at the first", "at the last", "at the copy of what is there"])
def test_full_disk_leaves_every_file_unchanged(host, folder, mount, full):
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


def test_failed_rename_restores_the_previous_files(host, folder):
    """A file that is a mount point can be copied aside and staged, and not be replaced."""
    host.run("lib/put_files.sh", *put(folder, second="old"))
    third = folder / "third"
    third.write_text("mounted")
    subprocess.run(["mount", "--bind", str(third), str(third)], check=True)
    try:
        done = host.run("lib/put_files.sh", *put(folder, first="new", second="new", third="new"))
        assert done.returncode != 0
        # The first file did not exist before.
        assert all_files(folder) == {"second": "old\n", "third": "mounted"}
    finally:
        subprocess.run(["umount", str(third)], check=True)


def test_signal_between_two_renames_restores_the_previous_files(host, folder):
    host.run("lib/put_files.sh", *put(folder, first="old", second="old"))
    host.program(
        "mv", f'case "$*" in *{folder}/second) kill -TERM $PPID ;; *) /bin/mv "$@" ;; esac'
    )

    done = host.run("lib/put_files.sh", *put(folder, first="new", second="new", third="new"))

    assert done.returncode == 143
    assert all_files(folder) == {"first": "old\n", "second": "old\n"}


def test_folder_of_that_name_changes_nothing(host, folder):
    (folder / "second").mkdir()

    done = host.run("lib/put_files.sh", *put(folder, first="new", second="new"))

    assert done.returncode == 1
    assert done.stderr.startswith(f"{folder}/second: is a folder; move it away")
    assert all_files(folder) == {}


def test_other_files_beside_a_file_are_unchanged(host, folder):
    host.run("lib/put_files.sh", *put(folder, env="old"))
    mine = {f"env.{suffix}": suffix for suffix in ("previous", "staged", "old", "new", "bak")}
    for name, text in mine.items():
        (folder / name).write_text(text)

    host.run("lib/put_files.sh", *put(folder, env="new"))

    assert all_files(folder) == {"env": "new\n", **mine}


def test_root_follows_no_link(host, folder, tmp_path):
    """The owner of the folder could have created a link at the name of the staged file."""
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


def test_files_of_a_killed_run_are_replaced(host, folder):
    host.run("lib/put_files.sh", *put(folder, env="old"))
    (folder / "env.sentient-mqtt-new").write_text("half a f")
    (folder / "env.sentient-mqtt-old").write_text("older")

    assert host.run("lib/put_files.sh", *put(folder, env="new")).returncode == 0
    assert all_files(folder) == {"env": "new\n"}


def test_removal_deletes_only_the_files(host, folder):
    host.run("lib/put_files.sh", *put(folder, acl="rules", passwd="hashes"))
    (folder / "notes").write_text("mine")

    for _ in range(2):
        done = host.run(
            "lib/put_files.sh", *put(folder, acl="rules", passwd="hashes"), action="remove"
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert all_files(folder) == {"notes": "mine"}


def test_error_message_has_no_text_of_a_file(host, folder):
    (folder / "env").mkdir()

    done = host.run("lib/put_files.sh", *put(folder, first="s3cret", env="s3cret"))

    assert done.returncode == 1
    assert "s3cret" not in done.stdout + done.stderr
