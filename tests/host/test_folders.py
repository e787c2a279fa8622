"""Folders get their owner and mode; files of other programs stay."""

import os

import pytest
from host_under_test import SOCKET, call, mode


@pytest.fixture
def base(tmp_path):
    return tmp_path / "srv"


def folders(base):
    return [
        call("folder", "ours", base / "config", "0750", 0, 1883, "*.conf", "health"),
        call("folder", "ours", base / "config" / "health", "0750", 0, 1883),
        call("folder", "kept", base / "data", "0750", 1883, 1884, "mosquitto.db"),
    ]


def test_folders_are_created_with_owner_and_mode(host, base):
    done = host.run("commands/folders.sh", *folders(base))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert mode(base / "config") == ("0750", 0, 1883)
    assert mode(base / "config" / "health") == ("0750", 0, 1883)
    assert mode(base / "data") == ("0750", 1883, 1884)


def test_parent_folders_belong_to_root(host, base):
    host.run("commands/folders.sh", *folders(base))

    assert mode(base)[1:] == (0, 0)


def test_second_run_changes_nothing(host, base):
    host.run("commands/folders.sh", *folders(base))
    (base / "data" / "mosquitto.db").write_text("kept")
    before = (base / "data" / "mosquitto.db").stat()

    assert host.run("commands/folders.sh", *folders(base)).returncode == 0
    assert (base / "data" / "mosquitto.db").stat() == before


def test_existing_folder_gets_owner_and_mode_and_its_files_do_not(host, base):
    (base / "data").mkdir(parents=True, mode=0o777)
    (base / "data" / "mosquitto.db").write_text("x")

    assert host.run("commands/folders.sh", *folders(base)).returncode == 0

    assert mode(base / "data") == ("0750", 1883, 1884)
    assert mode(base / "data" / "mosquitto.db")[1:] == (0, 0)


def test_a_folder_with_files_of_another_program_keeps_its_owner_and_mode(host, base):
    (base / "data").mkdir(parents=True)
    (base / "data" / "authorized_keys").write_text("x")
    before = mode(base / "data")

    done = host.run("commands/folders.sh", *folders(base))

    assert done.returncode == 1
    assert f"{base}/data: holds other files than a broker's (authorized_keys)" in done.stderr
    assert mode(base / "data") == before


def test_folder_with_right_owner_may_hold_other_files(host, base):
    host.run("commands/folders.sh", *folders(base))
    (base / "data" / "notes.txt").write_text("mine")

    assert host.run("commands/folders.sh", *folders(base)).returncode == 0


class TestAnotherOwner:
    """The data is given to a new `broker.owner` while the broker is stopped."""

    @pytest.fixture
    def change(self, host, base):
        """``change(uid, gid, users)``: *users* are the containers that mount the data folder."""
        host.run("commands/folders.sh", *folders(base))
        for name in ("mosquitto.db", ".before-start/mosquitto.db"):
            file = base / "data" / name
            file.parent.mkdir(exist_ok=True)
            file.write_text("messages")
            for path in (file.parent, file):
                os.chown(path, 1883, 1884)

        def change(uid, gid, users="", user="1883:1884"):
            host.docker(
                f'case "$*" in *" ps "*volume=*/data*) echo "{users}" ;; '
                f"*Config.User*) echo {user} ;; esac"
            )
            return host.run(
                "commands/folders.sh",
                call("broker", "mosquitto", SOCKET, "image:1", 30),
                call("folder", "kept", base / "data", "0750", uid, gid, "mosquitto.db", ".before*"),
            )

        return change

    def test_the_broker_is_stopped_and_the_files_get_the_owner(self, change, host, base):
        done = change(2000, 2001, "mosquitto")

        assert (done.returncode, done.stderr) == (0, "")
        assert host.calls(" stop ") == [f"docker -H {SOCKET} stop -t 30 mosquitto"]
        for path in (base / "data", *(base / "data").rglob("*")):
            assert mode(path)[1:] == (2000, 2001), path

    def test_and_back(self, change, base):
        change(2000, 2000)
        assert change(1883, 1884).returncode == 0
        assert mode(base / "data" / ".before-start" / "mosquitto.db")[1:] == (1883, 1884)

    def test_a_group_alone_counts(self, change, host, base):
        """The folders are readable by the group only."""
        assert change(1883, 2000, "mosquitto").returncode == 0
        assert host.calls(" stop ")
        assert mode(base / "data" / "mosquitto.db")[1:] == (1883, 2000)

    def test_the_same_owner_stops_nothing(self, change, host):
        assert change(1883, 1884, "mosquitto").returncode == 0
        assert not host.calls(" stop ")

    def test_a_folder_that_somebody_changed_by_hand_stops_nothing(self, change, host, base):
        os.chown(base / "data", 1000, 1000)
        assert change(1883, 1884, "mosquitto").returncode == 0
        assert not host.calls(" stop ")
        assert mode(base / "data")[1:] == (1883, 1884)

    def test_another_container_that_uses_the_data_refuses_it(self, change, host, base):
        done = change(2000, 2000, "mosquitto another")

        assert done.returncode == 1
        assert "in use by mosquitto another; it can't get the owner 2000:2000" in done.stderr
        assert not host.calls(" stop ")
        assert mode(base / "data" / "mosquitto.db")[1:] == (1883, 1884)

    def test_neither_a_link_nor_a_file_of_another_user_gets_the_owner(self, change, base, tmp_path):
        (tmp_path / "of-root").write_text("x")
        (base / "data" / ".before-link").symlink_to(tmp_path / "of-root")
        os.chown(base / "data" / ".before-link", 1883, 1884, follow_symlinks=False)
        os.link(tmp_path / "of-root", base / "data" / ".before-hard")

        assert change(2000, 2000).returncode == 0
        assert mode(tmp_path / "of-root")[1:] == (0, 0)

    def test_the_log_and_its_rotated_files_get_the_owner(self, host, base):
        folder = call("folder", "kept", base / "log", "0750", 0, 1884, "m.log*")
        first = call("log_file", base / "log" / "m.log", "0600", 1883, 1884)
        host.run("commands/folders.sh", folder, first)
        for name, uid in (("m.log.1", 1883), ("m.log.2", 1000), ("notes", 1883)):
            (base / "log" / name).write_text("x")
            os.chown(base / "log" / name, uid, uid)

        log = call("log_file", base / "log" / "m.log", "0600", 2000, 2000)
        assert host.run("commands/folders.sh", folder, log).returncode == 0

        assert {path.name: mode(path)[1] for path in (base / "log").iterdir()} == {
            "m.log": 2000,
            "m.log.1": 2000,
            "m.log.2": 1000,
            "notes": 1883,
        }


