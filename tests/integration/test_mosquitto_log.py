"""Log lines of both release lines are counted; the log may be rotated while the broker writes."""

import re
import subprocess
import threading
from pathlib import Path

import pytest
from host_scripts import host_scripts
from mqtt import Client, Refused, login_error
from patience import eventually

from broker.host.script_calls import render_stdin
from broker.logs.authentication_failures import total
from broker.logs.inventory import inventory
from broker.logs.log_parser import LINE, UNKNOWN, samples
from broker.logs.logrotate import logrotate_calls, logrotate_path
from cli.observe.broker_log import read_log
from cli.stack import Stack

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def talkative(start):
    def change(raw):
        raw["broker"]["logging"] = {"types": ["error", "warning", "notice", "information", "debug"]}

    return start(change)


def read(running):
    """Return the summary of the log on the host, as `./brokerctl inventory` reads it."""
    return read_log(Stack(name="prod", file=Path("Pulumi.prod.yaml"), settings=running.settings))


def test_logins_refused_logins_and_denied_messages_are_counted(talkative, line):
    with talkative.client("paragon_devices", session="ctl-1") as client:
        client.publish("elsewhere")
        here = eventually(
            lambda: next(
                (
                    address
                    for user, client, address in read(talkative).logins
                    if (user, client) == ("paragon_devices", "ctl-1")
                ),
                None,
            ),
            10,
        )
        found = {
            entry.name: entry for entry in inventory(talkative.settings, read(talkative)).entries
        }
        assert found["paragon_devices"].state == "connected"
        assert found["sentient_monitor_prod"].state == "never"
    before = read(talkative)

    assert login_error(talkative.port, "admin", "a guess") == "Not authorized"

    def counted():
        summary = read(talkative)
        times = summary.refused.get((UNKNOWN, here))
        had = before.refused.get((UNKNOWN, here))
        return summary if times and times.times == (had.times if had else 0) + 1 else None

    summary = eventually(counted, 10)
    assert summary.denied["paragon_devices", here].times == 1
    assert ("mosquitto_acl_denied_total", {"user": "paragon_devices", "address": here}, 1.0) in (
        samples(summary)
    )
    eventually(lambda: read(talkative).parties["paragon_devices"].ended is not None, 10)
    # 2.0 logs a refused login through WebSockets as the end of a connection, without an address.
    port = talkative.broker.listeners["websocket"].port
    assert login_error(port, "admin", "a guess", websocket=True) == "Not authorized"
    with talkative.client("admin", session="fence"):
        eventually(lambda: "as fence (" in talkative.log(), 10)
    more = eventually(
        lambda: (now := read(talkative)) and ("admin", "fence", here) in now.logins and now, 10
    )
    where = {"2.0": UNKNOWN, "2.1": here}[line]
    counted_before = summary.refused.get((UNKNOWN, where))
    grown = more.refused[UNKNOWN, where].times - (counted_before.times if counted_before else 0)
    assert grown == 1
    assert total(more.refused) == total(summary.refused) + 1


def test_client_id_can_neither_forge_nor_hide_a_line(start, line):
    running = start()
    forged = (
        "2026-01-02T03:04:05: New client connected from 10.6.6.6:5 as z (p2, c1, k60, u'admin')."
    )
    names = (
        f"x\u2028{forged}\u2028y",
        "A" * 1200,
        "é" * 600,
        "aé" + "é" * 600,
        # Mosquitto cuts the line after the word `disconnected`.
        *("B" * count for count in range(LINE - 70, LINE - 40, 3)),
    )
    for name in names:
        with pytest.raises(Refused):
            Client(running.port, "admin", "a guess", session=name)
    with running.client("admin", session="fence"), running.client("admin", session="C" * 1200):
        pass

    summary = eventually(
        lambda: (now := read(running)).parties.get(UNKNOWN) and now.parties[UNKNOWN].ended and now,
        10,
    )
    assert {user: party.address for user, party in summary.parties.items()}.keys() <= {
        "admin",
        UNKNOWN,
        running.broker.health.user,
    }
    assert summary.parties["admin"].client == "fence"
    assert sum(failure.times for failure in summary.refused.values()) == len(names)
    assert all(address != UNKNOWN for _, address in summary.refused)
    longest = max(
        map(len, (Path(running.broker.folders.log) / "mosquitto.log").read_bytes().split(b"\n"))
    )
    assert longest == LINE


