"""Data is deleted when nobody has it mounted any more, and only then."""

import pytest
from host_under_test import SOCKET, all_files, call


@pytest.fixture
def srv(tmp_path):
    for name in ("data", "log", "other"):
        (tmp_path / "srv" / name).mkdir(parents=True)
        (tmp_path / "srv" / name / "file").write_text(name)
    return tmp_path / "srv"


def erase(host, srv):
    return host.run("erase.sh", *(call("erase", srv / each, SOCKET) for each in ("data", "log")))


def test_the_folders_are_gone_and_nothing_else(host, srv):
    assert erase(host, srv).returncode == 0
    assert all_files(srv) == {"other/file": "other"}
    assert not (srv / "data").exists()


def test_folders_that_are_gone_already_are_no_failure(host, srv):
    erase(host, srv)

    assert erase(host, srv).returncode == 0


def test_what_a_container_has_mounted_stays_all_of_it(host, srv):
    host.docker('case "$*" in *srv/log*) echo broker; echo another ;; esac')
    before = all_files(srv)

    done = erase(host, srv)

    assert done.returncode == 1
    assert done.stderr == f"{srv}/log: still mounted by broker another; take that down first\n"
    assert all_files(srv) == before


def test_a_docker_that_does_not_answer_is_no_permission(host, srv):
    host.docker('echo "Cannot connect to the Docker daemon" >&2; exit 1')
    before = all_files(srv)

    done = erase(host, srv)

    assert done.returncode == 1
    assert "Cannot connect" in done.stderr
    assert all_files(srv) == before
