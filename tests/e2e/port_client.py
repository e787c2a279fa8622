"""
A client in a network namespace: tries which ports answer, and holds MQTT connections open.

It runs as a process of its own (lab.py starts it), and reads one JSON list per line.
"""

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
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"


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


def answers(host: str, port: int, protocol: str, seconds: float) -> bool:
    """Return whether a broker answers there; an accepted TCP connection alone does not count."""
    try:
        with socket.create_connection((host, port), timeout=seconds) as peer:
            peer.settimeout(seconds)
            peer.sendall(GET if protocol == "websockets" else connect_packet("port-client"))
            return peer.recv(4) != b""
    except OSError:
        return False


class Watch:
    """Tries all targets continuously until ``end()``."""

    def __init__(self, targets: list[list[Any]]) -> None:
        self.attempts = [0] * len(targets)
        self.answered = 0
        self._running = True
        self._lock = threading.Lock()
        # Daemon threads: if a test fails before `unwatch`, the process still ends.
        self._threads = [
            threading.Thread(target=self._try, args=(index, *target), daemon=True)
            for index, target in enumerate(targets)
        ]
        for thread in self._threads:
            thread.start()

    def _try(self, index: int, host: str, port: int, protocol: str) -> None:
        while self._running:
            answered = answers(host, port, protocol, 0.3)
            with self._lock:
                self.attempts[index] += 1
                self.answered += answered
            # A refused connection returns at once: leave the processor to other processes.
            time.sleep(0.02)

    def end(self) -> list[int]:
        """Return the attempts at the least tried target, and the answers from all targets."""
        self._running = False
        for thread in self._threads:
            thread.join()
        return [min(self.attempts), self.answered]


class HeldConnection:
    """A client that has logged in and stays connected."""

    def __init__(self, host: str, port: int, user: str, password: str) -> None:
        self.peer = socket.create_connection((host, port), timeout=60)
        self.peer.sendall(connect_packet(f"held-{os.getpid()}", user, password))
        if self.peer.recv(4) != b"\x20\x02\x00\x00":
            raise ConnectionRefusedError

    def publish_retained(self, topic: str, size: int) -> bool:
        """Publish *size* bytes, retained, with QoS 1; return whether the broker acknowledged."""
        self.peer.sendall(packet(0x33, text(topic) + b"\0\x01" + b"x" * size))
        return self.peer.recv(4) == b"\x40\x02\0\x01"

    def receive(self, topic: str, size: int, seconds: float) -> int:
        """
        Subscribe to *topic* and return the number of received bytes.

        Returns after *size* bytes, or when nothing arrives for *seconds*.
        """
        self.peer.settimeout(seconds)
        self.peer.sendall(packet(0x82, b"\0\x01" + text(topic) + b"\0"))
        received = 0
        while received < size:
            try:
                received += len(self.peer.recv(1 << 16))
            except TimeoutError:
                break
        return received

    def ping(self, seconds: float) -> bool:
        """Return whether the broker answers a PINGREQ within *seconds*."""
        self.peer.settimeout(seconds)
        try:
            self.peer.sendall(PINGREQ)
            return self.peer.recv(2) == PINGRESP
        except OSError:
            return False


def main() -> None:
    """Answer one JSON list per line: the name of a request, and its arguments."""
    connections: dict[str, HeldConnection] = {}
    watch: Watch | None = None
    for line in sys.stdin:
        match json.loads(line):
            case ["try", targets, seconds]:
                with ThreadPoolExecutor(max(1, len(targets))) as pool:
                    reply: Any = list(pool.map(lambda target: answers(*target, seconds), targets))
            case ["connect", name, host, port, user, password]:
                connections[name] = HeldConnection(host, port, user, password)
                reply = True
            case ["ping", name, seconds]:
                reply = connections[name].ping(seconds)
            case ["publish retained", name, topic, size]:
                reply = connections[name].publish_retained(topic, size)
            case ["receive", name, topic, size, seconds]:
                reply = connections[name].receive(topic, size, seconds)
            case ["close", name]:
                connections.pop(name).peer.close()
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
