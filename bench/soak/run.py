"""One run, on a server of its own, from `pulumi up` to the report; 1 where something was lost."""

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
from bench.soak.report import Happened, Record, render
from bench.soak.stage import (
    AUTOSAVE,
    PATIENCE,
    Stage,
    a_disk_of_its_own,
    declare,
    people,
)
from bootstrap.daemon import ensure_daemon
from cli.errors import CommandError

STRAYS = (AssertionError, OSError, CommandError, TooSlowError, subprocess.SubprocessError)
"""What a disturbance that does not come off ends with: the run is over, and its report is made."""
UNSAVED = (0.5, 1.0, 0.1)
"""Parts of the interval for which nothing was saved, in turn, where the subscriber is away."""
MARGIN = 900.0
"""Seconds that a run may take beyond its minutes, on a machine that is busy."""


async def soak(stage: Stage, plan: Plan) -> Record:
    """Have everybody come, disturb them as planned, and count."""
    happened: list[Happened] = []
    failures: list[str] = []
    start, what = time.time(), "the start"
    tasks = [asyncio.create_task(each) for each in (stage.saves.watch(), stage.subscriber.run())]
    try:
        async with asyncio.timeout(plan.seconds + MARGIN):
            # Nothing is kept for a session that is not there yet, or not on disk before a kill.
            stage.subscriber.come()
            await stage.subscriber.caught_up()
            tasks += [asyncio.create_task(each.run()) for each in stage.publishers]
            await stage.everybody_is_served()
            start = await stage.saves.after(time.time())
            for slot in plan.slots:
                if time.time() - start > plan.seconds and slot.kind in stage.times:
                    break
                await asyncio.sleep(start + slot.at - time.time())
                what = slot.kind
                happened.append(await disturb(stage, slot, happened[-1].over if happened else 0.0))
                print(_line(happened[-1], start), flush=True)
            await asyncio.sleep(start + plan.seconds - time.time())
    except STRAYS as wrong:
        failures.append(f"{what}: {type(wrong).__name__}: {wrong}")
    try:
        happened.append(await finish(stage, plan, happened[-1].over if happened else 0.0))
    except STRAYS as wrong:
        failures.append(f"the end: {type(wrong).__name__}: {wrong}")
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    failures += [f"a client: {each!r}" for each in ended if isinstance(each, Exception)]
    return Record(
        start=start,
        happened=happened,
        acknowledged=stage.acknowledged,
        arrived=stage.subscriber.arrived,
        evidence=Evidence(
            interval=AUTOSAVE, kills=stage.kills, saves=stage.saves.instants, full=stage.full
        ),
        again=stage.subscriber.again,
        resent=sum(each.resent for each in stage.publishers),
        sessions=stage.subscriber.sessions,
        failures=failures,
        left_out=len(plan.slots) - sum(stage.times.values()),
    )


async def disturb(stage: Stage, slot: Slot, since: float) -> Happened:
    """Let one disturbance happen, and return once everything is as it was before."""
    subscriber, before = stage.subscriber, stage.cut_off
    if slot.away:
        subscriber.leave()
        # Of what waits for it, some is on disk then, and some in memory alone.
        saved = await stage.saves.after(time.time())
        age = AUTOSAVE * UNSAVED[stage.times.get(slot.kind, 0) % len(UNSAVED)]
        await asyncio.sleep(saved + age - time.time())
    stage.times[slot.kind] = stage.times.get(slot.kind, 0) + 1
    began = time.time()
    what = await DISTURBANCES[slot.kind](stage)
    await stage.everybody_is_served()
    if slot.away:
        subscriber.come()
    await subscriber.caught_up()
    return Happened(
        slot=slot,
        since=since,
        began=began,
        over=time.time(),
        what=what,
        cut_off=stage.cut_off - before,
        outage=max(
            (e.connected_at - e.cut_off_at for e in stage.publishers if e.cut_off_at > began),
            default=0.0,
        ),
    )


async def finish(stage: Stage, plan: Plan, since: float) -> Happened:
    """Return once nothing is under way any more."""
    began, before = time.time(), stage.cut_off
    async with asyncio.timeout(PATIENCE):
        for each in stage.publishers:
            each.ending = True
        for each in stage.publishers:
            while each.sent > each.acknowledged:
                each.taken.clear()
                await each.taken.wait()
        stage.subscriber.come()
        await stage.subscriber.caught_up()
    return Happened(
        slot=Slot(at=plan.seconds, kind="the end", away=False),
        since=since,
        began=began,
        over=time.time(),
        what="publishing has stopped",
        cut_off=stage.cut_off - before,
    )


def _line(this: Happened, start: float) -> str:
    seconds = int(this.began - start)
    where = "subscriber away" if this.slot.away else "subscriber there"
    return f"{seconds // 60:02}:{seconds % 60:02} {this.slot.kind} ({where}): {this.what}"


def main() -> None:
    """Bring everything up, run, and write the report; the folder is the caller's to remove."""
    parser = argparse.ArgumentParser(description="Run a soak on the server that this runs on.")
    parser.add_argument("--minutes", required=True)
    parser.add_argument("--clients", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--image", type=Path, required=True, help="a tar of docker save")
    given = parser.parse_args()
    plan = Plan.parse(given.minutes, given.clients)
    dockerd = Dockerd(given.folder)
    dockerd.start()
    try:
        ensure_daemon().ask("load", "--input", str(given.image))
        with temporary_stack("soak") as stack:
            declare(stack, plan.clients)
            with a_disk_of_its_own(stack):
                stack.up()
                record = asyncio.run(soak(people(stack, dockerd), plan))
    finally:
        dockerd.stop()
    report = render(record)
    (given.folder / "report.md").write_text(report, encoding="utf-8")
    print(f"\n{report}", end="")
    sys.exit(1 if record.wrong else 0)


if __name__ == "__main__":
    main()
