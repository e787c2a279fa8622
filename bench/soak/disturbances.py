"""What is done to the broker, each seen to have happened; each says what it was."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.clients import Client, TurnedAwayError
from bench.site.server import child_of
from bench.soak.judge import GRAIN, Span
from bench.soak.plan import KINDS
from bench.soak.stage import AUTOSAVE, Stage

SOMEBODY_ELSE = "sentient_executor_prod"
ONE_IN = 10
"""Publishers that are rotated at a time: each tenth, and others the next time."""
BLOCK = 65_536


async def reload(stage: Stage) -> str:
    """Add a user with `pulumi up`, who can then log in."""
    name = f"guest_{stage.times['reload']}"
    stage.stack.edit(
        lambda config: config["users"].update({name: {"read": ["paragon/+/status/#"]}})
    )
    await asyncio.to_thread(stage.up)
    assert await asyncio.to_thread(stage.stack.lets_in, name), f"{name} is not let in"
    return f"user {name} by `pulumi up`"


async def rotate_another_user(stage: Stage) -> str:
    """Rotate a user who has no client here."""
    before = await asyncio.to_thread(stage.passwords)
    await asyncio.to_thread(stage.run, "rotate", SOMEBODY_ELSE, "--yes")
    after = await asyncio.to_thread(stage.passwords)
    changed = sorted(name for name in after if after[name] != before[name])
    assert changed == [SOMEBODY_ELSE], f"rotated: {changed}"
    return f"`./brokerctl rotate {SOMEBODY_ELSE}`"


async def rotate_publishers(stage: Stage) -> str:
    """Rotate some publishers, who are told their new passwords afterwards."""
    some = stage.publishers[stage.times["rotate publishers"] % ONE_IN :: ONE_IN]
    some = some or stage.publishers[:1]
    old, before = some[0].address, [each.disconnected for each in some]
    names = [each.client_id for each in some]
    await asyncio.to_thread(stage.run, "rotate", *names, "--yes")
    await asyncio.to_thread(stage.new_logins)
    assert all(now.disconnected > then for now, then in zip(some, before, strict=True))
    try:
        client = await Client.dial(old, f"{old.user}-old")
    except TurnedAwayError:
        return (
            f"`./brokerctl rotate` of {len(some)} of them; refused until they have the new password"
        )
    client.abort()
    raise AssertionError(f"{old.user}: the password before the rotation is still good")


async def backup(stage: Stage) -> str:
    """Make an archive, which is there afterwards."""
    said = await asyncio.to_thread(stage.run, "backup", "create")
    found = re.match(r"(\S+: [\d,]+ bytes)\nIt holds (.*), and", said)
    assert found is not None, said
    return f"`./brokerctl backup create`: {found[2]}"


async def kill(stage: Stage) -> str:
    """Kill the broker's process; Docker starts it again by itself."""
    before = await asyncio.to_thread(stage.state)
    init = int(before["Pid"])
    broker = child_of(init)
    began = time.time()
    os.kill(broker, signal.SIGKILL)
    await stage.everybody_is_served(since=began)
    after = await asyncio.to_thread(stage.state)
    assert after["Pid"] != init, "the broker that was killed is still there"
    # What its predecessor acknowledged was read by then: nobody dials within AGAIN_AFTER.
    first = min(each.connected_at for each in stage.publishers)
    stage.kills.append(Span(began=began, ended=first))
    return f"the broker's process; the next one accepted a login {first - began:.1f} s later"


async def restart_docker(stage: Stage) -> str:
    """Stop the daemon, and start it; the broker comes back with it."""
    before, began = await asyncio.to_thread(stage.state), time.time()
    await asyncio.to_thread(stage.dockerd.stop)
    stopped = time.time()
    await asyncio.to_thread(stage.dockerd.start)
    await stage.everybody_is_served(since=began)
    after = await asyncio.to_thread(stage.state)
    assert after["StartedAt"] != before["StartedAt"], "the broker was not restarted"
    first = min(each.connected_at for each in stage.publishers)
    return (
        f"the daemon; it took {stopped - began:.1f} s to end; a login was accepted "
        f"{first - stopped:.1f} s later"
    )


async def fill_the_disk(stage: Stage) -> str:
    """Fill the data folder's disk until an autosave met that, free it, and wait for a good save."""
    before, began = stage.saves.sizes[-1], time.time()
    filler = stage.data / "filler"
    try:
        fill(filler)
        # An autosave that fails may show nothing that could be waited for.
        await asyncio.sleep(AUTOSAVE + GRAIN)
        during = size_of(stage.data / "mosquitto.db")
    finally:
        filler.unlink()
        freed = time.time()
        stage.full.append(Span(began=began, ended=freed))
    saved = await stage.saves.after(freed)
    return (
        f"full for {freed - began:.1f} s; the database had {before:,} bytes before, and {during} "
        f"meanwhile; saved again {saved - freed:.1f} s after the disk was freed"
    )


def fill(filler: Path) -> None:
    """Write until not even one byte more has room."""
    size = BLOCK
    with filler.open("wb", buffering=0) as file:
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    assert not os.statvfs(filler).f_bavail, "the disk has room left"


def size_of(database: Path) -> str:
    return f"{database.stat().st_size:,} bytes" if database.exists() else "not there"


DISTURBANCES: dict[str, Callable[[Stage], Awaitable[str]]] = dict(
    zip(
        KINDS,
        (
            reload,
            rotate_another_user,
            rotate_publishers,
            backup,
            kill,
            restart_docker,
            fill_the_disk,
        ),
        strict=True,
    )
)
