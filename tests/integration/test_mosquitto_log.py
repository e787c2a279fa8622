"""What each release line logs of who comes is counted; its log may be rotated while it writes."""

import re
import subprocess
import threading
from pathlib import Path

import pytest
from host_scripts import host_scripts
from mqtt import Client, Refused, refusal
from patience import eventually

from broker.host.script_calls import render_stdin
from broker.logs.inventory import inventory
from broker.logs.log_parser import LINE, UNKNOWN, samples
from broker.logs.logrotate import logrotate_calls, logrotate_path
from cli.broker_log import read_log
from cli.stack import Stack

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def talkative(start):
    def change(raw):
        raw["broker"]["logging"] = {"types": ["error", "warning", "notice", "debug"]}

    return start(change)


def read(running):
    """What the log on the host says, as `./brokerctl inventory` reads it."""
    return read_log(Stack(name="prod", file=Path("Pulumi.prod.yaml"), settings=running.settings))


def test_a_login_a_refusal_and_a_denial_are_counted(talkative, line):
    with talkative.client("paragon_devices", session="ctl-1") as client:
        client.publish("elsewhere")
        here = eventually(
            lambda: next(
                (
                    address
                    for user, each, address in read(talkative).logins
                    if (user, each) == ("paragon_devices", "ctl-1")
                ),
                None,
            ),
            10,
        )
        found = {each.name: each for each in inventory(talkative.settings, read(talkative)).entries}
        assert found["paragon_devices"].state == "connected"
        assert found["sentient_monitor_prod"].state == "never"
    before = read(talkative)

    assert refusal(talkative.port, "admin", "a guess") == "Not authorized"

    def counted():
        seen = read(talkative)
        times = seen.refused.get((UNKNOWN, here))
        had = before.refused.get((UNKNOWN, here))
        return seen if times and times.times == (had.times if had else 0) + 1 else None

    seen = eventually(counted, 10)
    assert seen.denied["paragon_devices", here].times == 1
    assert ("mosquitto_acl_denied_total", {"user": "paragon_devices", "address": here}, 1.0) in (
        samples(seen)
    )
    eventually(lambda: read(talkative).parties["paragon_devices"].ended is not None, 10)
    # Refused through WebSockets: 2.0 says no word of it.
    port = talkative.broker.listeners["websocket"].port
    assert refusal(port, "admin", "a guess", websocket=True) == "Not authorized"
    with talkative.client("admin", session="fence"):
        eventually(lambda: "as fence (" in talkative.log(), 10)
    more = eventually(
        lambda: (now := read(talkative)) and ("admin", "fence", here) in now.logins and now, 10
    )
    grown = more.refused[UNKNOWN, here].times - seen.refused[UNKNOWN, here].times
    assert grown == {"2.0": 0, "2.1": 1}[line]


def test_nobody_forges_a_line_or_hides_by_the_id_that_it_chooses(start, line):
    running = start()
    forged = (
        "2026-01-02T03:04:05: New client connected from 10.6.6.6:5 as z (p2, c1, k60, u'admin')."
    )
    names = (
        f"x\u2028{forged}\u2028y",
        "A" * 1200,
        "é" * 600,
        "aé" + "é" * 600,
        # The line is cut after the word that says that somebody left.
        *("B" * each for each in range(LINE - 70, LINE - 40, 3)),
    )
    for each in names:
        with pytest.raises(Refused):
            Client(running.port, "admin", "a guess", session=each)
    with running.client("admin", session="fence"), running.client("admin", session="C" * 1200):
        pass

    seen = eventually(
        lambda: (now := read(running)).parties.get(UNKNOWN) and now.parties[UNKNOWN].ended and now,
        10,
    )
    assert {user: each.address for user, each in seen.parties.items()}.keys() <= {
        "admin",
        UNKNOWN,
        running.broker.health.user,
    }
    assert seen.parties["admin"].client == "fence"
    assert sum(each.times for each in seen.refused.values()) == len(names)
    assert all(address != UNKNOWN for _, address in seen.refused)
    longest = max(
        map(len, (Path(running.broker.folders.log) / "mosquitto.log").read_bytes().split(b"\n"))
    )
    assert longest == LINE


@pytest.fixture
def rotated(start, tmp_path):
    """A broker whose log the machine's logrotate has been told of, and what rotates it now."""
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
    """How many runs of consecutive numbers these are."""
    return len([each for each in numbers if each - 1 not in numbers])


def test_a_rotation_under_load_doubles_no_line_and_loses_but_what_comes_between_copy_and_cut(
    rotated,
):
    """What was lost is in Docker's own log, which is not rotated by this."""
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
    for each in range(ROTATIONS):
        # Each has something to rotate: lines of after the one before.
        eventually(lambda: (folder / "mosquitto.log").stat().st_size > 1000, 20)
        rotate()
        assert (folder / "mosquitto.log.1").exists(), each
    done.set()
    coming.join()
    with running.client("admin", session="last"):
        eventually(lambda: "as last (" in (folder / "mosquitto.log").read_text(), 10)

    seen = read(running)
    kept = [each for _, each, _ in seen.logins if each.startswith("load-")]
    doubled = [each for key, each in seen.logins.items() if each.times > 1 and "load" in key[1]]
    told = set(re.findall(r"as (load-\d+) \(", running.log()))
    assert len(told) == numbers[0]
    assert doubled == []
    # Those who came between the copy and the cut: one after the other, once in a rotation.
    assert kept
    assert gaps({int(each.partition("-")[2]) for each in told - set(kept)}) <= ROTATIONS
    assert len(list(folder.iterdir())) == 1 + ROTATIONS
    # Written to the end of what is there, not to where it was before.
    assert b"\0" not in (folder / "mosquitto.log").read_bytes()


def test_what_is_compressed_is_read_too_and_the_oldest_goes(rotated):
    running, rotate = rotated
    folder = Path(running.broker.folders.log)
    for each in range(running.broker.logging.keep + 2):
        running.client("admin", session=f"turn-{each}").close()
        eventually(lambda: f"as turn-{each} (" in (folder / "mosquitto.log").read_text(), 10)  # noqa: B023
        rotate()
    names = {each.name for each in folder.iterdir()}
    keep = running.broker.logging.keep
    assert len(names) == 1 + keep
    assert f"mosquitto.log.{keep}.gz" in names
    seen = {each for _, each, _ in read(running).logins if each.startswith("turn-")}
    assert seen == {f"turn-{each}" for each in range(2, keep + 2)}


def test_a_host_without_logrotate_gets_no_file(start, image):
    broker = start().broker
    text = host_scripts("lib/put_files.sh", "commands/logrotate.sh")
    # Debian's image of the broker has none.
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