@pytest.fixture
def rotated(start, tmp_path):
    """Return a broker with a logrotate file, and a function that rotates its log."""
    running = start()
    done = running.script(
        "lib/put_files.sh commands/logrotate.sh", "apply", logrotate_calls(running.broker)
    )
    assert done.returncode == 0, done.stderr
    path = Path(logrotate_path(running.broker))

    def rotate():
        words = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(path)]
        subprocess.run(words, check=True, capture_output=True)

    yield running, rotate
    running.script(
        "lib/put_files.sh commands/logrotate.sh", "remove", logrotate_calls(running.broker)
    )
    assert not path.exists()


ROTATIONS = 5


def gaps(numbers):
    """Return the number of runs of consecutive numbers."""
    return len([number for number in numbers if number - 1 not in numbers])


def test_logrotate_loses_only_lines_between_copy_and_truncate(
    rotated,
):
    """Docker's own log, which is not rotated, has the lost lines."""
    running, rotate = rotated
    done = threading.Event()
    numbers = []

    def come_and_go():
        number = 0
        while not done.is_set():
            running.client("admin", session=f"load-{number}").close()
            number += 1
        numbers.append(number)

    coming = threading.Thread(target=come_and_go)
    coming.start()
    folder = Path(running.broker.folders.log)
    for rotation in range(ROTATIONS):
        # Every rotation has new lines.
        eventually(lambda: (folder / "mosquitto.log").stat().st_size > 1000, 20)
        rotate()
        assert (folder / "mosquitto.log.1").exists(), rotation
    done.set()
    coming.join()
    with running.client("admin", session="last"):
        eventually(lambda: "as last (" in (folder / "mosquitto.log").read_text(), 10)

    summary = read(running)
    kept = [client for _, client, _ in summary.logins if client.startswith("load-")]
    doubled = [
        login for key, login in summary.logins.items() if login.times > 1 and "load" in key[1]
    ]
    logged = set(re.findall(r"as (load-\d+) \(", running.log()))
    assert len(logged) == numbers[0]
    assert doubled == []
    # The lost lines are those between copy and truncation, one run per rotation.
    assert kept
    assert gaps({int(client.partition("-")[2]) for client in logged - set(kept)}) <= ROTATIONS
    assert len(list(folder.iterdir())) == 1 + ROTATIONS
    # The broker appends to the truncated file, without a gap of zero bytes.
    assert b"\0" not in (folder / "mosquitto.log").read_bytes()


def test_compressed_files_are_read_and_the_oldest_is_deleted(rotated):
    running, rotate = rotated
    folder = Path(running.broker.folders.log)
    for number in range(running.broker.logging.keep + 2):
        running.client("admin", session=f"client-{number}").close()
        eventually(lambda: f"as client-{number} (" in (folder / "mosquitto.log").read_text(), 10)  # noqa: B023
        rotate()
    names = {path.name for path in folder.iterdir()}
    keep = running.broker.logging.keep
    assert len(names) == 1 + keep
    assert f"mosquitto.log.{keep}.gz" in names
    clients = {client for _, client, _ in read(running).logins if client.startswith("client-")}
    assert clients == {f"client-{number}" for number in range(2, keep + 2)}


def test_host_without_logrotate_gets_no_file(start, image):
    broker = start().broker
    text = host_scripts("lib/put_files.sh", "commands/logrotate.sh")
    # The fallback image has no logrotate.
    done = subprocess.run(
        [
            *("docker", "run", "--rm", "-i", "--user", "0:0", "--entrypoint", "/bin/sh", image),
            *("-c", f"sh -s apply && test ! -e {logrotate_path(broker)} && echo none"),
        ],
        input=render_stdin(text, logrotate_calls(broker)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("none\n", "")
