"""Run a soak test on this isolated server: deploy, disturb, report; exit with 1 on a failure."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from pathlib import Path

from bench.site import TooSlowError, temporary_stack
from bench.site.server import Dockerd
from bench.soak.disturbances import DISTURBANCES
from bench.soak.judge import Evidence
from bench.soak.plan import Plan, Slot
from bench.soak.report import Disturbance, Record, render
from bench.soak.stage import (
    AUTOSAVE,
    TIMEOUT,
    Stage,
    create_stage,
    declare,
    small_disk,
)
from bootstrap.docker_daemon import ensure_daemon
from cli.errors import CommandError

FAILURES = (AssertionError, OSError, CommandError, TooSlowError, subprocess.SubprocessError)
"""The exceptions of a failed disturbance, which ends the run; the report is still written."""
UNSAVED = (0.5, 1.0, 0.1)
"""The age of the last save at a disturbance without the subscriber, in autosave intervals."""
MARGIN = 900.0
"""Seconds that a run may take beyond its minutes, on a busy machine."""


async def soak(stage: Stage, plan: Plan) -> Record:
    """Connect all clients, run the disturbances of *plan*, and return the results."""
    disturbances: list[Disturbance] = []
    failures: list[str] = []
    start, step = time.time(), "the start"
    tasks = [asyncio.create_task(task) for task in (stage.saves.watch(), stage.subscriber.run())]
    try:
        async with asyncio.timeout(plan.seconds + MARGIN):
            # The session must exist before the first message, and be on disk before a kill.
            stage.subscriber.connect()
            await stage.subscriber.caught_up()
            tasks += [asyncio.create_task(publisher.run()) for publisher in stage.publishers]
            await stage.wait_for_pubacks()
            start = await stage.saves.after(time.time())
            for slot in plan.slots:
                if time.time() - start > plan.seconds and slot.kind in stage.times:
                    break
                await asyncio.sleep(start + slot.at - time.time())
                step = slot.kind
                since = disturbances[-1].ended if disturbances else 0.0
                disturbances.append(await disturb(stage, slot, since))
                print(_line(disturbances[-1], start), flush=True)
            await asyncio.sleep(start + plan.seconds - time.time())
    except FAILURES as error:
        failures.append(f"{step}: {type(error).__name__}: {error}")
    try:
        since = disturbances[-1].ended if disturbances else 0.0
        disturbances.append(await finish(stage, plan, since))
    except FAILURES as error:
        failures.append(f"the end: {type(error).__name__}: {error}")
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    failures += [f"a client: {result!r}" for result in results if isinstance(result, Exception)]
    return Record(
        start=start,
        disturbances=disturbances,
        acknowledged=stage.acknowledged,
        arrived=stage.subscriber.arrived,
        evidence=Evidence(
            interval=AUTOSAVE, kills=stage.kills, saves=stage.saves.instants, full=stage.full
        ),
        again=stage.subscriber.again,
        resent=sum(publisher.resent for publisher in stage.publishers),
        sessions=stage.subscriber.sessions,
        failures=failures,
        left_out=len(plan.slots) - sum(stage.times.values()),
    )


async def disturb(stage: Stage, slot: Slot, since: float) -> Disturbance:
    """Run one disturbance, and return once all clients are connected and up to date again."""
    subscriber, disconnected_before = stage.subscriber, stage.disconnected
    if slot.away:
        subscriber.disconnect()
        # Some of the queued messages are on disk then, and some in memory only.
        saved = await stage.saves.after(time.time())
        age = AUTOSAVE * UNSAVED[stage.times.get(slot.kind, 0) % len(UNSAVED)]
        await asyncio.sleep(saved + age - time.time())
    stage.times[slot.kind] = stage.times.get(slot.kind, 0) + 1
    began = time.time()
    description = await DISTURBANCES[slot.kind](stage)
    await stage.wait_for_pubacks()
    if slot.away:
        subscriber.connect()
    await subscriber.caught_up()
    outages = (
        publisher.connected_at - publisher.disconnected_at
        for publisher in stage.publishers
        if publisher.disconnected_at > began
    )
    return Disturbance(
        slot=slot,
        since=since,
        began=began,
        ended=time.time(),
        description=description,
        disconnected=stage.disconnected - disconnected_before,
        outage=max(outages, default=0.0),
    )


async def finish(stage: Stage, plan: Plan, since: float) -> Disturbance:
    """Stop publishing, and return once all messages are acknowledged and delivered."""
    began, disconnected_before = time.time(), stage.disconnected
    async with asyncio.timeout(TIMEOUT):
        for publisher in stage.publishers:
            publisher.ending = True
        for publisher in stage.publishers:
            while publisher.sent > publisher.acknowledged:
                publisher.puback.clear()
                await publisher.puback.wait()
        stage.subscriber.connect()
        await stage.subscriber.caught_up()
    return Disturbance(
        slot=Slot(at=plan.seconds, kind="the end", away=False),
        since=since,
        began=began,
        ended=time.time(),
        description="publishing has stopped",
        disconnected=stage.disconnected - disconnected_before,
    )


def _line(disturbance: Disturbance, start: float) -> str:
    seconds = int(disturbance.began - start)
    slot = disturbance.slot
    subscriber = "subscriber away" if slot.away else "subscriber connected"
    clock = f"{seconds // 60:02}:{seconds % 60:02}"
    return f"{clock} {slot.kind} ({subscriber}): {disturbance.description}"


def main() -> None:
    """Deploy, run, and write the report into the folder, which the caller removes."""
    parser = argparse.ArgumentParser(description="Run a soak on the server that this runs on.")
    parser.add_argument("--minutes", required=True)
    parser.add_argument("--clients", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--image", type=Path, required=True, help="a tar of docker save")
    options = parser.parse_args()
    plan = Plan.parse(options.minutes, options.clients)
    dockerd = Dockerd(options.folder)
    dockerd.start()
    try:
        ensure_daemon().ask("load", "--input", str(options.image))
        with temporary_stack("soak") as stack:
            declare(stack, plan.clients)
            with small_disk(stack):
                stack.up()
                record = asyncio.run(soak(create_stage(stack, dockerd), plan))
    finally:
        dockerd.stop()
    report = render(record)
    (options.folder / "report.md").write_text(report, encoding="utf-8")
    print(f"\n{report}", end="")
    sys.exit(1 if record.errors else 0)


if __name__ == "__main__":
    main()
