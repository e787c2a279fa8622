"""Measure the latency of a regular client while another client abuses the broker."""

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
    wait_until_ready,
)
from bench.clients import Address, Client, connect_packet, packet, string
from bootstrap.docker_daemon import ensure_daemon

SECONDS = 10
RATE = 100
"""Messages per second."""
LARGEST = 100_000
"""``max_packet_size`` in bytes; production's file has the limit of the protocol."""
TOPIC = "paragon/room/sensors/honest"
BOUND = 3
"""The factor by which abuse may raise the median; p99 varies too much with three on two cores."""
STALLED = 1_000
READERS = 50


async def measure_latencies(running: Running) -> list[float]:
    """Return the seconds from publisher to subscriber, of each message."""
    latencies: list[float] = []

    complete = asyncio.Event()

    def arrived(payload: bytes) -> None:
        latencies.append(time.perf_counter() - struct.unpack("!d", payload)[0])
        if len(latencies) == SECONDS * RATE:
            complete.set()

    address = running.address
    receiving = replace(address, user=RECEIVES)
    publisher = await Client.dial(address, "honest-from")
    subscriber = await Client.dial(receiving, "honest-to", on_message=arrived)
    try:
        await subscriber.subscribe(TOPIC)
        gc.collect()
        gc.disable()
        began = time.perf_counter()
        for number in range(SECONDS * RATE):
            await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
            publisher.publish(TOPIC, struct.pack("!d", time.perf_counter()), number + 1)
        async with asyncio.timeout(30):
            await complete.wait()
        gc.enable()
        assert not publisher.closed.done(), "the regular publisher lost its connection"
        assert not subscriber.closed.done(), "the regular subscriber lost its connection"
        return latencies
    finally:
        publisher.abort()
        subscriber.abort()


def flood(address: Address) -> Iterator[None]:
    """Log in and disconnect, one connection after the other."""
    connect = connect_packet(address, "flood")
    while True:
        with contextlib.suppress(OSError), _dial(address) as peer:
            peer.sendall(connect)
            peer.recv(4)
        yield


def wrong_password(address: Address) -> Iterator[None]:
    """Log in with a wrong password, one connection after the other."""
    return flood(replace(address, password=PASSWORD[:-1]))


def half_open(address: Address) -> Iterator[None]:
    """Hold connections that never complete their first packet, and reconnect closed ones."""
    held = [_stall(address) for _ in range(STALLED)]
    number = 0
    while True:
        held[number % STALLED].close()
        held[number % STALLED] = _stall(address)
        number += 1
        yield


def malformed(address: Address) -> Iterator[None]:
    """Log in, then send random bytes."""
    chance = random.Random(1883)  # noqa: S311 (the same bytes in each run)
    connect = connect_packet(address, "malformed")
    while True:
        with contextlib.suppress(OSError), _dial(address) as peer:
            peer.sendall(connect + chance.randbytes(chance.randrange(2, 200)))
            peer.recv(64)
        yield


def oversize(address: Address) -> Iterator[None]:
    """Log in, then send a packet of twice the limit."""
    connect = connect_packet(address, "oversize")
    large = packet(0x30, string(TOPIC), b"x" * (2 * LARGEST))
    while True:
        with contextlib.suppress(OSError), _dial(address) as peer:
            peer.sendall(connect + large)
            peer.recv(64)
        yield


def slow_readers(address: Address) -> Iterator[None]:
    """Subscribe without reading, and publish messages for these subscribers."""
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
    message = packet(0x32, string("paragon/room/sensors/slow"), b"\0\x01", b"x" * 1000)
    while held:
        publisher.sendall(message)
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
    f"{READERS} subscribers that do not read 1,000 messages a second": slow_readers,
}


def _dial(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), timeout=5)


def _stall(address: Address) -> socket.socket:
    peer = _dial(address)
    peer.sendall(b"\x10\x7f\0\x04MQ")
    return peer


def attack(kind: str, host: str, port: int) -> None:
    """Run the attack for a fixed time, and print its rate per second."""
    address = Address(host=host, port=port, user=PUBLISHES, password=PASSWORD)
    attempts = KINDS[kind](address)
    next(attempts)
    print("begun", flush=True)
    count, began = 0, time.perf_counter()
    while time.perf_counter() < began + SECONDS + 2:
        next(attempts)
        count += 1
    print(f"{count / (time.perf_counter() - began):.0f}", flush=True)


def measure_under_attack(kind: str, running: Running) -> tuple[list[float], int]:
    """Return the latencies of the regular client, and the attempts of the attacker per second."""
    address = (running.address.host, str(running.address.port))
    argv = [sys.executable, "-m", "bench.abuse", kind, *address]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as attacker:
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == "begun\n"
        latencies = asyncio.run(measure_latencies(running))
        rate = int(attacker.stdout.readline())
    return latencies, rate


def main() -> None:
    """Print rows for the table in docs/explanation/bench.md."""
    if len(sys.argv) > 1:
        kind, host, port = sys.argv[1:]
        attack(kind, host, int(port))
        return
    daemon = ensure_daemon()
    with (
        folders(max_packet_size=LARGEST) as (broker, root),
        in_a_container(broker, root, daemon) as running,
    ):
        asyncio.run(wait_until_ready(running.address))
        too_slow: list[str] = []
        for kind in KINDS:
            alone = _p50_and_p99(asyncio.run(measure_latencies(running)))
            latencies, rate = measure_under_attack(kind, running)
            p50, p99 = _p50_and_p99(latencies)
            if p50 > BOUND * alone[0]:
                too_slow.append(f"{kind}: {p50 / alone[0]:.1f} times")
            print(
                f"| {kind}, {rate:,} a second | {p50 / alone[0]:.1f} times, {p99 / alone[1]:.1f} "
                f"times | p50 {p50:.2f} ms against {alone[0]:.2f} ms, p99 {p99:.2f} ms against "
                f"{alone[1]:.2f} ms |"
            )
        assert not too_slow, f"the median rose by more than {BOUND} times: {'; '.join(too_slow)}"


def _p50_and_p99(latencies: list[float]) -> tuple[float, float]:
    """Return two percentiles in milliseconds."""
    percentiles = statistics.quantiles(latencies, n=100)
    return 1000 * percentiles[49], 1000 * percentiles[98]


if __name__ == "__main__":
    main()
