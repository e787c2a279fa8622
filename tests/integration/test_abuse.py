"""Whatever strangers and clients send, the broker stays up and an honest client misses nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import SUITES
from malformed_packets import conversation, framed, length
from mqtt import Client, Refused
from mqtt_packets import Connection
from patience import eventually

CLIENTS, QUEUED, INFLIGHT, PACKET = 200, 100, 10, 20_000
PACKETS, IN_FRAMES, SEED = 100_000, 5_000, 20_261_124
SENDER = Path(__file__).parent / "malformed_packets.py"


def limited(raw):
    raw["broker"]["limits"] = {
        "maxConnections": CLIENTS,
        "maxQueuedMessages": QUEUED,
        "maxInflightMessages": INFLIGHT,
        "maxPacketSize": PACKET,
    }


@pytest.fixture(scope="module")
def broker(start):
    return start(limited)


class Honest:
    """A client that publishes with QoS 1, and receives each message before it sends the next."""

    def __init__(self, client: Client) -> None:
        self.rounds = 0
        self.failed: Exception | None = None
        self._client = client
        self._going = True
        self._thread = threading.Thread(target=self._run)
        client.subscribe("honest")
        self._thread.start()

    def _run(self) -> None:
        try:
            while self._going:
                text = str(self.rounds)
                assert self._client.publish("honest", text) == "Success"
                self._client.got("honest", text)
                self._client.received.clear()
                self.rounds += 1
        except Exception as wrong:  # noqa: BLE001 (told to the test that runs beside it)
            self.failed = wrong

    def end(self) -> None:
        self._going = False
        self._thread.join()


@pytest.fixture
def honest(broker) -> Iterator[Honest]:
    """Before the abuse and after it: the same connection, the same process, and room for others."""

    def life():
        return json.loads(broker.docker("inspect", broker.broker.container))[0]

    before = life()
    with broker.client("admin") as client:
        present = Honest(client)
        yield present
        seen = present.rounds
        eventually(lambda: present.rounds > seen or present.failed, 20)
        present.end()
        assert present.failed is None
        assert client.disconnected is None
    after = life()
    assert after["RestartCount"] == before["RestartCount"] == 0
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert after["State"]["Running"]
    broker.client("admin").close()


def memory(broker) -> int:
    """Return the resident memory of the broker's process, in kB (proc(5), VmRSS)."""
    status = broker.docker("exec", broker.broker.container, "cat", "/proc/1/status")
    return next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line)


def lets_in(broker) -> bool:
    with contextlib.suppress(Refused, OSError, TimeoutError):
        broker.client("admin").close()
        return True
    return False


def silent(broker) -> socket.socket:
    """Return a connection on which nothing was said yet."""
    return socket.create_connection(("127.0.0.1", broker.port), timeout=120)


