"""
Kill `pulumi up` at random moments, with every process that it started; one `up` must complete it.

The moments are spread over the run by a seed, so a failure can be repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.clients import free_port
from bench.site import Stack, temporary_stack
from bench.site.stack import STACK

KILLS = 100
RETAINED = "paragon/room/status/killed"


@dataclass
class Scenario:
    """A change that the killed `up` is to make."""

    title: str
    prepare: Callable[[Stack, int], None]
    """With the number of the kill, which makes every change a different one."""
    seconds: float = 12.0
    """How long an `up` of it takes; the moment of the kill is within."""


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What one `up` did after a kill."""

    scenario: str
    moment: float
    left: str
    """What the killed run left behind, for the report."""
    seconds: float
    starts: int
    """How often the broker's container was started."""


def replace(stack: Stack, number: int) -> None:
    def change(config: dict[str, Any]) -> None:
        config["broker"]["limits"]["maxInflightMessages"] = 50 + number

    stack.edit(change)


def rotate(stack: Stack, number: int) -> None:
    stack.edit(lambda config: config["users"]["admin"].update(generation=str(number + 2)))


def from_nothing(stack: Stack, _: int) -> None:
    """Remove everything but data and state."""
    stack.site.destroy()


SCENARIOS = (
    Scenario("the container is replaced", replace),
    Scenario("a password is rotated", rotate),
    Scenario("everything is created", from_nothing),
)


def monitored(config: dict[str, Any]) -> None:
    config["broker"]["monitoring"] = {"user": "sentient_monitor_prod", "port": free_port()}


def kill_and_repair(stack: Stack, scenario: Scenario, number: int, moment: float) -> Repair:
    """
    Kill the `up` of *scenario* after *moment* seconds, and complete it with `./brokerctl up`.

    Raises:
        AssertionError: the second `up` failed, something is left over, or a message was lost.

    """
    site, name = stack.site, stack.site.container
    published = number > 0
    if published:
        with site.eventually_client("admin") as admin:
            admin.publish(RETAINED, str(number), retain=True)
    scenario.prepare(stack, number)
    began = time.monotonic()
    process = site.begin("up", "--yes", "--skip-preview", "--stack", STACK)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        _kill_session(process.pid)
        process.wait()
    else:
        scenario.seconds = time.monotonic() - began
    left = _left_behind(stack)
    since = f"{time.time():.6f}"
    seconds, output = stack.command("up", "--yes", "--cancel-stale")
    events = site.docker(
        *("events", "--since", since, "--until", f"{time.time():.6f}"),
        *("--filter", "event=start", "--format", "{{.Actor.Attributes.name}}"),
    )
    assert "The broker is up" in output, output
    with site.client("admin") as admin:
        admin.subscribe(RETAINED)
        if published:
            assert admin.got(RETAINED).text == str(number)
    found = set(site.docker("ps", "--all", "--format", "{{.Names}}").split())
    ours = {other for other in found if other.startswith(name)}
    assert ours == {name, f"{name}-exporter"}, ours
    return Repair(
        scenario=scenario.title,
        moment=moment,
        left=left,
        seconds=seconds,
        starts=events.split().count(name),
    )


def _kill_session(leader: int) -> None:
    """Kill all processes of a session; the engine gives its plugins process groups of their own."""
    while members := list(_members(leader)):
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)


def _members(session: int) -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state, _, _, sid = folder.joinpath("stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(sid) == session and state != "Z":
            yield int(folder.name)


def _left_behind(stack: Stack) -> str:
    """Return what the state says about the killed run."""
    site = stack.site
    (file,) = site.state.glob(".pulumi/stacks/*/*.json")
    latest = json.loads(file.read_text())["checkpoint"].get("latest") or {}
    pending = [
        f"{operation['type']} {operation['resource']['urn'].rpartition('::')[2]}"
        for operation in latest.get("pending_operations") or ()
    ]
    known = {
        resource.get("id")
        for resource in latest.get("resources") or ()
        if resource["type"] == "docker:index/container:Container"
    }
    listed = site.docker("ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}")
    orphans = [
        f"orphan {name.removeprefix(site.container) or 'broker'} {state}"
        for identity, name, state in (line.split() for line in listed.splitlines())
        if name.startswith(site.container) and identity not in known
    ]
    return ", ".join((*pending, *orphans)) or "nothing pending"


def run(stack: Stack, kills: int, seed: int) -> Iterator[Repair]:
    """Bring the stack up, and yield what one `up` did after each kill."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    stack.edit(monitored)
    stack.add_commands()
    stack.command("up", "--yes")
    for number in range(1, kills + 1):
        scenario = SCENARIOS[number % len(SCENARIOS)]
        moment = chance.uniform(0, scenario.seconds)
        yield kill_and_repair(stack, scenario, number, moment)


def main() -> None:
    """Print a line for each kill, and a row for docs/explanation/bench.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after that time")
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.seconds
    repairs: list[Repair] = []
    # Not compressed: the state is read after each kill.
    with temporary_stack("killed-ups", PULUMI_DIY_BACKEND_ZSTD="false") as stack:
        for repair in run(stack, arguments.kills, arguments.seed):
            repairs.append(repair)
            print(
                f"kill {len(repairs)} after {repair.moment:.1f} s ({repair.scenario}; "
                f"{repair.left}): one up, {repair.seconds:.1f} s, {repair.starts} starts",
                flush=True,
            )
            if time.monotonic() > deadline:
                break
    orphans = sum("orphan" in repair.left for repair in repairs)
    pending = sum(repair.left != "nothing pending" for repair in repairs)
    assert max(repair.starts for repair in repairs) <= 1
    print(
        f"| `up` killed at a random moment, {len(repairs)} times | {len(repairs)} completed by one "
        f"`up` | {pending} left something pending, {orphans} a container that the state did not "
        f"know; the broker was started at most once |"
    )


if __name__ == "__main__":
    main()
