"""What 1,000 connected clients notice of a new user and a new rule: `pulumi up`, and by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.clients import Address, Client, TurnedAwayError
from bench.publisher import AGAIN_AFTER, PAYLOAD, Publisher
from bench.site import temporary_stack

PAIRS = 500
"""Each a client that publishes and one that receives what it publishes."""
PERIOD = 0.5
AT_ONCE = 50
"""Clients under way at the start, so that the start is no storm."""
CALM = 3.0
"""Seconds before a change and after it."""
PATIENCE = 60.0
NEWCOMER = "bench_newcomer"
ALARM = "paragon/bench/alarms/door"


@dataclass
class Seen:
    """What happened to all clients between two instants."""

    disconnected: int
    acknowledged: int
    lost: int
    stall: float
    """The longest time without a message that a subscriber saw, beyond the period."""


@dataclass
class Pair:
    """A publisher, and the subscriber of what it publishes."""

    publisher: Publisher
    receiving: Address
    arrived: set[int] = field(default_factory=set)
    instants: list[float] = field(default_factory=list)
    cut_off: int = 0
    receives: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def make(cls, number: int, publishing: Address, receiving: Address) -> Pair:
        publisher = Publisher(
            number=number,
            client_id=f"from-{number}",
            address=publishing,
            topic=f"paragon/room-{number}/sensors/bench",
            period=PERIOD,
            offset=number / PAIRS,
        )
        return cls(publisher, receiving)

    @property
    def disconnected(self) -> int:
        return self.cut_off + self.publisher.disconnected

    async def receive(self) -> None:
        while True:
            client = await self._dial()
            await client.subscribe(self.publisher.topic)
            self.receives.set()
            await client.closed
            self.receives.clear()
            self.cut_off += 1
            await asyncio.sleep(AGAIN_AFTER)

    async def _dial(self) -> Client:
        name = f"to-{self.publisher.number}"
        while True:
            try:
                return await Client.dial(self.receiving, name, on_message=self._arrived)
            except OSError:
                await asyncio.sleep(AGAIN_AFTER)

    def _arrived(self, payload: bytes) -> None:
        _, message = PAYLOAD.unpack(payload)
        self.arrived.add(message)
        self.instants.append(time.perf_counter())


async def meanwhile(pairs: list[Pair], change: Callable[[], None]) -> Seen:
    """Let *change* happen, in a thread of its own, and return what the pairs saw of it."""
    first = [each.publisher.acknowledged + 1 for each in pairs]
    before = sum(each.disconnected for each in pairs)
    for each in pairs:
        each.instants[:] = each.instants[-1:]
    await asyncio.sleep(CALM)
    await asyncio.to_thread(change)
    await all_are_there(pairs)
    await asyncio.sleep(CALM)
    last = [each.publisher.acknowledged for each in pairs]
    await asyncio.sleep(CALM)  # what was acknowledged by then has arrived by now, or never does
    gaps = (
        later - earlier
        for each in pairs
        for earlier, later in zip(each.instants, each.instants[1:], strict=False)
    )
    wanted = [
        set(range(start, end + 1)) - each.arrived
        for each, start, end in zip(pairs, first, last, strict=True)
    ]
    return Seen(
        disconnected=sum(each.disconnected for each in pairs) - before,
        acknowledged=sum(end - start + 1 for start, end in zip(first, last, strict=True)),
        lost=sum(map(len, wanted)),
        stall=max(gaps) - PERIOD,
    )


async def all_are_there(pairs: list[Pair]) -> None:
    async with asyncio.timeout(PATIENCE):
        for each in pairs:
            await each.receives.wait()
            await each.publisher.there.wait()


async def measure(site: Any) -> tuple[Seen, Seen, Seen]:
    """Return what the clients saw of a preview, of `pulumi up`, and of a restart."""
    publishing, receiving = (
        Address(host="127.0.0.1", port=site.ports[0], user=name, password=site.password(name))
        for name in ("paragon_devices", "sentient_api_prod")
    )
    pairs = [Pair.make(number, publishing, receiving) for number in range(PAIRS)]
    tasks: list[asyncio.Task[None]] = []
    try:
        for first in range(0, PAIRS, AT_ONCE):
            some = pairs[first : first + AT_ONCE]
            tasks += [asyncio.create_task(each.receive()) for each in some]
            async with asyncio.timeout(PATIENCE):
                for each in some:
                    await each.receives.wait()
            tasks += [asyncio.create_task(each.publisher.run()) for each in some]
        await all_are_there(pairs)
        before = config_files(site)
        site.edit(change)
        calm = await meanwhile(pairs, site.preview)
        ours = await meanwhile(pairs, site.up)
        newcomer = replace(
            publishing, user=NEWCOMER, password=await asyncio.to_thread(site.password, NEWCOMER)
        )
        known = await is_known(newcomer), await may_alarm(publishing, receiving)
        assert known == (True, True), f"the change did not reach the broker: {known}"
        theirs = await meanwhile(pairs, lambda: by_hand(site, before))
        known = await is_known(newcomer), await may_alarm(publishing, receiving)
        assert known == (False, False), f"the restart did not reach the broker: {known}"
        return calm, ours, theirs
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def change(config: dict[str, Any]) -> None:
    """Add a user, and a rule to a user that has clients."""
    users = config["users"]
    users[NEWCOMER] = {"read": ["paragon/+/status/#"]}
    users["paragon_devices"]["write"].append("paragon/+/alarms/#")


def config_files(site: Any) -> dict[str, bytes]:
    folder = site.settings.broker.folders.config
    return {path: text for path, text in site.files().items() if path.startswith(folder)}


def by_hand(site: Any, files: dict[str, bytes]) -> None:
    """Write *files* as an editor does, and restart the container, as the page says."""
    for path, text in files.items():
        Path(path).write_bytes(text)
    site.docker("restart", site.container)


async def is_known(newcomer: Address) -> bool:
    try:
        client = await Client.dial(newcomer, NEWCOMER)
    except TurnedAwayError:
        return False
    client.abort()
    return True


async def may_alarm(publishing: Address, receiving: Address) -> bool:
    """Tell whether the new rule holds: a denied publish is acknowledged, and never arrives."""
    arrived = asyncio.Event()
    listener = await Client.dial(receiving, "hears", on_message=lambda _: arrived.set())
    await listener.subscribe(ALARM)
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
        listener.abort()
        device.abort()


def main() -> None:
    """Print lines of docs/explanation/bench.md; what `pulumi up` disturbed is an error."""
    with temporary_stack("unnoticed") as stack:
        site = stack.site
        site.up()
        calm, ours, theirs = asyncio.run(measure(site))
    clients = f"of {2 * PAIRS:,} clients"
    print(
        f"| disconnected by a new user and a new rule, {clients}: `pulumi up` against files by "
        f"hand and `docker restart` | {ours.disconnected / theirs.disconnected:.2f} times | "
        f"{ours.disconnected:,} against {theirs.disconnected:,} |"
    )
    print(
        f"| QoS 1 messages acknowledged and not delivered meanwhile | "
        f"{ours.lost} against {theirs.lost:,} | of {ours.acknowledged:,} and of "
        f"{theirs.acknowledged:,} |"
    )
    print(
        f"| longest time without a message that a subscriber saw meanwhile, beyond the period of "
        f"{PERIOD} s | {ours.stall / theirs.stall:.3f} times | {ours.stall:.3f} s against "
        f"{theirs.stall:.3f} s; {calm.stall:.3f} s in a preview, which changes nothing |"
    )
    assert (ours.disconnected, ours.lost) == (0, 0), f"somebody noticed: {ours}"


if __name__ == "__main__":
    main()