def send(broker, listener: str, numbers: range) -> None:
    """Send from within the broker's own network namespace, each on a connection of its own."""
    process = broker.docker("inspect", "--format", "{{.State.Pid}}", broker.broker.container)
    given = {
        "port": broker.broker.listeners[listener].port,
        "websocket": listener == "websocket",
        "seed": SEED,
        "numbers": (numbers.start, numbers.stop, numbers.step),
        "user": "paragon_devices",
        "password": broker.passwords["paragon_devices"],
    }

    done = subprocess.run(
        ["nsenter", f"--target={process.strip()}", "--net", sys.executable, str(SENDER)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=2400,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, f"{len(numbers)}\n"), done.stderr


def test_a_hundred_thousand_malformed_packets(broker, honest, line):
    """Half of them for each line."""
    send(broker, "mqtt", range(list(SUITES).index(line), PACKETS, len(SUITES)))

    # Both halves: what was sent was refused for what it was, and not for its login.
    log = broker.log()
    assert "protocol error" in log.lower() or "malformed" in log.lower()
    assert honest.rounds > 100


def test_five_thousand_over_websockets(broker, honest):
    """And frames that no browser would send."""
    before = broker.log().count("New client connected")

    send(broker, "websocket", range(IN_FRAMES))

    # Both halves: most of them are let in first, in frames that are right.
    assert broker.log().count("New client connected") > before + IN_FRAMES // 3
    assert honest.rounds > 20
    broker.client("admin", websocket=True).close()


def test_the_same_seed_sends_the_same_packets():
    def some(seed):
        return [conversation(seed, index, b"u", b"p") for index in range(500)]

    assert some(1) == some(1)
    assert some(1) != some(2)
    assert len(set(some(1))) > 400
    assert framed(1, 7, b"content") == framed(1, 7, b"content") != framed(2, 7, b"content")


def test_a_flood_of_connections_from_one_address(broker, honest):
    """No more than the limit are let in; when it has ended, everybody is again."""
    with contextlib.ExitStack() as stack:
        admitted = 0
        for number in range(CLIENTS * 3):
            with contextlib.suppress(OSError):
                stack.enter_context(
                    Connection(broker.port, "admin", broker.passwords["admin"], f"flood-{number}")
                )
                admitted += 1
        # One of them is the honest client.
        assert admitted == CLIENTS - 1
        with pytest.raises((Refused, OSError, TimeoutError)):
            broker.client("admin")

    eventually(lambda: lets_in(broker), 20)
    assert honest.failed is None


def test_half_open_connections_keep_nobody_out_but_at_the_limit(broker, honest):
    """There they do, as those of a flood; and nobody who is in is put out."""
    half = b"\x10\x7f\0\x04MQ"
    with contextlib.ExitStack() as stack:
        for number in range(CLIENTS // 2):
            peer = stack.enter_context(silent(broker))
            if number % 2:
                peer.sendall(half)
        for _ in range(20):
            broker.client("sentient_api_prod").close()
        # One of those that are let in is the honest client.
        for _ in range(CLIENTS - CLIENTS // 2 - 1):
            stack.enter_context(silent(broker)).sendall(half)

        def full():
            # One that came while somebody was still counted was turned away, and its place is free.
            stack.enter_context(silent(broker)).sendall(half)
            return not lets_in(broker)

        eventually(full, 20)
        seen = honest.rounds
        eventually(lambda: honest.rounds > seen + 20, 20)
    eventually(lambda: lets_in(broker), 20)


def test_packets_above_the_limit_end_the_connection_and_take_no_memory(broker, honest):
    before = memory(broker)
    user, password = "sentient_api_prod", broker.passwords["sentient_api_prod"]
    with broker.client("admin") as observer, contextlib.ExitStack() as stack:
        observer.subscribe("paragon/size")
        for number in range(50):
            peer = stack.enter_context(Connection(broker.port, user, password, f"big-{number}"))
            raw = peer._socket
            # 256 MiB are announced, and none of them sent.
            raw.sendall(b"\x30" + length(268_435_455) + b"\0\x0cparagon/size")
            assert raw.recv(1000)[:1] in (b"", b"\xe0")
        assert memory(broker) < before + 20_000
        for text in ("f" * (PACKET - 100), "l" * (PACKET + 1)):
            with contextlib.suppress(OSError), broker.client(user) as sender:
                sender.publish("paragon/size", text)
        observer.publish("paragon/size", "fence")
        observer.got("paragon/size", "fence")
        assert [len(each.text) for each in observer.received] == [PACKET - 100, len("fence")]
    assert honest.failed is None


def test_readers_that_do_not_read_are_given_up_to_the_limit(broker, honest):
    """What is above it is dropped for them, and arrives with everybody else."""
    before = memory(broker)
    text, count, readers = "x" * 10_000, 2_000, 20
    user, password = "sentient_monitor_prod", broker.passwords["sentient_monitor_prod"]
    with contextlib.ExitStack() as stack:
        for number in range(readers):
            reader = Connection(broker.port, user, password, f"slow-{number}")
            stack.enter_context(reader)
            assert reader.subscribe(["paragon/slow"]) == ([0], set())
        held = stack.enter_context(broker.client(user, acknowledge=False))
        held.subscribe("paragon/slow")
        reads = stack.enter_context(broker.client("sentient_api_prod"))
        reads.subscribe("paragon/slow")
        sender = stack.enter_context(broker.client("admin"))
        for number in range(count):
            assert sender.publish("paragon/slow", f"{number} {text}") == "Success"
            if number % 50 == 49:
                # On a loaded machine a client that reads may be behind, too.
                reads.got("paragon/slow", f"{number} {text}", within=300)
        assert len(reads.received) == count
        # Each of them would have cost 20 MB, all of them 400.
        assert memory(broker) < before + 100_000
        sender.publish("paragon/slow", "fence", qos=0)
        assert len(held.received) <= INFLIGHT + 1
    assert honest.failed is None
