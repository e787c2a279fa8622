"""The disturbances: each one verifies that it happened, and returns a description."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.clients import Client, LoginRefusedError
from bench.site.server import child_of
from bench.soak.judge import GRAIN, Span
from bench.soak.plan import KINDS
from bench.soak.stage import AUTOSAVE, Stage

OTHER_USER = "sentient_executor_prod"
ONE_IN = 10
"""The rotation affects every tenth publisher, and others the next time."""
BLOCK = 65_536


async def reload(stage: Stage) -> str:
    """Add a user with `pulumi up`, and log in as this user."""
    name = f"guest_{stage.times['reload']}"
    stage.stack.edit(
        lambda config: config["users"].update({name: {"read": ["paragon/+/status/#"]}})
    )
    await asyncio.to_thread(stage.up)
    assert await asyncio.to_thread(stage.stack.accepts_login, name), f"{name} cannot log in"
    return f"user {name} by `pulumi up`"


async def rotate_another_user(stage: Stage) -> str:
    """Rotate the password of a user without clients."""
    before = await asyncio.to_thread(stage.passwords)
    await asyncio.to_thread(stage.run, "rotate", OTHER_USER, "--yes")
    after = await asyncio.to_thread(stage.passwords)
    changed = sorted(name for name in after if after[name] != before[name])
    assert changed == [OTHER_USER], f"rotated: {changed}"
    return f"`./brokerctl rotate {OTHER_USER}`"


async def rotate_publishers(stage: Stage) -> str:
    """Rotate the passwords of some publishers, who get them afterwards."""
    rotated = stage.publishers[stage.times["rotate publishers"] % ONE_IN :: ONE_IN]
    rotated = rotated or stage.publishers[:1]
    old, before = rotated[0].address, [publisher.disconnected for publisher in rotated]
    names = [publisher.client_id for publisher in rotated]
    await asyncio.to_thread(stage.run, "rotate", *names, "--yes")
    await asyncio.to_thread(stage.update_passwords)
    assert all(
        publisher.disconnected > count for publisher, count in zip(rotated, before, strict=True)
    )
    try:
        client = await Client.dial(old, f"{old.user}-old")
    except LoginRefusedError:
        return (
            f"`./brokerctl rotate` of {len(rotated)} of them; refused until they have the new "
            "password"
        )
    client.abort()
    raise AssertionError(f"{old.user}: the broker still accepts the former password")


async def backup(stage: Stage) -> str:
    """Create an archive."""
    output = await asyncio.to_thread(stage.run, "backup", "create")
    found = re.match(r"(\S+: [\d,]+ bytes)\nIt holds (.*), and", output)
    assert found is not None, output
    return f"`./brokerctl backup create`: {found[2]}"


async def kill(stage: Stage) -> str:
    """Kill the broker's process; Docker restarts the container."""
    before = await asyncio.to_thread(stage.state)
    init = int(before["Pid"])
    broker = child_of(init)
    began = time.time()
    os.kill(broker, signal.SIGKILL)
    await stage.wait_for_pubacks(since=began)
    after = await asyncio.to_thread(stage.state)
    assert after["Pid"] != init, "the killed broker still runs"
    # By then all PUBACKs of the killed broker were read: clients wait RECONNECT_DELAY.
    first = min(publisher.connected_at for publisher in stage.publishers)
    stage.kills.append(Span(began=began, ended=first))
    return f"the broker's process; the next one accepted a login {first - began:.1f} s later"


async def restart_docker(stage: Stage) -> str:
    """Restart the daemon, which also restarts the broker."""
    before, began = await asyncio.to_thread(stage.state), time.time()
    await asyncio.to_thread(stage.dockerd.stop)
    stopped = time.time()
    await asyncio.to_thread(stage.dockerd.start)
    await stage.wait_for_pubacks(since=began)
    after = await asyncio.to_thread(stage.state)
    assert after["StartedAt"] != before["StartedAt"], "the broker was not restarted"
    first = min(publisher.connected_at for publisher in stage.publishers)
    return (
        f"the daemon; it took {stopped - began:.1f} s to end; a login was accepted "
        f"{first - stopped:.1f} s later"
    )


async def fill_the_disk(stage: Stage) -> str:
    """Fill the disk of the data folder for longer than an autosave, free it, wait for a save."""
    before, began = stage.saves.sizes[-1], time.time()
    filler = stage.data / "filler"
    try:
        fill(filler)
        # A failed autosave may leave no trace to wait for.
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
    """Write until the disk has no byte left."""
    size = BLOCK
    with filler.open("wb", buffering=0) as file:
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    assert not os.statvfs(filler).f_bavail, "the disk is not full"


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
