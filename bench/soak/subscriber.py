"""A subscriber with a persistent session, which records the delivered messages."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from bench.clients import Address, Client, LoginRefusedError
from bench.publisher import ANSWER_TIMEOUT, PAYLOAD, RECONNECT_DELAY
from bench.soak.judge import Message

CLIENT_ID = "soak-subscriber"
FILTER = "paragon/+/sensors/soak"
MARKER_TOPIC = "paragon/subscriber/sensors/soak"
TIMEOUT = 30.0
"""Seconds after which a connection without further messages is closed."""
MARKER = 0xFFFF
"""The publisher's number in markers, which the subscriber sends to itself."""


@dataclass
class Subscriber:
    """A QoS 1 client, which can disconnect while the broker queues its messages."""

    address: Address
    arrived: dict[Message, float] = field(default_factory=dict)
    """The time of the first delivery, in seconds since the epoch."""
    again: list[float] = field(default_factory=list)
    """The times of repeated deliveries."""
    sessions: int = 0
    """The number of new sessions: 1, unless the broker lost the session."""
    disconnected: int = 0
    """The number of connections that ended without a call of ``disconnect``."""
    _connecting: asyncio.Event = field(default_factory=asyncio.Event)
    _connected: asyncio.Event = field(default_factory=asyncio.Event)
    _client: Client | None = None
    _markers: int = 0
    _marker_arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def connect(self) -> None:
        self._connecting.set()

    def disconnect(self) -> None:
        """Disconnect without a DISCONNECT packet, like a client that loses its network."""
        self._connecting.clear()
        if self._client is not None:
            self._client.abort()

    async def run(self) -> None:
        while True:
            await self._connecting.wait()
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    client = await Client.dial(
                        self.address, CLIENT_ID, persistent=True, on_message=self._arrived
                    )
                    self._client = client
                    if not client.resumed:
                        self.sessions += 1
                        await client.subscribe(FILTER)
            except (OSError, LoginRefusedError):
                await asyncio.sleep(RECONNECT_DELAY)
                continue
            self._connected.set()
            try:
                await client.closed
            finally:
                client.abort()
                self._connected.clear()
            if self._connecting.is_set():
                self.disconnected += 1
                await asyncio.sleep(RECONNECT_DELAY)

    async def caught_up(self) -> None:
        """Return once all queued messages were delivered: a marker arrives after them."""
        self._markers += 1
        self._marker_arrived.clear()
        arrived = asyncio.ensure_future(self._marker_arrived.wait())
        try:
            while not arrived.done():
                await self._connected.wait()
                client = self._client
                assert client is not None
                client.publish(MARKER_TOPIC, PAYLOAD.pack(MARKER, self._markers), 1)
                closed = asyncio.ensure_future(asyncio.wait([client.closed]))
                done, _ = await asyncio.wait(
                    [arrived, closed], return_when=asyncio.FIRST_COMPLETED, timeout=TIMEOUT
                )
                closed.cancel()
                if not done:
                    client.abort()
        finally:
            arrived.cancel()

    def _arrived(self, payload: bytes) -> None:
        message = Message(*PAYLOAD.unpack(payload))
        if message.publisher == MARKER:
            if message.number == self._markers:
                self._marker_arrived.set()
        elif message in self.arrived:
            self.again.append(time.time())
        else:
            self.arrived[message] = time.time()
