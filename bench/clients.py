"""Lightweight MQTT 3.1.1 clients with QoS 1, thousands in one event loop."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
KEEP_ALIVE = 3600
"""Longer than any measurement, because the clients send no PINGREQ."""


class LoginRefusedError(Exception):
    """The broker answered CONNECT with a code other than 0."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """The address of a listener, with a user name and password."""

    host: str
    port: int
    user: str
    password: str


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def connect_packet(address: Address, client_id: str, *, persistent: bool = False) -> bytes:
    """Return a CONNECT packet with a login; *persistent* asks for a persistent session."""
    flags = b"\xc0" if persistent else b"\xc2"
    return packet(
        0x10,
        b"\0\x04MQTT\x04" + flags + struct.pack("!H", KEEP_ALIVE),
        *map(string, (client_id, address.user, address.password)),
    )


class Client(asyncio.Protocol):
    """
    One connection. The futures ``connected`` and ``closed`` mark its begin and its end.

    *on_message* gets the payload of a received message, *on_acknowledged* the packet ID of a
    PUBACK. With *persistent* the broker keeps the session; ``resumed`` is whether it had one.
    """

    def __init__(
        self,
        address: Address,
        client_id: str,
        *,
        persistent: bool = False,
        on_message: Callable[[bytes], None] | None = None,
        on_acknowledged: Callable[[int], None] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[None] = loop.create_future()
        self.subscribed: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.resumed = False
        self._connect = connect_packet(address, client_id, persistent=persistent)
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
        persistent: bool = False,
        on_message: Callable[[bytes], None] | None = None,
        on_acknowledged: Callable[[int], None] | None = None,
    ) -> Client:
        """Return a connected client; raise OSError if the broker does not answer."""
        client = cls(
            address,
            client_id,
            persistent=persistent,
            on_message=on_message,
            on_acknowledged=on_acknowledged,
        )
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: client, address.host, address.port)
        try:
            await client.connected
        except BaseException:
            client.abort()
            raise
        return client

    def subscribe(self, topic_filter: str) -> asyncio.Future[None]:
        self._transport.write(packet(0x82, b"\0\x01", string(topic_filter), b"\x01"))
        return self.subscribed

    def publish(self, topic: str, payload: bytes, number: int, *, again: bool = False) -> None:
        """Publish with QoS 1; *again* marks a message that was sent before (DUP)."""
        head = 0x3A if again else 0x32
        self._transport.write(packet(head, string(topic), struct.pack("!H", number), payload))

    def abort(self) -> None:
        """Close without a DISCONNECT packet, like a client that loses its power."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._connect)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.connected, self.subscribed):
            if not future.done():
                future.set_exception(
                    exc or ConnectionResetError("the broker closed the connection")
                )
                future.exception()  # mark it as retrieved
        if not self.closed.done():  # a cancelled waiter cancels the future, too
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
                    self.connected.set_exception(LoginRefusedError(f"code {body[1]}"))
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
        """Yield kind, QoS and body of every complete packet; buffer the rest."""
        data = self._buffer + data
        begin = 0
        while bounds := _body_bounds(data, begin):
            body, end = bounds
            yield data[begin] >> 4, data[begin] >> 1 & 3, data[body:end]
            begin = end
        self._buffer = data[begin:]


def _body_bounds(data: bytes, begin: int) -> tuple[int, int] | None:
    """Return begin and end of the body of the packet at *begin*; None if it is incomplete."""
    length = 0
    for offset in range(1, 5):
        if begin + offset >= len(data):
            return None
        digit = data[begin + offset]
        length |= (digit & 0x7F) << 7 * (offset - 1)
        if not digit & 0x80:
            break
    body = begin + offset + 1
    return (body, body + length) if body + length <= len(data) else None


def packet(head: int, *fields: bytes) -> bytes:
    """Return a control packet whose first byte is *head* (MQTT 3.1.1, section 2.2)."""
    body = b"".join(fields)
    length, left = b"", len(body)
    while True:
        left, digit = left >> 7, left & 0x7F
        length += bytes([digit | 0x80 if left else digit])
        if not left:
            return bytes([head]) + length + body


def string(text: str) -> bytes:
    """Return *text* with its length as prefix (MQTT 3.1.1, section 1.5.3)."""
    encoded = text.encode()
    return struct.pack("!H", len(encoded)) + encoded
