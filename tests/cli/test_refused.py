"""`./brokerctl refused` and `inventory`, where the host has no log or a person asks for no time."""

from datetime import timedelta
from pathlib import Path

import pytest
from owner_containers import OWNER_CONTAINERS

import cli.refused
from cli.refusals import Refusal

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
    """What reads the log runs on this machine; the container is there."""
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
    assert cli.refused.span(text) == span


@pytest.mark.parametrize("text", ["", "0h", "-1h", "1", "h", "1w", "1h30m", "999999d"])
def test_other_times_are_refused(text):
    with pytest.raises(Refusal, match="such as 30m, 24h or 7d"):
        cli.refused.span(text)


def test_a_host_without_the_folder_is_told_of(desk):
    with pytest.raises(Refusal, match=r"/srv/mqtt/log: the folder does not exist"):
        desk.run("refused")


def test_a_log_that_is_empty_has_no_refusals(desk, log, capsys):
    assert list(log.iterdir()) == []
    desk.run("refused")
    assert capsys.readouterr().out.splitlines()[0].endswith(": 0")


def test_more_than_the_limit_is_a_failure_that_names_the_worst_address(desk, log, capsys):
    (log / "mosquitto.log").write_text(LINES)
    with pytest.raises(Refusal, match=r"9 logins were refused.*from 192\.0\.2\.7 \(9 in all\)"):
        desk.run("refused", "--since", "36500d")
    assert "  9 unknown from 192.0.2.7, last 2026-01-02T03:04:08Z" in capsys.readouterr().out
    # None of them is of the last hour.
    desk.run("refused", "--since", "1h")


def test_without_a_container_nobody_is_taken_for_a_stranger(desk, log, docker):
    docker.write_text(
        f"#!/bin/sh\n{OWNER_CONTAINERS}\necho 'Error: No such object: mosquitto-test' >&2; exit 1\n"
    )
    with pytest.raises(Refusal, match=NO_CONTAINER):
        desk.run("inventory")
