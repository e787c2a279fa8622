"""Revoked access stays revoked, even while idle connections fill the broker."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mqtt import DENIED, Client, Refused

from bench.idle_connections import holding
from broker.settings.stack_settings import Settings

CONNECTIONS, FILES, IDLE, ROUNDS = 200, 300, 600, 1
PATIENCE = 3
"""Seconds instead of a minute: a round waits twice for an unresponsive broker."""


@pytest.fixture
def running(start, monkeypatch):
    monkeypatch.setattr("broker.host.layout.RELOAD_SECONDS", PATIENCE)

    def change(raw):
        raw["broker"]["limits"] = {"maxConnections": CONNECTIONS, "openFiles": FILES}
        raw["users"] |= {f"leaver-{number}": {"write": ["paragon/#"]} for number in range(ROUNDS)}

    return start(change)


@contextlib.contextmanager
def idle(running, count: int = IDLE) -> Iterator[None]:
    """Hold *count* idle connections to the container's own address."""
    host = running.docker(
        "inspect", "--format", "{{.NetworkSettings.IPAddress}}", running.broker.container
    ).strip()
    with holding(host, running.port, count):
        yield


def revoke(running, number):
    """Revoke one login, one right and one password, and add a login. Return the old passwords."""
    raw = running.settings.model_dump(mode="json", by_alias=True)
    del raw["users"][f"leaver-{number}"]
    raw["users"]["paragon_devices"]["write"] = [f"paragon/+/round-{number}"]
    raw["users"] |= {f"newcomer-{number}": {"write": ["paragon/+/news"]}}
    running.settings = Settings.parse(raw)
    old = running.passwords["sentient_api_prod"]
    running.passwords |= {
        "sentient_api_prod": f"rotated-{number}",
        f"newcomer-{number}": "of-the-newcomer",
    }
    running.generations["sentient_api_prod"] = str(number + 2)
    return old, running.passwords.pop(f"leaver-{number}")


def refused(running, user, password):
    try:
        Client(running.port, user, password).close()
    except Refused as reason:
        return str(reason) == "Not authorized"
    return False


def is_revoked(running, number, old, of_leaver):
    """Return whether the login, the password and the right are revoked."""
    with running.client("paragon_devices") as device:
        return (
            refused(running, f"leaver-{number}", of_leaver)
            and refused(running, "sentient_api_prod", old)
            and device.publish("paragon/room/sensors/x") == DENIED
        )


def test_revocation_is_in_force_while_idle_connections_fill_the_broker(running, line):
    """2.1 limits them and answers; 2.0 does not after a reload, and they take every file."""
    for number in range(ROUNDS):
        with idle(running):
            old, of_leaver = revoke(running, number)
            done = running.put_files()

        running.await_answer()
        assert is_revoked(running, number, old, of_leaver), done.stderr
        running.client("sentient_api_prod").close()
        if done.returncode == 0:
            running.client(f"newcomer-{number}").close()
        else:
            assert "could not be verified" in done.stderr
            assert "Access that the change revokes stays revoked" in done.stderr
            for password in running.passwords.values():
                assert password not in done.stderr
        if line == "2.1":
            assert (done.returncode, done.stderr) == (0, "")

        # The same files again complete the change.
        again = running.put_files()
        assert (again.returncode, again.stderr) == (0, "")
        assert is_revoked(running, number, old, of_leaver)
        with running.client(f"newcomer-{number}") as newcomer:
            assert newcomer.publish("paragon/room/news") != DENIED


def test_broker_without_a_free_file_is_restarted_and_not_reloaded(running, docker):
    """After a reload that can't open the files, 2.0 refuses every login, and 2.1 exits."""
    process = docker("top", running.broker.container, "-eo", "pid,comm").splitlines()
    (pid,) = (line.split()[0] for line in process if line.split()[1] == "mosquitto")
    open_now = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    # The broker's own uid may lower its limit: to what is open now.
    subprocess.run(
        [
            *("setpriv", "--reuid=1883", "--regid=1883", "--clear-groups"),
            *("prlimit", f"--pid={pid}", f"--nofile={open_now}:{FILES}"),
        ],
        check=True,
    )
    old, of_leaver = revoke(running, 0)

    done = running.put_files()

    assert done.returncode != 0
    assert f"as all of its {open_now} files are open (broker.limits.openFiles)" in done.stderr
    assert "It was restarted" in done.stderr
    assert "The broker enforces the files that are in place now" in done.stderr
    assert running.log().count("Reloading config") == 0
    running.await_answer()
    assert is_revoked(running, 0, old, of_leaver)
    assert refused(running, "newcomer-0", "of-the-newcomer")
    assert running.put_files().returncode == 0
    running.client("newcomer-0").close()
