"""The persistent subscriber: its session outlives its connections, and it counts what arrives."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from bench.clients import Address, Client, TurnedAwayError
from bench.publisher import AGAIN_AFTER, ANSWER, PAYLOAD
from bench.soak.judge import Message

CLIENT_ID = "soak-subscriber"
FILTER = "paragon/+/sensors/soak"
MARKED = "paragon/subscriber/sensors/soak"
PATIENCE = 30.0
"""Seconds after which a connection that brings nothing more is given up."""
NOBODY = 0xFFFF
"""The publisher's number in messages of the subscriber's own."""


@dataclass
class Subscriber:
    """One client of QoS 1; it is there, or away while the broker keeps its messages."""

    address: Address
    arrived: dict[Message, float] = field(default_factory=dict)
    """The time at which each arrived first, in seconds since the epoch."""
    again: list[float] = field(default_factory=list)
    """When one arrived that had arrived before."""
    sessions: int = 0
    """Connections at which the broker knew nothing of it: one, the first."""
    disconnected: int = 0
    """Connections that ended though it had not left."""
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _there: asyncio.Event = field(default_factory=asyncio.Event)
    _client: Client | None = None
    _marks: int = 0
    _seen: asyncio.Event = field(default_factory=asyncio.Event)

    def come(self) -> None:
        self._wanted.set()

    def leave(self) -> None:
        """Go without a word, as one that lost its network."""
        self._wanted.clear()
        if self._client is not None:
            self._client.abort()

    async def run(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                async with asyncio.timeout(ANSWER):
                    client = await Client.dial(
                        self.address, CLIENT_ID, lasting=True, on_message=self._arrived
                    )
                    self._client = client
                    if not client.resumed:
                        self.sessions += 1
                        await client.subscribe(FILTER)
            except (OSError, TurnedAwayError):
                await asyncio.sleep(AGAIN_AFTER)
                continue
            self._there.set()
            try:
                await client.closed
            finally:
                client.abort()
                self._there.clear()
            if self._wanted.is_set():
                self.disconnected += 1
                await asyncio.sleep(AGAIN_AFTER)

    async def caught_up(self) -> None:
        """Return once all that waited for it has arrived: a message of its own comes after it."""
        self._marks += 1
        self._seen.clear()
        seen = asyncio.ensure_future(self._seen.wait())
        try:
            while not seen.done():
                await self._there.wait()
                client = self._client
                assert client is not None
                client.publish(MARKED, PAYLOAD.pack(NOBODY, self._marks), 1)
                over = asyncio.ensure_future(asyncio.wait([client.closed]))
                done, _ = await asyncio.wait(
                    [seen, over], return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE
                )
                over.cancel()
                if not done:
                    client.abort()
        finally:
            seen.cancel()

    def _arrived(self, payload: bytes) -> None:
        message = Message(*PAYLOAD.unpack(payload))
        if message.publisher == NOBODY:
            if message.number == self._marks:
                self._seen.set()
        elif message in self.arrived:
            self.again.append(time.time())
        else:
            self.arrived[message] = time.time()
