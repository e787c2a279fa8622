"""Draw malformed MQTT packets from a seed, and a program that sends them."""

from __future__ import annotations

import asyncio
import errno
import json
import random
import socket
import struct
import sys
from collections.abc import Callable, Iterator

AT_ONCE = 48
PATIENCE = 60.0
CLOSED = (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE = 0x10, 0x30, 0x82, 0xA2
LOGIN_FLAGS = 0xC2


def text(value: bytes) -> bytes:
    return struct.pack("!H", len(value)) + value


def length(value: int) -> bytes:
    """Return *value* as a Remaining Length; above 268,435,455 it has a fifth byte."""
    digits = bytearray()
    while True:
        value, digit = value >> 7, value & 0x7F
        digits.append(digit | 0x80 if value else digit)
        if not value:
            return bytes(digits)


def packet(head: int, body: bytes) -> bytes:
    return bytes([head]) + length(len(body)) + body


def connect(version: int, user: bytes, password: bytes, *, client: bytes = b"") -> bytes:
    properties = b"\0" if version == 5 else b""
    return packet(
        CONNECT,
        text(b"MQTT") + bytes([version, LOGIN_FLAGS]) + b"\0\x3c" + properties
        + text(client) + text(user) + text(password),
    )  # fmt: skip


def _well_formed(version: int, chance: random.Random) -> bytes:
    """Return a packet that a logged-in client might send."""
    properties = b"\0" if version == 5 else b""
    number = struct.pack("!H", chance.randrange(1, 65536))
    topic = text(b"fuzz/" + bytes(chance.choices(b"abc/", k=chance.randrange(12))))
    qos = chance.randrange(3)
    bodies: list[tuple[int, bytes]] = [
        (PUBLISH | qos << 1, topic + (number if qos else b"") + properties + chance.randbytes(9)),
        (SUBSCRIBE, number + properties + topic + bytes([qos])),
        (UNSUBSCRIBE, number + properties + topic),
        *((head, number) for head in (0x40, 0x50, 0x62, 0x70)),
        (0xC0, b""),
        (0xE0, properties),
        (0xF0, b"\x18" + properties),
    ]
    return packet(*chance.choice(bodies))


def _bits(given: bytes, chance: random.Random) -> bytes:
    changed = bytearray(given)
    for _ in range(chance.randrange(1, 5)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(given: bytes, chance: random.Random) -> bytes:
    return given[: chance.randrange(1, len(given) + 1)]


def _other_length(given: bytes, chance: random.Random) -> bytes:
    sizes = (0, 1, 127, 128, 16_383, 2_097_151, 268_435_455, 268_435_456, 1 << 34)
    return given[:1] + length(chance.choice(sizes)) + given[2:]


def _inserted(given: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(given))
    noise = chance.randbytes(chance.randrange(1, 30))
    return given[:place] + noise + given[place:]


def _noise(_given: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(1, 200))


def _bad_topic(_given: bytes, chance: random.Random) -> bytes:
    topics = (b"", b"a/#", b"a/+/b", b"a\0b", b"\xff\xfe", b"\xed\xa0\x80", b"/" * 5000, b"$SYS/x")
    return packet(PUBLISH, text(chance.choice(topics)) + b"\0payload")


def _bad_filter(_given: bytes, chance: random.Random) -> bytes:
    filters = (b"", b"#/a", b"a#", b"+a", b"\xc3\x28", b"$share/", b"$share//a", b"$share/a+/b")
    return packet(SUBSCRIBE, b"\0\x01\0" + text(chance.choice(filters)) + b"\x03")


def _bad_flags(given: bytes, chance: random.Random) -> bytes:
    """QoS 3, types 0 and 15, and flags that are reserved."""
    return bytes([chance.choice((0x36, 0x3E, 0x00, 0xFF, 0x1F, 0x80, 0xC5, 0xE9))]) + given[1:]


def _properties(_given: bytes, chance: random.Random) -> bytes:
    """A property length beyond the packet, an identifier that is none, the same one twice."""
    bad = (b"\xff\xff\xff\x7f", b"\x05\x7f\0\0\0\0", b"\x04\x01\x01\x01\x01", b"\x03\x23\0\0")
    return packet(PUBLISH, text(b"fuzz/p") + chance.choice(bad) + chance.randbytes(4))


def _bad_connect(_given: bytes, chance: random.Random) -> bytes:
    name = chance.choice((b"MQTT", b"MQIsdp", b"mqtt", b"", b"\xff" * 40))
    head = text(name) + chance.randbytes(4)
    return packet(CONNECT, head + chance.randbytes(chance.randrange(60)))


_DEFECTS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _bits,
    _cut,
    _other_length,
    _inserted,
    _noise,
    _bad_topic,
    _bad_filter,
    _bad_flags,
    _properties,
    _bad_connect,
)


def malformed(chance: random.Random, version: int) -> bytes:
    """Return a packet with one defect, of a kind that *chance* picks."""
    return chance.choice(_DEFECTS)(_well_formed(version, chance), chance)


def conversation(seed: int, index: int, user: bytes, password: bytes) -> bytes:
    """
    Return what one client sends: a defective packet, in three of four cases after a login.

    A broker closes a connection at the first defect, so every conversation has one.
    """
    chance = random.Random(f"{seed}/{index}")
    version = chance.choice((4, 5))
    login = connect(version, user, password)
    match chance.randrange(4):
        case 0:
            return chance.choice(_DEFECTS)(login, chance)
        case _:
            return login + malformed(chance, version)


UPGRADE = (
    b"GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)


def frame(payload: bytes, mask: bytes, *, head: int = 0x82, size: int | None = None) -> bytes:
    """Return a client's frame (RFC 6455, 5.2); *size* replaces its length."""
    declared_size = len(payload) if size is None else size
    if declared_size < 126:
        sizes = bytes([0x80 | declared_size])
    elif declared_size < 1 << 16:
        sizes = b"\xfe" + struct.pack("!H", declared_size)
    else:
        sizes = b"\xff" + struct.pack("!Q", declared_size)
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes([head]) + sizes + mask + masked


def framed(seed: int, index: int, content: bytes) -> bytes:
    """Return *content* in WebSocket frames; one conversation in four has a defect in them, too."""
    chance = random.Random(f"{seed}/{index}/frames")
    frames: list[bytes] = []
    while content:
        size = chance.randrange(1, len(content) + 1)
        frames.append(frame(content[:size], chance.randbytes(4)))
        content = content[size:]
    place = chance.randrange(len(frames))
    match chance.randrange(16):
        case 0:
            frames[place] = _bits(frames[place], chance)
        case 1:
            frames[place] = frame(b"x", b"\0\0\0\0", size=chance.choice((0, 126, 1 << 31, 1 << 63)))
        case 2:
            frames[place] = frame(b"x", b"abcd", head=chance.choice((0x80, 0x81, 0x02, 0x8F, 0xF2)))
        case 3:
            # Without a mask: a frame of a server.
            frames[place] = b"\x82\x02\xc0\x00"
        case _:
            pass
    return b"".join(frames)


async def _send(port: int, index: int, content: bytes, first: bytes) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as peer:
        peer.settimeout(0)
        # Several source addresses: one has too few ports.
        peer.bind((f"127.0.{1 + index % 200}.1", 0))
        await loop.sock_connect(peer, ("127.0.0.1", port))
        try:
            if first:
                await loop.sock_sendall(peer, first)
                answer = b""
                while b"\r\n\r\n" not in answer:
                    answer += (
                        await asyncio.wait_for(loop.sock_recv(peer, 4096), PATIENCE) or b"\r\n\r\n"
                    )
            await loop.sock_sendall(peer, content)
            peer.shutdown(socket.SHUT_WR)
            while await asyncio.wait_for(loop.sock_recv(peer, 4096), PATIENCE):
                pass
        except OSError as wrong:
            # The broker may close the connection before it has read everything.
            if wrong.errno not in CLOSED:
                raise


async def _main(
    port: int, seed: int, numbers: Iterator[int], user: bytes, password: bytes, *, websocket: bool
) -> None:
    sent = 0

    async def worker() -> None:
        nonlocal sent
        for index in numbers:
            content = conversation(seed, index, user, password)
            try:
                if websocket:
                    await _send(port, index, framed(seed, index, content), UPGRADE)
                else:
                    await _send(port, index, content, b"")
            except (OSError, TimeoutError) as wrong:
                raise SystemExit(f"seed {seed}, number {index}: {wrong!r}") from None
            sent += 1

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    print(sent)


if __name__ == "__main__":
    given = json.load(sys.stdin)
    asyncio.run(
        _main(
            given["port"],
            given["seed"],
            iter(range(*given["numbers"])),
            given["user"].encode(),
            given["password"].encode(),
            websocket=given["websocket"],
        )
    )
