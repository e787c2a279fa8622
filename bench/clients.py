"""MQTT 3.1.1 clients by the thousand, in one event loop: QoS 1, no timers."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
KEEP_ALIVE = 3600
"""Longer than any measurement: nobody sends a PINGREQ."""


class TurnedAwayError(Exception):
    """The broker answered the login with another code than 0."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a broker listens, and a login that it knows."""

    host: str
    port: int
    user: str
    password: str


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def connect_packet(address: Address, client_id: str, *, lasting: bool = False) -> bytes:
    """Return a CONNECT with a login; a *lasting* session is one that outlives its connections."""
    flags = b"\xc0" if lasting else b"\xc2"
    return packet(
        0x10,
        b"\0\x04MQTT\x04" + flags + struct.pack("!H", KEEP_ALIVE),
        *map(string, (client_id, address.user, address.password)),
    )


class Client(asyncio.Protocol):
    """
    One connection. It is let in once ``connected`` is done, and over once ``closed`` is.

    *on_message* is given the payload of what arrives, *on_acknowledged* the number of what the
    broker took. With *lasting* the broker keeps the session, and ``resumed`` says that it had.
    """

    def __init__(
        self,
        address: Address,
        client_id: str,
        *,
        lasting: bool = False,
        on_message: Callable[[bytes], None] | None = None,
        on_acknowledged: Callable[[int], None] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[None] = loop.create_future()
        self.subscribed: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.resumed = False
        self._hello = connect_packet(address, client_id, lasting=lasting)
        self._on_message = on_message
        self._on_acknowledged = on_acknowledged
        self._buffer = b""
        self._transport: asyncio.Transport

    @classmethod
    async def dial(
        cls,
        address: Address,
        client_id: str,
        *,
        lasting: bool = False,
        on_message: Callable[[bytes], None] | None = None,
        on_acknowledged: Callable[[int], None] | None = None,
    ) -> Client:
        """Return a client that is let in; a broker that isn't there is an ``OSError``."""
        made = cls(
            address,
            client_id,
            lasting=lasting,
            on_message=on_message,
            on_acknowledged=on_acknowledged,
        )
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: made, address.host, address.port)
        try:
            await made.connected
        except BaseException:
            made.abort()
            raise
        return made

    def subscribe(self, topic_filter: str) -> asyncio.Future[None]:
        self._transport.write(packet(0x82, b"\0\x01", string(topic_filter), b"\x01"))
        return self.subscribed

    def publish(self, topic: str, payload: bytes, number: int, *, again: bool = False) -> None:
        """Send with QoS 1; *again* says that an earlier connection sent it already (DUP)."""
        head = 0x3A if again else 0x32
        self._transport.write(packet(head, string(topic), struct.pack("!H", number), payload))

    def abort(self) -> None:
        """Close without a word, as a client that lost its power."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._hello)

    def connection_lost(self, exc: Exception | None) -> None:
        for each in (self.connected, self.subscribed):
            if not each.done():
                each.set_exception(exc or ConnectionResetError("the broker closed the connection"))
                each.exception()  # nobody need ask for it
        if not self.closed.done():  # whoever waited for it may have been cancelled
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        for kind, qos, body in self._packets(data):
            if kind == PUBLISH:
                self._arrived(qos, body)
            elif kind == PUBACK and self._on_acknowledged is not None:
                self._on_acknowledged(struct.unpack("!H", body)[0])
            elif kind == CONNACK:
                if body[1] == 0:
                    self.resumed = bool(body[0] & 1)
                    self.connected.set_result(None)
                else:
                    self.connected.set_exception(TurnedAwayError(f"code {body[1]}"))
            elif kind == SUBACK:
                self.subscribed.set_result(None)

    def _arrived(self, qos: int, body: bytes) -> None:
        (length,) = struct.unpack_from("!H", body)
        begin = 2 + length
        if qos:
            self._transport.write(b"\x40\x02" + body[begin : begin + 2])
            begin += 2
        if self._on_message is not None:
            self._on_message(body[begin:])

    def _packets(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield kind, QoS and body of each packet that is whole; keep the rest."""
        data = self._buffer + data
        begin = 0
        while found := _whole(data, begin):
            body, end = found
            yield data[begin] >> 4, data[begin] >> 1 & 3, data[body:end]
            begin = end
        self._buffer = data[begin:]


def _whole(data: bytes, begin: int) -> tuple[int, int] | None:
    """Return where the body of the packet at *begin* begins and ends, if all of it is there."""
    length = 0
    for place in range(1, 5):
        if begin + place >= len(data):
            return None
        digit = data[begin + place]
        length |= (digit & 0x7F) << 7 * (place - 1)
        if not digit & 0x80:
            break
    body = begin + place + 1
    return (body, body + length) if body + length <= len(data) else None


def packet(head: int, *parts: bytes) -> bytes:
    """Return a control packet whose first byte is *head* (MQTT 3.1.1, section 2.2)."""
    body = b"".join(parts)
    length, left = b"", len(body)
    while True:
        left, digit = left >> 7, left & 0x7F
        length += bytes([digit | 0x80 if left else digit])
        if not left:
            return bytes([head]) + length + body


def string(text: str) -> bytes:
    """Return *text* with its length before it (MQTT 3.1.1, section 1.5.3)."""
    encoded = text.encode()
    return struct.pack("!H", len(encoded)) + encoded
