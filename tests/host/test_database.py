"""Saving and linking the database: locks, room on the disk, and restarts by Docker."""

import os

import pytest
from host_under_test import SOCKET, call


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "mosquitto.db").write_text("as it is")
    for path in (folder, folder / "mosquitto.db"):
        os.chown(path, 1883, 1883)
    return folder


@pytest.fixture
def database(data):
    return call("database", "a", SOCKET, "image:1", data)


@pytest.mark.parametrize(
    ("scripts", "calls"),
    [
        ("lib/database.sh commands/prepare_replacement.sh", [call("guard", "digest", "no")]),
        ("lib/database.sh commands/await_ready.sh commands/restart.sh", [call("restart", "5")]),
    ],
)
def test_running_restore_keeps_its_previous_database(host, data, database, scripts, calls):
    (data / ".before-start").mkdir()
    (data / ".before-start" / "mosquitto.db").write_text("the previous database")
    host.program("flock", "exit 124")  # as timeout(1) ends

    done = host.run(scripts, database, *calls)

    assert done.returncode == 1
    assert "its files have been changing for two minutes; try again" in done.stderr
    assert (data / ".before-start" / "mosquitto.db").read_text() == "the previous database"
    assert not host.calls("docker -H unix:///test.sock restart")


def test_failed_save_keeps_the_database_and_removes_its_link(host, data, database):
    """The link is the same file as the database, which mv refuses to rename."""
    host.inside["/mosquitto/data"] = data

    done = host.run("lib/database.sh", database, call("write_database"))

    assert done.returncode == 1
    assert done.stderr == ""
    assert host.calls() == [f"exec {data}"]
    assert [path.name for path in data.iterdir()] == ["mosquitto.db"]
    assert (data / "mosquitto.db").read_text() == "as it is"


@pytest.mark.parametrize(
    ("kib", "signalled"), [(100, False), (160, True)], ids=["too little", "enough"]
)
def test_save_is_requested_only_if_the_disk_has_room(host, tmp_path, mount, kib, signalled):
    """The save needs the size of the database, an eighth more, and 64 KiB."""
    data = mount(tmp_path / "disk", f"size={kib}k")
    (data / "mosquitto.db").write_bytes(bytes(32 * 1024))
    for path in (data, data / "mosquitto.db"):
        os.chown(path, 1883, 1883)
    # df looks for the mount point of the folder that the broker's user is in.
    for folder in tmp_path.parents[:-2]:
        folder.chmod(folder.stat().st_mode | 0o011)
    tmp_path.chmod(0o711)
    host.inside["/mosquitto/data"] = data
    host.kill = 'echo "$*" >>signals; return 1'

    done = host.run(
        "lib/database.sh", call("database", "a", SOCKET, "image:1", data), call("write_database")
    )

    assert done.returncode == 1
    names = {path.name for path in data.iterdir()}
    assert names == {"mosquitto.db", *(["signals"] if signalled else [])}
    assert not signalled or (data / "signals").read_text() == "-USR1 1\n"


@pytest.mark.parametrize(
    ("states", "passes"),
    [
        (("false true", 5, "aa"), True),
        (("false false", 0, "aa"), True),
        # It runs for a moment between two ends, and can't be asked.
        (("true false", 5, "ab"), True),
        (("true false", 5, "aa"), False),
        (("true false", 0, "aa"), False),
        (("true false", 1, "ab"), False),
    ],
    ids=["waits", "stopped", "loops", "runs on", "never ended", "ended once"],
)
def test_a_broker_that_exits_again_and_again_has_nothing_to_save(
    host, database, tmp_path, states, passes
):
    """Otherwise a broker that can't start could be neither restarted nor replaced."""
    running, restarts, starts = states
    (tmp_path / "starts").write_text("".join(f"{start}\n" for start in starts))
    host.docker(
        f'case "$*" in *State.Running*) echo {running} ;; *RestartCount*) echo {restarts} ;; '
        f'*StartedAt*) head -n 1 "{tmp_path}/starts"; sed -i 1d "{tmp_path}/starts" ;; '
        "*) exit 1 ;; esac"
    )

    done = host.run("lib/database.sh", database, call("eval", "save_if_running || exit 9; exit 0"))

    assert done.returncode == (0 if passes else 9)


@pytest.mark.parametrize(
    "states",
    [
        ["true false"],
        ["true true", "true true", "true false"],
        ["false false"],
        ["true true", "false false"],
    ],
    ids=["runs", "is started again", "ended", "is not started again"],
)
def test_broker_that_docker_restarts_counts_as_running(host, database, tmp_path, states):
    """2.1 exits if it can't write its database."""
    (tmp_path / "states").write_text("".join(f"{state}\n" for state in states))
    host.docker(f'head -n 1 "{tmp_path}/states"; sed -i 1d "{tmp_path}/states"')

    done = host.run(
        "lib/database.sh commands/prepare_replacement.sh",
        database,
        call("guard", "digest", "no"),
        call("fail", "why"),
    )

    assert done.returncode == 1
    runs = states[-1] == "true false"
    assert ("The container was not replaced: it runs on" in done.stderr) is runs
    assert ("No container was made, and none runs" in done.stderr) is not runs
