"""A publisher of QoS 1 that numbers its messages, and dials again by itself when it is cut off."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.clients import Address, Client, TurnedAwayError

AGAIN_AFTER = 1.0
"""Seconds until a client that was disconnected dials again: paho's first."""
ANSWER = 10.0
"""Seconds after which a connection without an answer is given up."""
PAYLOAD = struct.Struct("!HI")
"""The publisher's number, and the message's."""


@dataclass
class Publisher:
    """
    One message under way at a time: the next goes out when the one before was acknowledged.

    What a lost connection left without an acknowledgement is sent again, under its number.
    """

    number: int
    client_id: str
    address: Address
    """Read anew at each connection: a new password counts from the next one."""
    topic: str
    period: float
    """Seconds from one message to the next."""
    offset: float
    """Part of the period, from 0 to 1, that the first one waits: not all publish at once."""
    on_taken: Callable[[int, float], None] | None = None
    """Given the message's number and the time, in seconds since the epoch, at its PUBACK."""
    sent: int = 0
    acknowledged: int = 0
    resent: int = 0
    disconnected: int = 0
    connected_at: float = 0.0
    """When it was let in last, in seconds since the epoch; so is ``cut_off_at``."""
    cut_off_at: float = 0.0
    ending: bool = False
    """Nothing new is sent; what is under way is."""
    there: asyncio.Event = field(default_factory=asyncio.Event)
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at each PUBACK; whoever waits for the next one clears it."""
    _sent_at: float = 0.0

    async def run(self) -> None:
        while True:
            client = await self._dial()
            self.connected_at = time.time()
            self.there.set()
            if self.sent > self.acknowledged:
                self.resent += 1
                self._send(client, again=True)
            ticking = asyncio.create_task(self._tick(client))
            try:
                await client.closed
            finally:
                ticking.cancel()
                client.abort()
            self.there.clear()
            self.disconnected += 1
            self.cut_off_at = time.time()
            await asyncio.sleep(AGAIN_AFTER)

    async def _dial(self) -> Client:
        while True:
            try:
                async with asyncio.timeout(ANSWER):
                    return await Client.dial(
                        self.address, self.client_id, on_acknowledged=self._taken
                    )
            except (OSError, TurnedAwayError):
                await asyncio.sleep(AGAIN_AFTER)

    async def _tick(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self.period * self.offset
        while True:
            await asyncio.sleep(due - loop.time())
            due += self.period
            if self.sent > self.acknowledged:
                if loop.time() - self._sent_at > ANSWER:
                    client.abort()
            elif not self.ending:
                self.sent += 1
                self._send(client)

    def _send(self, client: Client, *, again: bool = False) -> None:
        self._sent_at = asyncio.get_running_loop().time()
        payload = PAYLOAD.pack(self.number, self.sent)
        client.publish(self.topic, payload, self.sent % 65_535 + 1, again=again)

    def _taken(self, packet_id: int) -> None:
        # A message that was sent again can be acknowledged twice.
        if self.sent == self.acknowledged or packet_id != self.sent % 65_535 + 1:
            return
        self.acknowledged = self.sent
        self.taken.set()
        if self.on_taken is not None:
            self.on_taken(self.sent, time.time())
