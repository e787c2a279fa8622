"""A QoS 1 publisher that numbers its messages and reconnects."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.clients import Address, Client, LoginRefusedError

RECONNECT_DELAY = 1.0
"""Seconds until a disconnected client reconnects; paho's first delay."""
ANSWER_TIMEOUT = 10.0
"""Seconds after which a connection without an answer is closed."""
PAYLOAD = struct.Struct("!HI")
"""The number of the publisher, and the number of the message."""


@dataclass
class Publisher:
    """
    Publishes the next message once the previous one is acknowledged.

    A message without an acknowledgement is sent again on the next connection, with its number.
    """

    number: int
    client_id: str
    address: Address
    """Read at every connection, so that a new password takes effect at the next one."""
    topic: str
    period: float
    """Seconds from one message to the next."""
    offset: float
    """The fraction of the period, from 0 to 1, to wait before the first message."""
    on_puback: Callable[[int, float], None] | None = None
    """Called with the message's number and the time of its PUBACK, in seconds since the epoch."""
    sent: int = 0
    acknowledged: int = 0
    resent: int = 0
    disconnected: int = 0
    connected_at: float = 0.0
    """The time of the last login, in seconds since the epoch; so is ``disconnected_at``."""
    disconnected_at: float = 0.0
    ending: bool = False
    """Whether to send no new messages, but to complete the current one."""
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    puback: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at every PUBACK; clear it before waiting for the next one."""
    _sent_at: float = 0.0

    async def run(self) -> None:
        while True:
            client = await self._dial()
            self.connected_at = time.time()
            self.connected.set()
            if self.sent > self.acknowledged:
                self.resent += 1
                self._send(client, again=True)
            ticking = asyncio.create_task(self._tick(client))
            try:
                await client.closed
            finally:
                ticking.cancel()
                client.abort()
            self.connected.clear()
            self.disconnected += 1
            self.disconnected_at = time.time()
            await asyncio.sleep(RECONNECT_DELAY)

    async def _dial(self) -> Client:
        while True:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    return await Client.dial(
                        self.address, self.client_id, on_acknowledged=self._acknowledge
                    )
            except (OSError, LoginRefusedError):
                await asyncio.sleep(RECONNECT_DELAY)

    async def _tick(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self.period * self.offset
        while True:
            await asyncio.sleep(due - loop.time())
            due += self.period
            if self.sent > self.acknowledged:
                if loop.time() - self._sent_at > ANSWER_TIMEOUT:
                    client.abort()
            elif not self.ending:
                self.sent += 1
                self._send(client)

    def _send(self, client: Client, *, again: bool = False) -> None:
        self._sent_at = asyncio.get_running_loop().time()
        payload = PAYLOAD.pack(self.number, self.sent)
        client.publish(self.topic, payload, self.sent % 65_535 + 1, again=again)

    def _acknowledge(self, packet_id: int) -> None:
        # A message that was sent twice can be acknowledged twice.
        if self.sent == self.acknowledged or packet_id != self.sent % 65_535 + 1:
            return
        self.acknowledged = self.sent
        self.puback.set()
        if self.on_puback is not None:
            self.on_puback(self.sent, time.time())
