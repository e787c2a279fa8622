"""Measure how a new user and a new rule disrupt 1,000 clients: by `pulumi up` and by a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.clients import Address, Client, LoginRefusedError
from bench.publisher import PAYLOAD, RECONNECT_DELAY, Publisher
from bench.site import temporary_stack

FLOWS = 500
"""The number of publishers; every publisher has one subscriber."""
PERIOD = 0.5
AT_ONCE = 50
"""The number of clients that connect at the same time."""
MARGIN = 3.0
"""Seconds to measure before and after a change."""
TIMEOUT = 60.0
NEW_USER = "bench_newcomer"
ALARM = "paragon/bench/alarms/door"


@dataclass
class Disruption:
    """The effects of a change on all clients."""

    disconnected: int
    acknowledged: int
    lost: int
    gap: float
    """The longest time between two messages of a subscriber, beyond the period."""


@dataclass
class Flow:
    """A publisher and its subscriber."""

    publisher: Publisher
    receiving: Address
    arrived: set[int] = field(default_factory=set)
    instants: list[float] = field(default_factory=list)
    subscriber_disconnected: int = 0
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def create(cls, number: int, publishing: Address, receiving: Address) -> Flow:
        publisher = Publisher(
            number=number,
            client_id=f"from-{number}",
            address=publishing,
            topic=f"paragon/room-{number}/sensors/bench",
            period=PERIOD,
            offset=number / FLOWS,
        )
        return cls(publisher, receiving)

    @property
    def disconnected(self) -> int:
        return self.subscriber_disconnected + self.publisher.disconnected

    async def receive(self) -> None:
        while True:
            client = await self._dial()
            await client.subscribe(self.publisher.topic)
            self.subscribed.set()
            await client.closed
            self.subscribed.clear()
            self.subscriber_disconnected += 1
            await asyncio.sleep(RECONNECT_DELAY)

    async def _dial(self) -> Client:
        name = f"to-{self.publisher.number}"
        while True:
            try:
                return await Client.dial(self.receiving, name, on_message=self._arrived)
            except OSError:
                await asyncio.sleep(RECONNECT_DELAY)

    def _arrived(self, payload: bytes) -> None:
        _, message = PAYLOAD.unpack(payload)
        self.arrived.add(message)
        self.instants.append(time.perf_counter())


async def measure_change(flows: list[Flow], change: Callable[[], None]) -> Disruption:
    """Run *change* in a thread, and return its effects on the clients."""
    first = [flow.publisher.acknowledged + 1 for flow in flows]
    disconnected_before = sum(flow.disconnected for flow in flows)
    for flow in flows:
        flow.instants[:] = flow.instants[-1:]
    await asyncio.sleep(MARGIN)
    await asyncio.to_thread(change)
    await all_connected(flows)
    await asyncio.sleep(MARGIN)
    last = [flow.publisher.acknowledged for flow in flows]
    await asyncio.sleep(MARGIN)  # for the delivery of acknowledged messages
    gaps = (
        later - earlier
        for flow in flows
        for earlier, later in zip(flow.instants, flow.instants[1:], strict=False)
    )
    missing = [
        set(range(start, end + 1)) - flow.arrived
        for flow, start, end in zip(flows, first, last, strict=True)
    ]
    return Disruption(
        disconnected=sum(flow.disconnected for flow in flows) - disconnected_before,
        acknowledged=sum(end - start + 1 for start, end in zip(first, last, strict=True)),
        lost=sum(map(len, missing)),
        gap=max(gaps) - PERIOD,
    )


async def all_connected(flows: list[Flow]) -> None:
    async with asyncio.timeout(TIMEOUT):
        for flow in flows:
            await flow.subscribed.wait()
            await flow.publisher.connected.wait()


async def measure(site: Any) -> tuple[Disruption, Disruption, Disruption]:
    """Return the effects of a preview, of `pulumi up`, and of a restart."""
    publishing, receiving = (
        Address(host="127.0.0.1", port=site.ports[0], user=name, password=site.password(name))
        for name in ("paragon_devices", "sentient_api_prod")
    )
    flows = [Flow.create(number, publishing, receiving) for number in range(FLOWS)]
    tasks: list[asyncio.Task[None]] = []
    try:
        for first in range(0, FLOWS, AT_ONCE):
            batch = flows[first : first + AT_ONCE]
            tasks += [asyncio.create_task(flow.receive()) for flow in batch]
            async with asyncio.timeout(TIMEOUT):
                for flow in batch:
                    await flow.subscribed.wait()
            tasks += [asyncio.create_task(flow.publisher.run()) for flow in batch]
        await all_connected(flows)
        former_files = config_files(site)
        site.edit(change)
        preview = await measure_change(flows, site.preview)
        up = await measure_change(flows, site.up)
        new_user = replace(
            publishing, user=NEW_USER, password=await asyncio.to_thread(site.password, NEW_USER)
        )
        in_force = await can_log_in(new_user), await may_publish_alarm(publishing, receiving)
        assert in_force == (True, True), f"`pulumi up` did not change the broker: {in_force}"
        restart = await measure_change(flows, lambda: write_and_restart(site, former_files))
        in_force = await can_log_in(new_user), await may_publish_alarm(publishing, receiving)
        assert in_force == (False, False), f"the restart did not change the broker: {in_force}"
        return preview, up, restart
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def change(config: dict[str, Any]) -> None:
    """Add a user, and a rule to a user with connected clients."""
    users = config["users"]
    users[NEW_USER] = {"read": ["paragon/+/status/#"]}
    users["paragon_devices"]["write"].append("paragon/+/alarms/#")


def config_files(site: Any) -> dict[str, bytes]:
    folder = site.settings.broker.folders.config
    return {path: text for path, text in site.files().items() if path.startswith(folder)}


def write_and_restart(site: Any, files: dict[str, bytes]) -> None:
    """Write *files* and restart the container, as in a manual setup."""
    for path, text in files.items():
        Path(path).write_bytes(text)
    site.docker("restart", site.container)


async def can_log_in(new_user: Address) -> bool:
    try:
        client = await Client.dial(new_user, NEW_USER)
    except LoginRefusedError:
        return False
    client.abort()
    return True


async def may_publish_alarm(publishing: Address, receiving: Address) -> bool:
    """Return whether the new rule is in force: a denied publish is acknowledged, not delivered."""
    arrived = asyncio.Event()
    subscriber = await Client.dial(receiving, "hears", on_message=lambda _: arrived.set())
    await subscriber.subscribe(ALARM)
    device = await Client.dial(publishing, "alarms")
    device.publish(ALARM, b"open", 1)
    try:
        async with asyncio.timeout(2):
            await arrived.wait()
    except TimeoutError:
        return False
    else:
        return True
    finally:
        subscriber.abort()
        device.abort()


def main() -> None:
    """Print rows for docs/explanation/bench.md; fail if `pulumi up` disrupts a client."""
    with temporary_stack("disruption") as stack:
        site = stack.site
        site.up()
        preview, up, restart = asyncio.run(measure(site))
    clients = f"of {2 * FLOWS:,} clients"
    print(
        f"| disconnected by a new user and a new rule, {clients}: `pulumi up` against files by "
        f"hand and `docker restart` | {up.disconnected / restart.disconnected:.2f} times | "
        f"{up.disconnected:,} against {restart.disconnected:,} |"
    )
    print(
        f"| QoS 1 messages acknowledged and not delivered meanwhile | "
        f"{up.lost} against {restart.lost:,} | of {up.acknowledged:,} and of "
        f"{restart.acknowledged:,} |"
    )
    print(
        f"| longest gap that a subscriber saw meanwhile, beyond the period of {PERIOD} s | "
        f"{up.gap / restart.gap:.3f} times | {up.gap:.3f} s against {restart.gap:.3f} s; "
        f"{preview.gap:.3f} s in a preview, which changes nothing |"
    )
    assert (up.disconnected, up.lost) == (0, 0), f"`pulumi up` disrupted clients: {up}"


if __name__ == "__main__":
    main()
