"""A client of MQTT 5 that sends many requests in one write, for tests with thousands of them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import Self

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 2, 3, 4, 9, 13
PATIENCE = 120.0


class LoginRefused(Exception):
    """The broker refused the login; the text is the reason code."""


class Connection:
    """A connected client."""

    def __init__(
        self, to: int | socket.socket, user: str | None, password: str, client_id: str
    ) -> None:
        """Log in over a socket, or on a port of this machine; anonymously without a *user*."""
        if isinstance(to, int):
            self._socket = socket.create_connection(("127.0.0.1", to), timeout=PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self._socket = to
        self._buffer = b""
        clean = b"\x02" if user is None else b"\xc2"
        keep_alive, no_properties = b"\0\x3c", b"\0"
        login = () if user is None else (user, password)
        self._send(
            0x10,
            b"\0\x04MQTT\x05" + clean + keep_alive + no_properties,
            *(_string(text) for text in (client_id, *login)),
        )
        kind, body = self._receive()
        if kind != CONNACK or body[1] != 0:
            self._socket.close()
            raise LoginRefused(body[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def publish(self, topics: Iterable[str]) -> list[int]:
        """Publish to all *topics* with QoS 1; return the reason codes of the PUBACKs, in order."""
        packets = [
            _packet(0x32, _string(topic), struct.pack("!H", number), b"\0", b"x")
            for number, topic in enumerate(topics, start=1)
        ]
        self._socket.sendall(b"".join(packets))
        codes: dict[int, int] = {}
        while len(codes) < len(packets):
            kind, body = self._receive()
            if kind == PUBLISH:  # 2.1 answers to $CONTROL
                continue
            assert kind == PUBACK, f"packet type {kind} instead of a PUBACK"
            codes[struct.unpack_from("!H", body)[0]] = body[2] if len(body) > 2 else 0
        return [codes[number] for number in range(1, len(packets) + 1)]

    def subscribe(self, filters: Iterable[str]) -> tuple[list[int], set[str]]:
        """Subscribe with QoS 0; return the reason codes, and the topics that came meanwhile."""
        self._send(0x82, b"\0\x01\0", *(_string(filter_) + b"\0" for filter_ in filters))
        arrived: set[str] = set()
        while True:
            kind, body = self._receive()
            if kind == SUBACK:
                return list(body[2 + 1 + body[2] :]), arrived
            arrived.add(_topic(kind, body))

    def arrived(self) -> set[str]:
        """
        Return the topics of all that the broker has sent by now.

        A broker answers a PINGREQ after everything that it has queued for the client: a message
        that it acknowledged to a publisher before has arrived, or never will.
        """
        self._send(0xC0)
        topics: set[str] = set()
        while True:
            kind, body = self._receive()
            if kind == PINGRESP:
                return topics
            topics.add(_topic(kind, body))

    def _send(self, head: int, *parts: bytes) -> None:
        self._socket.sendall(_packet(head, *parts))

    def _receive(self) -> tuple[int, bytes]:
        """Return the next packet's type and body."""
        while True:
            if taken := _take(self._buffer):
                kind, body, self._buffer = taken
                return kind, body
            more = self._socket.recv(1 << 16)
            if not more:
                raise ConnectionError("the broker closed the connection")
            self._buffer += more


def _take(buffer: bytes) -> tuple[int, bytes, bytes] | None:
    """Return a packet's type, its body and the rest of *buffer*, or None if it is incomplete."""
    length = 0
    for place in range(1, 5):
        if place >= len(buffer):
            return None
        length |= (buffer[place] & 0x7F) << 7 * (place - 1)
        if not buffer[place] & 0x80:
            break
    begin, end = place + 1, place + 1 + length
    return (buffer[0] >> 4, buffer[begin:end], buffer[end:]) if len(buffer) >= end else None


def _topic(kind: int, body: bytes) -> str:
    assert kind == PUBLISH, f"packet type {kind} instead of a PUBLISH"
    (length,) = struct.unpack_from("!H", body)
    return body[2 : 2 + length].decode()


def _packet(head: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    length, left = b"", len(body)
    while True:
        left, digit = left >> 7, left & 0x7F
        length += bytes([digit | 0x80 if left else digit])
        if not left:
            return bytes([head]) + length + body


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("!H", len(encoded)) + encoded
