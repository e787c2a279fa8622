"""What an honest client notices while another address floods, stalls, slips or doesn't read."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from bench.brokers import (
    PASSWORD,
    PUBLISHES,
    RECEIVES,
    Running,
    folders,
    in_a_container,
    until_there,
)
from bench.clients import Address, Client, connect_packet, packet, string
from bootstrap.daemon import ensure_daemon

SECONDS = 10
A_SECOND = 100
LARGEST = 100_000
"""Bytes: ``max_packet_size`` here. In production's file it is the protocol's own limit."""
TOPIC = "paragon/room/sensors/honest"
MOST = 3
"""Times that the median may take beside the abuse; of p99, two cores for three say little."""
STALLED = 1_000
READERS = 50


async def listen(running: Running) -> list[float]:
    """Return the seconds from publisher to subscriber, of each message."""
    taken: list[float] = []

    everything = asyncio.Event()

    def arrived(payload: bytes) -> None:
        taken.append(time.perf_counter() - struct.unpack("!d", payload)[0])
        if len(taken) == SECONDS * A_SECOND:
            everything.set()

    address = running.address
    receiving = replace(address, user=RECEIVES)
    publisher = await Client.dial(address, "honest-from")
    subscriber = await Client.dial(receiving, "honest-to", on_message=arrived)
    try:
        await subscriber.subscribe(TOPIC)
        gc.collect()
        gc.disable()
        began = time.perf_counter()
        for number in range(SECONDS * A_SECOND):
            await asyncio.sleep(max(0.0, began + number / A_SECOND - time.perf_counter()))
            publisher.publish(TOPIC, struct.pack("!d", time.perf_counter()), number + 1)
        async with asyncio.timeout(30):
            await everything.wait()
        gc.enable()
        assert not publisher.closed.done(), "the honest publisher lost its connection"
        assert not subscriber.closed.done(), "the honest subscriber lost its connection"
        return taken
    finally:
        publisher.abort()
        subscriber.abort()


def flood(address: Address) -> Iterator[None]:
    """Log in and leave, one after the other."""
    hello = connect_packet(address, "flood")
    while True:
        with contextlib.suppress(OSError), _dial(address) as peer:
            peer.sendall(hello)
            peer.recv(4)
        yield


def wrong_password(address: Address) -> Iterator[None]:
    """As a flood, and never let in."""
    return flood(replace(address, password=PASSWORD[:-1]))


def half_open(address: Address) -> Iterator[None]:
    """Hold connections that never end their first packet, and renew those that were closed."""
    held = [_stall(address) for _ in range(STALLED)]
    number = 0
    while True:
        held[number % STALLED].close()
        held[number % STALLED] = _stall(address)
        number += 1
        yield


def malformed(address: Address) -> Iterator[None]:
    """Log in, then send what is no packet."""
    chance = random.Random(1883)  # noqa: S311 (the same bytes each time)
    hello = connect_packet(address, "malformed")
    while True:
        with contextlib.suppress(OSError), _dial(address) as peer:
            peer.sendall(hello + chance.randbytes(chance.randrange(2, 200)))
            peer.recv(64)
        yield


def oversize(address: Address) -> Iterator[None]:
    """Log in, then send a packet of twice the limit."""
    hello = connect_packet(address, "oversize")
    large = packet(0x30, string(TOPIC), b"x" * (2 * LARGEST))
    while True:
        with contextlib.suppress(OSError), _dial(address) as peer:
            peer.sendall(hello + large)
            peer.recv(64)
        yield


def slow_readers(address: Address) -> Iterator[None]:
    """Subscribe, never read, and publish what they ought to have read."""
    receiving = replace(address, user=RECEIVES)
    held = []
    for number in range(READERS):
        peer = _dial(receiving)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall(connect_packet(receiving, f"slow-{number}"))
        peer.sendall(packet(0x82, b"\0\x01", string("paragon/+/sensors/slow"), b"\x01"))
        held.append(peer)
    publisher = _dial(address)
    publisher.sendall(connect_packet(address, "to-the-slow"))
    late = packet(0x32, string("paragon/room/sensors/slow"), b"\0\x01", b"x" * 1000)
    while held:
        publisher.sendall(late)
        time.sleep(0.001)
        with contextlib.suppress(BlockingIOError):
            publisher.recv(65_536, socket.MSG_DONTWAIT)
        yield


KINDS: dict[str, Callable[[Address], Iterator[None]]] = {
    "logins one after the other": flood,
    "logins with a wrong password": wrong_password,
    f"{STALLED:,} connections that never end their first packet": half_open,
    "malformed packets after a login": malformed,
    "packets of twice the limit": oversize,
    f"{READERS} subscribers that don't read 1,000 messages a second": slow_readers,
}


def _dial(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), timeout=5)


def _stall(address: Address) -> socket.socket:
    peer = _dial(address)
    peer.sendall(b"\x10\x7f\0\x04MQ")
    return peer


def attack(kind: str, host: str, port: int) -> None:
    """Abuse until stdin is closed, and print how often."""
    address = Address(host=host, port=port, user=PUBLISHES, password=PASSWORD)
    times = KINDS[kind](address)
    next(times)
    print("begun", flush=True)
    count, began = 0, time.perf_counter()
    while time.perf_counter() < began + SECONDS + 2:
        next(times)
        count += 1
    print(f"{count / (time.perf_counter() - began):.0f}", flush=True)


def beside(kind: str, running: Running) -> tuple[list[float], int]:
    """Return what the honest client saw, and how often a second the other one tried."""
    words = (sys.executable, "-m", "bench.abuse", kind)
    where = (running.address.host, str(running.address.port))
    with subprocess.Popen([*words, *where], stdout=subprocess.PIPE, text=True) as attacker:
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == "begun\n"
        taken = asyncio.run(listen(running))
        rate = int(attacker.stdout.readline())
    return taken, rate


def main() -> None:
    """Print lines of the table in docs/explanation/bench.md."""
    if len(sys.argv) > 1:
        kind, host, port = sys.argv[1:]
        attack(kind, host, int(port))
        return
    daemon = ensure_daemon()
    with (
        folders(max_packet_size=LARGEST) as (broker, root),
        in_a_container(broker, root, daemon) as running,
    ):
        asyncio.run(until_there(running.address))
        late: list[str] = []
        for kind in KINDS:
            quiet = _figures(asyncio.run(listen(running)))
            taken, rate = beside(kind, running)
            p50, p99 = _figures(taken)
            if p50 > MOST * quiet[0]:
                late.append(f"{kind}: {p50 / quiet[0]:.1f} times")
            print(
                f"| {kind}, {rate:,} a second | {p50 / quiet[0]:.1f} times, {p99 / quiet[1]:.1f} "
                f"times | p50 {p50:.2f} ms against {quiet[0]:.2f} ms, p99 {p99:.2f} ms against "
                f"{quiet[1]:.2f} ms |"
            )
        assert not late, f"the median is more than {MOST} times as late beside {'; '.join(late)}"


def _figures(taken: list[float]) -> tuple[float, float]:
    hundredths = statistics.quantiles(taken, n=100)
    return 1000 * hundredths[49], 1000 * hundredths[98]


if __name__ == "__main__":
    main()
