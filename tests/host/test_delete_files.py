"""Only the broker's files are deleted, and only if no container mounts them."""

import os

import pytest
from host_under_test import SOCKET, all_files, call


@pytest.fixture
def srv(tmp_path):
    for name, file in (("data", "mosquitto.db"), ("log", "mosquitto.log"), ("other", "file")):
        (tmp_path / "srv" / name).mkdir(parents=True)
        (tmp_path / "srv" / name / file).write_text(name)
        os.chown(tmp_path / "srv" / name, 1883, 1883)
    return tmp_path / "srv"


def erase(host, srv):
    return host.run(
        "commands/delete_files.sh",
        call("erase", SOCKET, "image:1"),
        call("folder", srv / "data", "mosquitto.db", ".rehearsal"),
        call("folder", srv / "log", "mosquitto.log", "mosquitto.log.[0-9]*"),
    )


def test_only_the_brokers_folders_are_deleted(host, srv):
    (srv / "log" / "mosquitto.log.1").write_text("older")
    (srv / "data" / ".rehearsal").mkdir()

    done = erase(host, srv)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert all_files(srv) == {"other/file": "other"}
    assert not (srv / "data").exists()


def test_missing_folders_are_no_error(host, srv):
    erase(host, srv)

    assert erase(host, srv).returncode == 0


def test_other_files_stay_and_are_listed(host, srv):
    (srv / "data" / "notes.txt").write_text("mine")

    done = erase(host, srv)

    assert done.returncode == 0
    assert all_files(srv) == {"data/notes.txt": "mine", "other/file": "other"}
    assert done.stdout == (
        f"{srv}/data: stays, since it holds other files than the broker's: notes.txt\n"
    )


def test_link_in_a_folder_is_not_followed(host, srv):
    (srv / "data" / ".rehearsal").symlink_to(srv / "other")

    assert erase(host, srv).returncode == 0

    assert all_files(srv) == {"other/file": "other"}


@pytest.mark.parametrize("how", ["a link", "below a folder of another user"])
def test_folder_that_another_user_could_replace_is_refused(host, srv, tmp_path, how):
    if how == "a link":
        (srv / "log").rename(tmp_path / "elsewhere")
        (srv / "log").symlink_to(tmp_path / "elsewhere")
    else:
        os.chown(srv, 1000, 1000)
    before = all_files(srv)

    done = erase(host, srv)

    assert done.returncode == 1
    assert str(srv) in done.stderr
    assert all_files(srv) == before


def test_mounted_folder_deletes_nothing(host, srv):
    host.docker('case "$*" in *srv/log*) echo broker; echo another ;; esac')
    before = all_files(srv)

    done = erase(host, srv)

    assert done.returncode == 1
    assert (
        done.stderr == f"{srv}/log: still mounted by broker another; remove that container first\n"
    )
    assert all_files(srv) == before


def test_unreachable_docker_deletes_nothing(host, srv):
    host.docker('echo "Cannot connect to the Docker daemon" >&2; exit 1')
    before = all_files(srv)

    done = erase(host, srv)

    assert done.returncode == 1
    assert "Cannot connect" in done.stderr
    assert all_files(srv) == before
