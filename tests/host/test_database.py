"""What a restore or a backup has put aside is nobody else's, and comes back if it is the same."""

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
        ("lib/database.sh commands/before_start.sh", [call("guard", "digest", "no")]),
        ("lib/database.sh commands/await_ready.sh commands/restart.sh", [call("restart", "5")]),
    ],
)
def test_nobody_takes_a_restores_way_back_from_it(host, data, database, scripts, calls):
    (data / ".before-start").mkdir()
    (data / ".before-start" / "mosquitto.db").write_text("the way back")
    host.program("flock", "exit 1")

    done = host.run(scripts, database, *calls)

    assert done.returncode == 1
    assert "its files have been changing for two minutes; try again" in done.stderr
    assert (data / ".before-start" / "mosquitto.db").read_text() == "the way back"
    assert not host.calls("docker -H unix:///test.sock restart")


def test_a_database_that_could_not_be_written_is_what_it_was_and_nothing_lies_beside_it(
    host, data, database
):
    """Nothing has renamed over it: the link beside it is the same file, which mv refuses."""
    host.inside["/mosquitto/data"] = data

    done = host.run("lib/database.sh", database, call("write_database"))

    assert done.returncode == 1
    assert done.stderr == ""
    assert host.calls() == [f"exec {data}"]
    assert [each.name for each in data.iterdir()] == ["mosquitto.db"]
    assert (data / "mosquitto.db").read_text() == "as it is"
