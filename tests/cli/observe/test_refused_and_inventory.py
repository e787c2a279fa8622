"""`./brokerctl refused` and `inventory` with a log, without one, and with wrong times."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from owner_containers import OWNER_CONTAINERS

from cli.errors import CommandError
from cli.observe.time_span import parse_time_span

NO_CONTAINER = r"no container mosquitto-test\. Run: \./brokerctl up --stack test"
LINES = "".join(
    f"2026-01-02T03:04:0{n}: Client g [192.0.2.7:{n}] disconnected: not authorised.\n"
    for n in range(9)
)


@pytest.fixture
def log(desk):
    """The folder of the log, empty."""
    folder = desk.folder / "log"
    folder.mkdir()
    folders = {"config": "/srv/mqtt/config", "data": "/srv/mqtt/data", "log": str(folder)}
    desk.write(folders=folders, logging={"refusedPerHour": 8})
    return folder


@pytest.fixture(autouse=True)
def docker(desk):
    """The log is read on this machine, and the container exists."""
    path = Path(desk.bin) / "docker"
    path.write_text(f"#!/bin/sh\n{OWNER_CONTAINERS}\necho sha256:1\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30m", timedelta(minutes=30)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
    ],
)
def test_times_are_minutes_hours_or_days(text, span):
    assert parse_time_span(text) == span


@pytest.mark.parametrize("text", ["", "0h", "-1h", "1", "h", "1w", "1h30m", "999999d"])
def test_other_times_are_errors(text):
    with pytest.raises(CommandError, match="such as 30m, 24h or 7d"):
        parse_time_span(text)


def test_a_missing_log_folder_is_an_error(desk):
    with pytest.raises(CommandError, match=r"/srv/mqtt/log: the folder does not exist"):
        desk.run("refused")


def test_an_empty_log_has_no_refused_logins(desk, log, capsys):
    assert list(log.iterdir()) == []
    desk.run("refused")
    assert capsys.readouterr().out.splitlines()[0].endswith(": 0")


def test_more_than_the_limit_is_a_finding_that_names_the_worst_address(desk, log, capsys):
    (log / "mosquitto.log").write_text(LINES)
    with pytest.raises(
        CommandError, match=r"9 logins were refused.*from 192\.0\.2\.7 \(9 in total\)"
    ):
        desk.run("refused", "--since", "36500d")
    assert "  9 unknown from 192.0.2.7, last 2026-01-02T03:04:08Z" in capsys.readouterr().out
    # No refused login is in the last hour.
    desk.run("refused", "--since", "1h")


def test_inventory_without_a_container_is_an_error(desk, log, docker):
    docker.write_text(
        f"#!/bin/sh\n{OWNER_CONTAINERS}\necho 'Error: No such object: mosquitto-test' >&2; exit 1\n"
    )
    with pytest.raises(CommandError, match=NO_CONTAINER):
        desk.run("inventory")


@pytest.mark.parametrize(
    ("created", "outside"),
    [
        ("echo '\"2026-01-02T04:00:00.123456789+00:00\"'", []),
        ("echo '\"2026-01-01T00:00:00Z\"'", ["172.18.0.1"]),
        ("exit 1", ["172.18.0.1"]),
    ],
)
def test_inventory_knows_since_when_the_containers_network_exists(
    desk, capsys, log, created, outside
):
    listener = {"port": 1883, "allowFrom": ["192.0.2.0/24"]}
    folders = {"config": "/srv/mqtt/config", "data": "/srv/mqtt/data", "log": str(log)}
    desk.write(folders=folders, listeners={"mqtt": listener})
    (log / "mosquitto.log").write_text(
        "2026-01-02T03:04:00: New client connected from 172.18.0.1:5 as c (p2, c1, k60, "
        "u'sensor').\n"
    )
    Path(desk.bin, "docker").write_text(
        f"#!/bin/sh\n{OWNER_CONTAINERS}\n"
        f'case "$*" in *"network inspect"*) {created} ;; *Gateway*) echo 172.19.0.1 ;;'
        " *) echo sha256:1 ;; esac\n"
    )

    desk.run("inventory", "--json")

    found = json.loads(capsys.readouterr().out)["outsideNetworks"]
    assert [stranger["address"] for stranger in found] == outside
