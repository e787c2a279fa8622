"""10,000 connections held while messages pass: our container, and the same Mosquitto bare."""

from __future__ import annotations

import asyncio
import gc
import statistics
import struct
import time
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

from bench.brokers import PATIENCE, RECEIVES, Running, bare, folders, in_a_container, until_there
from bench.clients import Client
from bootstrap.daemon import ensure_daemon

PAIRS = 5_000
"""Each a client that publishes and one that receives what it publishes."""
A_SECOND = 1_000
SECONDS = 20
ROUNDS = 2
"""In turn; the better of each is what the machine's other work disturbed less."""
AT_ONCE = 50
"""Clients under way at the start, so that the start is no storm."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """What holding the connections cost."""

    kilobytes: int
    median: float
    worst_of_hundred: float


async def hold(running: Running) -> Held:
    """Connect everybody, let messages pass, and return what was seen."""
    latencies: list[float] = []

    def arrived(payload: bytes) -> None:
        latencies.append(time.perf_counter() - struct.unpack_from("!d", payload)[0])

    receiving = replace(running.address, user=RECEIVES)
    publishers: list[Client] = []
    subscribers: list[Client] = []
    try:
        await until_there(running.address)
        for first in range(0, PAIRS, AT_ONCE):
            numbers = range(first, first + AT_ONCE)
            async with asyncio.timeout(PATIENCE):
                publishers += await asyncio.gather(
                    *(Client.dial(running.address, f"from-{each}") for each in numbers)
                )
                subscribers += await asyncio.gather(
                    *(Client.dial(receiving, f"to-{each}", on_message=arrived) for each in numbers)
                )
                await asyncio.gather(
                    *(subscribers[each].subscribe(topic(each)) for each in numbers)
                )
        gc.collect()
        gc.disable()
        await publish(publishers)
        gc.enable()
        lost = [each for each in (*publishers, *subscribers) if each.closed.done()]
        assert not lost, f"{len(lost)} connections were not held"
        assert len(latencies) == A_SECOND * SECONDS, f"{len(latencies)} messages arrived"
        hundredths = statistics.quantiles(latencies, n=100)
        return Held(
            kilobytes=resident(running.pid), median=hundredths[49], worst_of_hundred=hundredths[98]
        )
    finally:
        for each in (*publishers, *subscribers):
            each.abort()


def topic(number: int) -> str:
    return f"paragon/room-{number}/sensors/bench"


async def publish(publishers: list[Client]) -> None:
    """Publish at the rate, a client after the other, and wait for what is under way."""
    began = time.perf_counter()
    for number in range(A_SECOND * SECONDS):
        wait = began + number / A_SECOND - time.perf_counter()
        await asyncio.sleep(max(0.0, wait))
        payload = struct.pack("!d56x", time.perf_counter())
        publishers[number % PAIRS].publish(topic(number % PAIRS), payload, number // PAIRS + 1)
    took = time.perf_counter() - began
    assert took < SECONDS * 1.1, f"{took:.1f} s: this machine can't publish at the rate"
    await asyncio.sleep(2)


def resident(pid: int) -> int:
    """Return the kilobytes of a process that are in memory."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0])


def main() -> None:
    """Print lines of the table in docs/explanation/bench.md."""
    daemon = ensure_daemon()
    ours: list[Held] = []
    theirs: list[Held] = []
    for _ in range(ROUNDS):
        for ways, found in ((in_a_container, ours), (bare, theirs)):
            with folders() as (broker, root), ways(broker, root, daemon) as running:
                found.append(asyncio.run(hold(running)))
    what = (
        f"{2 * PAIRS:,} connections and {A_SECOND:,} messages a second, our container against the "
        "same Mosquitto bare"
    )
    mine, bares = (min(each.kilobytes for each in some) / 1024 for some in (ours, theirs))
    print(f"| {what}: memory | {mine / bares:.2f} times | {mine:.1f} MiB against {bares:.1f} MiB |")
    for name, of in (("p50", attrgetter("median")), ("p99", attrgetter("worst_of_hundred"))):
        mine, bares = (1000 * min(map(of, some)) for some in (ours, theirs))
        print(
            f"| the same: {name} of the time from publisher to subscriber | {mine / bares:.2f} "
            f"times | {mine:.2f} ms against {bares:.2f} ms |"
        )


if __name__ == "__main__":
    main()
