"""The test environment of a run: a deployed stack, its host, and the clients of its broker."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.clients import Address
from bench.publisher import Publisher
from bench.site import Stack
from bench.site.server import Dockerd
from bench.soak.judge import GRAIN, Message, Span
from bench.soak.saves import Saves
from bench.soak.subscriber import Subscriber
from cli.users.credentials import all_logins

AUTOSAVE = 5
"""Seconds; 300 in production. Short, so that most messages are saved before a kill."""
PERIOD = 2.0
"""Seconds between two messages of a publisher."""
DISK = "16m"
"""The size of the data folder's disk: about ten times the queued messages."""
QUEUE = 100_000
"""The limit of queued messages; production's 10,000 suffice for 100 seconds of 200 clients."""
FLEET, SUBSCRIBES = "soak", "sentient_api_prod"
TIMEOUT = 120.0
"""Seconds for all publishers to reconnect and to get an acknowledgement."""
COMMAND_TIMEOUT = 300.0


@dataclass
class Stage:
    """The stack, its clients, and the recorded events; times are in seconds since the epoch."""

    stack: Stack
    dockerd: Dockerd
    subscriber: Subscriber
    publishers: list[Publisher]
    saves: Saves
    acknowledged: dict[Message, float] = field(default_factory=dict)
    kills: list[Span] = field(default_factory=list)
    full: list[Span] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=dict)
    """The number of disturbances, by kind."""

    def record_pubacks(self, publisher: int) -> Callable[[int, float], None]:
        """Return a callback that records the acknowledgements of *publisher*."""

        def record(number: int, at: float) -> None:
            self.acknowledged[Message(publisher, number)] = at

        return record

    @property
    def data(self) -> Path:
        return Path(self.stack.settings.broker.folders.data)

    @property
    def disconnected(self) -> int:
        """The number of ended connections, except that of the subscriber when it left."""
        return self.subscriber.disconnected + sum(
            publisher.disconnected for publisher in self.publishers
        )

    def run(self, *words: str) -> str:
        """Run a command of `./brokerctl` for the stack, and return its output."""
        _, output = self.stack.command(*words, timeout=COMMAND_TIMEOUT)
        return output

    def up(self) -> float:
        """Return the seconds that `pulumi up` takes."""
        return self.stack.up(COMMAND_TIMEOUT)

    def state(self) -> dict[str, Any]:
        """Return the state of the container from `docker inspect`."""
        state: dict[str, Any] = self.stack.site.inspect()["State"]
        return state

    def passwords(self) -> dict[str, str]:
        """Return the current passwords, by user."""
        logins = all_logins(self.stack.settings, self.stack.site.outputs())
        return {name: login.password for name, login in logins.items()}

    def update_passwords(self) -> None:
        """Give the publishers their current passwords, for their next connection."""
        passwords = self.passwords()
        for publisher in self.publishers:
            publisher.address = replace(publisher.address, password=passwords[publisher.client_id])

    async def wait_for_pubacks(self, *, since: float = 0.0) -> None:
        """
        Return once every publisher got another acknowledgement.

        With *since*, on a connection that began after that time: acknowledgements of a former
        broker may still arrive.
        """
        async with asyncio.timeout(TIMEOUT):
            for publisher in self.publishers:
                publisher.puback.clear()
            for publisher in self.publishers:
                await publisher.puback.wait()
                while publisher.connected_at <= since:
                    publisher.puback.clear()
                    await publisher.puback.wait()


@contextmanager
def small_disk(stack: Stack) -> Iterator[None]:
    """Mount a small file system at the data folder during the block."""
    folder = Path(stack.settings.broker.folders.data)
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def declare(stack: Stack, clients: int) -> None:
    """Change the stack file for the soak test, and add the commands to the project."""

    def change(config: dict[str, Any]) -> None:
        broker = config["broker"]
        broker["persistence"] = {"autosaveInterval": AUTOSAVE}
        broker["limits"]["maxQueuedMessages"] = QUEUE
        backups = str(stack.site.root / "backups")
        broker["backups"] = {"folder": backups, "schedule": None, "keep": 3}
        config["fleets"] = {
            FLEET: {"count": clients, "prefix": f"{FLEET}-", "write": ["paragon/%u/sensors/#"]}
        }

    stack.edit(change)
    stack.add_commands()


def create_stage(stack: Stack, dockerd: Dockerd) -> Stage:
    """Return the stage of a deployed stack, with clients that are not connected yet."""
    fleet, port = stack.settings.fleets[FLEET], stack.site.ports[0]
    logins = all_logins(stack.settings, stack.site.outputs())

    def address(user: str) -> Address:
        return Address(host="127.0.0.1", port=port, user=user, password=logins[user].password)

    stage = Stage(
        stack=stack,
        dockerd=dockerd,
        subscriber=Subscriber(address(SUBSCRIBES)),
        saves=Saves(Path(stack.settings.broker.folders.data, "mosquitto.db"), AUTOSAVE + 2 * GRAIN),
        publishers=[
            Publisher(
                number=number,
                client_id=name,
                address=address(name),
                topic=f"paragon/{name}/sensors/soak",
                period=PERIOD,
                offset=number / len(fleet.admitted),
            )
            for number, name in enumerate(fleet.admitted)
        ],
    )
    for publisher in stage.publishers:
        publisher.on_puback = stage.record_pubacks(publisher.number)
    return stage
