"""What a disturbance happens to: a stack that is up, its host, and the clients of its broker."""

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
"""Seconds; production says 300. What a kill may cost is short against what was saved before it."""
PERIOD = 2.0
"""Seconds from one message of a publisher to its next."""
DISK = "16m"
"""Of the data folder: room for some ten times what waits for the subscriber."""
QUEUE = 100_000
"""Messages that may wait; production's 10,000 are 100 seconds of 200 clients."""
FLEET, SUBSCRIBES = "soak", "sentient_api_prod"
PATIENCE = 120.0
"""Seconds until everybody is back and was acknowledged."""
COMMAND_PATIENCE = 300.0


@dataclass
class Stage:
    """All that the disturbances reach; seconds are since the epoch."""

    stack: Stack
    dockerd: Dockerd
    subscriber: Subscriber
    publishers: list[Publisher]
    saves: Saves
    acknowledged: dict[Message, float] = field(default_factory=dict)
    kills: list[Span] = field(default_factory=list)
    full: list[Span] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=dict)
    """How often each kind has happened."""

    def taken_of(self, publisher: int) -> Callable[[int, float], None]:
        """Return what notes the acknowledgements of one publisher."""

        def note(number: int, at: float) -> None:
            self.acknowledged[Message(publisher, number)] = at

        return note

    @property
    def data(self) -> Path:
        return Path(self.stack.settings.broker.folders.data)

    @property
    def cut_off(self) -> int:
        """Connections that ended, but for the subscriber's when it left."""
        return self.subscriber.disconnected + sum(each.disconnected for each in self.publishers)

    def run(self, *words: str) -> str:
        """Run a command on the stack, as `./brokerctl` does, and return what it said."""
        _, said = self.stack.command(*words, patience=COMMAND_PATIENCE)
        return said

    def up(self) -> float:
        """Return the seconds that `pulumi up` takes."""
        return self.stack.up(COMMAND_PATIENCE)

    def state(self) -> dict[str, Any]:
        """Return what Docker says of the container's state."""
        found: dict[str, Any] = self.stack.site.inspect()["State"]
        return found

    def passwords(self) -> dict[str, str]:
        """Return what everybody logs in with now, by name."""
        logins = all_logins(self.stack.settings, self.stack.site.outputs())
        return {name: each.password for name, each in logins.items()}

    def new_logins(self) -> None:
        """Have the publishers connect with the passwords of now, the next time they do."""
        passwords = self.passwords()
        for each in self.publishers:
            each.address = replace(each.address, password=passwords[each.client_id])

    async def everybody_is_served(self, *, since: float = 0.0) -> None:
        """
        Return once each publisher had one more message acknowledged.

        With *since* it is on a connection made after that instant: acknowledgements of a broker
        that is gone may still be on their way.
        """
        async with asyncio.timeout(PATIENCE):
            for each in self.publishers:
                each.taken.clear()
            for each in self.publishers:
                await each.taken.wait()
                while each.connected_at <= since:
                    each.taken.clear()
                    await each.taken.wait()


@contextmanager
def a_disk_of_its_own(stack: Stack) -> Iterator[None]:
    """Give the data folder a small file system, and take it away again."""
    folder = Path(stack.settings.broker.folders.data)
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def declare(stack: Stack, clients: int) -> None:
    """Say in the stack file what the soak needs, and put the commands beside it."""

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


def people(stack: Stack, dockerd: Dockerd) -> Stage:
    """Return the stage of a stack that is up, with everybody still at home."""
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
    for each in stage.publishers:
        each.on_taken = stage.taken_of(each.number)
    return stage