def test_folders_of_version_0_1_are_given_to_root(host, base):
    for name in ("config", "config/health", "config/tls", "config/tls/mqtts"):
        (base / name).mkdir(parents=True)
        os.chown(base / name, 1883, 1883)
        (base / name).chmod(0o750)
    (base / "config" / "link").symlink_to("/nowhere")

    assert host.run("commands/folders.sh", *folders(base)).returncode == 0

    for name in ("config", "config/health", "config/tls", "config/tls/mqtts"):
        assert mode(base / name) == ("0750", 0, 1883)


def test_log_is_created_and_an_existing_log_stays(host, base):
    log = call("log_file", base / "log" / "m.log", "0600", 1883, 1884)
    calls = (call("folder", "kept", base / "log", "0750", 0, 1884, "m.log"), log)

    assert host.run("commands/folders.sh", *calls).returncode == 0
    assert mode(base / "log" / "m.log") == ("0600", 1883, 1884)
    (base / "log" / "m.log").write_text("a line\n")
    assert host.run("commands/folders.sh", *calls).returncode == 0
    assert host.run("commands/folders.sh", *calls, action="remove").returncode == 0
    assert (base / "log" / "m.log").read_text() == "a line\n"


@pytest.mark.parametrize("kind", ["a link", "a folder", "a link to nowhere"])
def test_log_that_is_not_a_file_is_refused(host, base, tmp_path, kind):
    (base / "log").mkdir(parents=True)
    if kind == "a folder":
        (base / "log" / "m.log").mkdir()
    else:
        (tmp_path / "file").write_text("root's")
        target = "/nowhere/file" if kind == "a link to nowhere" else tmp_path / "file"
        (base / "log" / "m.log").symlink_to(target)

    done = host.run(
        "commands/folders.sh", call("log_file", base / "log" / "m.log", "0600", 1883, 1883)
    )

    assert done.returncode == 1
    assert "exists and is not a file" in done.stderr
    if kind == "a link":
        assert mode(tmp_path / "file")[1:] == (0, 0)


@pytest.mark.parametrize("which", ["of another user", "that others may write"])
def test_folder_below_one_that_others_can_change_is_refused(host, base, which):
    base.mkdir()
    if which == "of another user":
        os.chown(base, 1000, 1000)
    else:
        base.chmod(0o777)

    done = host.run("commands/folders.sh", *folders(base))

    assert done.returncode == 1
    assert str(base) in done.stderr
    assert list(base.iterdir()) == []


@pytest.mark.parametrize("kind", ["a link to a folder", "a link to nowhere", "a file"])
def test_path_that_is_not_a_folder_is_refused_and_unchanged(host, base, tmp_path, kind):
    base.mkdir()
    elsewhere = tmp_path / "elsewhere"
    if kind == "a file":
        (base / "data").write_text("mine")
    else:
        (base / "data").symlink_to(elsewhere)
    if kind == "a link to a folder":
        elsewhere.mkdir(mode=0o700)

    done = host.run("commands/folders.sh", *folders(base))

    assert done.returncode == 1
    assert done.stderr == (
        f"{base}/data: exists and is not a folder; move it away or choose another path\n"
    )
    if kind == "a link to a folder":
        assert mode(elsewhere) == ("0700", 0, 0)
    assert elsewhere.exists() == (kind == "a link to a folder")


def test_removal_deletes_own_empty_folders_and_keeps_the_data(host, base):
    host.run("commands/folders.sh", *folders(base))
    (base / "data" / "mosquitto.db").write_text("kept")

    assert host.run("commands/folders.sh", *folders(base), action="remove").returncode == 0

    assert not (base / "config").exists()
    assert (base / "data" / "mosquitto.db").read_text() == "kept"
    assert host.run("commands/folders.sh", *folders(base), action="remove").returncode == 0


def test_removal_keeps_a_folder_with_other_files(host, base):
    host.run("commands/folders.sh", *folders(base))
    (base / "config" / "notes.txt").write_text("mine")

    done = host.run("commands/folders.sh", *folders(base), action="remove")

    assert (done.returncode, done.stderr) == (0, "")
    assert (base / "config" / "notes.txt").read_text() == "mine"
    assert not (base / "config" / "health").exists()
