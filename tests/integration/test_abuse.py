"""Abusive clients neither stop the broker nor cost an honest client a message."""

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
    """A client that publishes with QoS 1 and receives every message before it sends the next."""

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
        except Exception as wrong:  # noqa: BLE001 (the test in the main thread reports it)
            self.failed = wrong

    def end(self) -> None:
        self._going = False
        self._thread.join()


@pytest.fixture
def honest(broker) -> Iterator[Honest]:
    """Verify that connection and process survive the abuse and that others can connect."""

    def life():
        return json.loads(broker.docker("inspect", broker.broker.container))[0]

    before = life()
    with broker.client("admin") as client:
        present = Honest(client)
        yield present
        rounds = present.rounds
        eventually(lambda: present.rounds > rounds or present.failed, 20)
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


def admits_admin(broker) -> bool:
    with contextlib.suppress(Refused, OSError, TimeoutError):
        broker.client("admin").close()
        return True
    return False


def silent(broker) -> socket.socket:
    """Return a TCP connection on which nothing was sent."""
    return socket.create_connection(("127.0.0.1", broker.port), timeout=120)


def send(broker, listener: str, numbers: range) -> None:
    """Send conversations from within the broker's network namespace, one per connection."""
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


def test_malformed_packets(broker, honest, line):
    """Every release line gets half of the packets."""
    send(broker, "mqtt", range(list(SUITES).index(line), PACKETS, len(SUITES)))

    # The packets were rejected because they are malformed, and not because of their login.
    log = broker.log()
    assert "protocol error" in log.lower() or "malformed" in log.lower()
    assert honest.rounds > 100


def test_malformed_websocket_frames(broker, honest):
    """The frames are malformed, too."""
    before = broker.log().count("New client connected")

    send(broker, "websocket", range(IN_FRAMES))

    # Most conversations log in first, in valid frames.
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


def test_flood_of_connections_from_one_address(broker, honest):
    """The broker admits no more than the limit, and all clients again after the flood."""
    with contextlib.ExitStack() as stack:
        admitted = 0
        for number in range(CLIENTS * 3):
            with contextlib.suppress(OSError):
                stack.enter_context(
                    Connection(broker.port, "admin", broker.passwords["admin"], f"flood-{number}")
                )
                admitted += 1
        # The honest client has one connection.
        assert admitted == CLIENTS - 1
        with pytest.raises((Refused, OSError, TimeoutError)):
            broker.client("admin")

    eventually(lambda: admits_admin(broker), 20)
    assert honest.failed is None


def test_half_open_connections_block_logins_only_at_the_limit(broker, honest):
    """At the limit they do, as a flood does; connected clients stay connected."""
    half = b"\x10\x7f\0\x04MQ"
    with contextlib.ExitStack() as stack:
        for number in range(CLIENTS // 2):
            peer = stack.enter_context(silent(broker))
            if number % 2:
                peer.sendall(half)
        for _ in range(20):
            broker.client("sentient_api_prod").close()
        # The honest client has one connection.
        for _ in range(CLIENTS - CLIENTS // 2 - 1):
            stack.enter_context(silent(broker)).sendall(half)

        def full():
            # A connection that the broker refused meanwhile leaves its place free.
            stack.enter_context(silent(broker)).sendall(half)
            return not admits_admin(broker)

        eventually(full, 20)
        rounds = honest.rounds
        eventually(lambda: honest.rounds > rounds + 20, 20)
    eventually(lambda: admits_admin(broker), 20)


def test_too_large_packet_closes_the_connection_and_takes_no_memory(broker, honest):
    before = memory(broker)
    user, password = "sentient_api_prod", broker.passwords["sentient_api_prod"]
    with broker.client("admin") as observer, contextlib.ExitStack() as stack:
        observer.subscribe("paragon/size")
        for number in range(50):
            peer = stack.enter_context(Connection(broker.port, user, password, f"big-{number}"))
            raw = peer._socket
            # 256 MiB are announced and never sent.
            raw.sendall(b"\x30" + length(268_435_455) + b"\0\x0cparagon/size")
            assert raw.recv(1000)[:1] in (b"", b"\xe0")
        assert memory(broker) < before + 20_000
        for text in ("f" * (PACKET - 100), "l" * (PACKET + 1)):
            with contextlib.suppress(OSError), broker.client(user) as sender:
                sender.publish("paragon/size", text)
        observer.publish("paragon/size", "fence")
        observer.got("paragon/size", "fence")
        assert [len(message.text) for message in observer.received] == [PACKET - 100, len("fence")]
    assert honest.failed is None


def test_slow_readers_are_queued_messages_up_to_the_limit(broker, honest):
    """The broker drops further messages for them, and delivers all to other clients."""
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
        # Without a limit every reader would cost 20 MB, together 400 MB.
        assert memory(broker) < before + 100_000
        sender.publish("paragon/slow", "fence", qos=0)
        assert len(held.received) <= INFLIGHT + 1
    assert honest.failed is None
