"""The test host runs scripts of `as_owner` as the folder's owner."""

import os

from host_under_test import SOCKET, call


def as_owner(host, folder, access, script, *words):
    return host.run(
        "lib/paths.sh",
        call("as_owner", SOCKET, "image:1", folder, access, 5, script, *words, text="\n"),
    )


def test_as_owner_runs_in_the_folder_as_its_owner(host, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 1883, 1884)

    done = as_owner(host, folder, "rw", 'id -u; echo "$1" >there; cat missing', "a word")

    assert done.stdout == "1883\n"
    assert "missing" in done.stderr
    assert done.returncode == 1
    assert (folder / "there").read_text() == "a word\n"
    found = (folder / "there").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (1883, 1884, 0o600)
    assert host.calls() == [f"as_owner {folder} rw"]


def test_read_of_a_fifo_times_out(host, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    done = host.run(
        "lib/paths.sh",
        call("as_owner", SOCKET, "image:1", tmp_path, "ro", 1, "cat fifo", text="\n"),
    )
    # 143: BusyBox's timeout(1) ends with the signal.
    assert done.returncode in (124, 143)


def test_other_docker_calls_run_the_tests_program(host, tmp_path):
    host.docker('echo "asked"')
    assert host.run("lib/paths.sh", call("docker", "-H", SOCKET, "ps")).stdout == "asked\n"
    host.inside["/mosquitto/data"] = tmp_path
    words = ("docker", "-H", SOCKET, "exec", "--workdir")
    script = ("mqtt", "timeout", 5, "sh", "-euc", "pwd; kill -USR1 1 || echo none")
    assert host.run("lib/paths.sh", call(*words, "/mosquitto/data", *script)).stdout == (
        f"{tmp_path}\nnone\n"
    )
    assert host.run("lib/paths.sh", call(*words, "/mosquitto/log", *script)).stdout == "asked\n"
