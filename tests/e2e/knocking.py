"""Run in a network namespace: says which ports answer from there, and keeps connections open."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

GET = (
    b"GET / HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)
PING, PINGED = b"\xc0\x00", b"\xd0\x00"


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def connect_packet(client: str, user: str = "", password: str = "") -> bytes:
    """Return a CONNECT of MQTT 3.1.1, with a clean session and a keepalive of ten minutes."""
    flags, payload = 2, text(client)
    if user:
        flags, payload = flags | 0xC0, payload + text(user) + text(password)
    body = text("MQTT") + bytes([4, flags]) + struct.pack(">H", 600) + payload
    return bytes([0x10, len(body)]) + body


def packet(head: int, body: bytes) -> bytes:
    """Return an MQTT packet, with a Remaining Length of as many bytes as it needs."""
    length, left = bytearray(), len(body)
    while True:
        left, digit = left >> 7, left & 0x7F
        length.append(digit | 0x80 if left else digit)
        if not left:
            return bytes([head]) + bytes(length) + body


def answers(host: str, port: int, kind: str, seconds: float) -> bool:
    """Return whether a broker answers there; a proxy that only accepts is no broker."""
    try:
        with socket.create_connection((host, port), timeout=seconds) as peer:
            peer.settimeout(seconds)
            peer.sendall(GET if kind == "websockets" else connect_packet("knock"))
            return peer.recv(4) != b""
    except OSError:
        return False


class Watch:
    """Knocks without a pause until it is asked for the count."""

    def __init__(self, targets: list[list[Any]]) -> None:
        self.tried = [0] * len(targets)
        self.opened = 0
        self._going = True
        self._lock = threading.Lock()
        # Daemons: where a test fails before it asks for the count, the process ends all the same.
        self._threads = [
            threading.Thread(target=self._knock, args=(index, *each), daemon=True)
            for index, each in enumerate(targets)
        ]
        for each in self._threads:
            each.start()

    def _knock(self, index: int, host: str, port: int, kind: str) -> None:
        while self._going:
            opened = answers(host, port, kind, 0.3)
            with self._lock:
                self.tried[index] += 1
                self.opened += opened
            # A refused connection costs nothing: don't take the machine from the others.
            time.sleep(0.02)

    def end(self) -> list[int]:
        """Return how often the least tried target was tried, and how often any was open."""
        self._going = False
        for each in self._threads:
            each.join()
        return [min(self.tried), self.opened]


class Held:
    """A client that logged in and stays."""

    def __init__(self, host: str, port: int, user: str, password: str) -> None:
        self.peer = socket.create_connection((host, port), timeout=60)
        self.peer.sendall(connect_packet(f"held-{os.getpid()}", user, password))
        if self.peer.recv(4) != b"\x20\x02\x00\x00":
            raise ConnectionRefusedError

    def retains(self, topic: str, size: int) -> bool:
        """Publish so many bytes, retained, with QoS 1; return whether the broker took them."""
        self.peer.sendall(packet(0x33, text(topic) + b"\0\x01" + b"x" * size))
        return self.peer.recv(4) == b"\x40\x02\0\x01"

    def receives(self, topic: str, size: int, seconds: float) -> int:
        """Subscribe; return how many bytes came, once there are *size* or none for *seconds*."""
        self.peer.settimeout(seconds)
        self.peer.sendall(packet(0x82, b"\0\x01" + text(topic) + b"\0"))
        came = 0
        while came < size:
            try:
                came += len(self.peer.recv(1 << 16))
            except TimeoutError:
                break
        return came

    def pings(self, seconds: float) -> bool:
        """Return whether the broker answers a ping within *seconds*."""
        self.peer.settimeout(seconds)
        try:
            self.peer.sendall(PING)
            return self.peer.recv(2) == PINGED
        except OSError:
            return False


def main() -> None:
    """Answer one JSON list a line: the name of what to do, and its arguments."""
    held: dict[str, Held] = {}
    watch: Watch | None = None
    for line in sys.stdin:
        match json.loads(line):
            case ["ask", targets, seconds]:
                with ThreadPoolExecutor(max(1, len(targets))) as pool:
                    reply: Any = list(pool.map(lambda it: answers(*it, seconds), targets))
            case ["hold", name, host, port, user, password]:
                held[name] = Held(host, port, user, password)
                reply = True
            case ["pings", name, seconds]:
                reply = held[name].pings(seconds)
            case ["retains", name, topic, size]:
                reply = held[name].retains(topic, size)
            case ["receives", name, topic, size, seconds]:
                reply = held[name].receives(topic, size, seconds)
            case ["release", name]:
                held.pop(name).peer.close()
                reply = True
            case ["watch", targets]:
                watch = Watch(targets)
                reply = True
            case ["unwatch"] if watch is not None:
                reply = watch.end()
            case other:
                raise ValueError(other)
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
