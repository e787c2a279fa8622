"""Compare 10,000 connections with traffic in the container and in the same Mosquitto without it."""

from __future__ import annotations

import asyncio
import gc
import statistics
import struct
import time
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

from bench.brokers import (
    RECEIVES,
    TIMEOUT,
    Running,
    bare,
    folders,
    in_a_container,
    wait_until_ready,
)
from bench.clients import Client
from bootstrap.docker_daemon import ensure_daemon

PUBLISHERS = 5_000
"""The number of publishers; every publisher has one subscriber."""
RATE = 1_000
"""Messages per second."""
SECONDS = 20
ROUNDS = 2
"""The rounds alternate; the better result was less disturbed by other work of the machine."""
AT_ONCE = 50
"""The number of clients that connect at the same time."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The memory of the broker, and the latency in seconds."""

    kilobytes: int
    p50: float
    p99: float


async def measure(running: Running) -> Cost:
    """Connect all clients, publish, and return the cost."""
    latencies: list[float] = []

    def arrived(payload: bytes) -> None:
        latencies.append(time.perf_counter() - struct.unpack_from("!d", payload)[0])

    receiving = replace(running.address, user=RECEIVES)
    publishers: list[Client] = []
    subscribers: list[Client] = []
    try:
        await wait_until_ready(running.address)
        for first in range(0, PUBLISHERS, AT_ONCE):
            numbers = range(first, first + AT_ONCE)
            async with asyncio.timeout(TIMEOUT):
                publishers += await asyncio.gather(
                    *(Client.dial(running.address, f"from-{number}") for number in numbers)
                )
                subscribers += await asyncio.gather(
                    *(
                        Client.dial(receiving, f"to-{number}", on_message=arrived)
                        for number in numbers
                    )
                )
                await asyncio.gather(
                    *(subscribers[number].subscribe(topic(number)) for number in numbers)
                )
        gc.collect()
        gc.disable()
        await publish(publishers)
        gc.enable()
        lost = [client for client in (*publishers, *subscribers) if client.closed.done()]
        assert not lost, f"{len(lost)} connections were lost"
        assert len(latencies) == RATE * SECONDS, f"{len(latencies)} messages arrived"
        percentiles = statistics.quantiles(latencies, n=100)
        return Cost(kilobytes=resident(running.pid), p50=percentiles[49], p99=percentiles[98])
    finally:
        for client in (*publishers, *subscribers):
            client.abort()


def topic(number: int) -> str:
    return f"paragon/room-{number}/sensors/bench"


async def publish(publishers: list[Client]) -> None:
    """Publish at the rate, one client after the other, and wait for the last deliveries."""
    began = time.perf_counter()
    for number in range(RATE * SECONDS):
        wait = began + number / RATE - time.perf_counter()
        await asyncio.sleep(max(0.0, wait))
        payload = struct.pack("!d56x", time.perf_counter())
        publishers[number % PUBLISHERS].publish(
            topic(number % PUBLISHERS), payload, number // PUBLISHERS + 1
        )
    took = time.perf_counter() - began
    assert took < SECONDS * 1.1, f"{took:.1f} s: this machine is too slow for the rate"
    await asyncio.sleep(2)


def resident(pid: int) -> int:
    """Return the resident memory of a process in kilobytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0])


def main() -> None:
    """Print rows for the table in docs/explanation/bench.md."""
    daemon = ensure_daemon()
    in_container: list[Cost] = []
    without: list[Cost] = []
    for _ in range(ROUNDS):
        for start, costs in ((in_a_container, in_container), (bare, without)):
            with folders() as (broker, root), start(broker, root, daemon) as running:
                costs.append(asyncio.run(measure(running)))
    setup = (
        f"{2 * PUBLISHERS:,} connections and {RATE:,} messages a second, our container against the "
        "same Mosquitto bare"
    )
    first, second = (
        min(cost.kilobytes for cost in costs) / 1024 for costs in (in_container, without)
    )
    ratio = first / second
    print(f"| {setup}: memory | {ratio:.2f} times | {first:.1f} MiB against {second:.1f} MiB |")
    for name in ("p50", "p99"):
        first, second = (
            1000 * min(map(attrgetter(name), costs)) for costs in (in_container, without)
        )
        print(
            f"| the same: {name} of the time from publisher to subscriber | {first / second:.2f} "
            f"times | {first:.2f} ms against {second:.2f} ms |"
        )


if __name__ == "__main__":
    main()
