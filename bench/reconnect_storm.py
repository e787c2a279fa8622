"""10,000 clients that connect at once after a restart: until the last is let in, by iterations."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field

from bench.brokers import folders, found, in_a_container, until_there
from bench.clients import CONNACK, Address, connect_packet
from bootstrap.daemon import Daemon, ensure_daemon
from broker.settings.password_settings import Passwords

CLIENTS = 10_000
MANY = 10_000
"""Iterations; the default of a stack file is the other figure."""
AGAIN_AFTER = 1.0
"""Seconds until a client whose connection was reset dials again."""
PATIENCE = 900.0


@dataclass
class Storm:
    """
    Clients that dial at the same instant, and then wait as long as TCP does.

    Mosquitto lets 100 wait to be accepted. The others' packets are dropped, and TCP sends them
    again after 1, 3, 7, 15 seconds: the last few are let in by luck as much as by the broker.
    Without asyncio, which takes seconds to dial so many: they would come one after the other.
    """

    address: Address
    instants: list[float] = field(default_factory=list)
    """When each was let in, in seconds since the first dialled."""
    lost: int = 0
    _poll: select.epoll = field(default_factory=select.epoll)
    _sockets: dict[int, tuple[socket.socket, int]] = field(default_factory=dict)
    _again: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def half(self) -> float:
        return self.instants[CLIENTS // 2 - 1] if len(self.instants) >= CLIENTS // 2 else PATIENCE

    @property
    def last(self) -> float:
        return self.instants[-1] if self.complete else PATIENCE

    @property
    def complete(self) -> bool:
        return len(self.instants) == CLIENTS

    @property
    def told(self) -> str:
        if self.complete:
            return f"{self.last:.1f} s"
        return (
            f"{len(self.instants):,} in after {PATIENCE:.0f} s, with {self.lost:,} connections "
            "lost meanwhile,"
        )

    def run(self) -> None:
        began = time.perf_counter()
        try:
            for number in range(CLIENTS):
                self._dial(number)
            while len(self.instants) < CLIENTS and time.perf_counter() - began < PATIENCE:
                for file, event in self._poll.poll(AGAIN_AFTER):
                    if event & ~select.EPOLLOUT:
                        self._hear(file, began)
                    else:
                        self._greet(file)
                while self._again and self._again[0][0] < time.perf_counter():
                    self._dial(self._again.popleft()[1])
        finally:
            for each, _ in self._sockets.values():
                each.close()
            self._poll.close()

    def _dial(self, number: int) -> None:
        client = socket.socket()
        client.setblocking(False)  # noqa: FBT003 (the socket module's own)
        answer = client.connect_ex((self.address.host, self.address.port))
        assert answer in {0, errno.EINPROGRESS}, errno.errorcode[answer]
        self._sockets[client.fileno()] = client, number
        self._poll.register(client, select.EPOLLOUT)

    def _greet(self, file: int) -> None:
        client, number = self._sockets[file]
        client.send(connect_packet(self.address, f"client-{number}"))
        self._poll.modify(file, select.EPOLLIN)

    def _hear(self, file: int, began: float) -> None:
        client, number = self._sockets[file]
        try:
            answer = client.recv(4)
        except OSError:
            answer = b""
        if answer:
            assert answer == bytes((CONNACK << 4, 2, 0, 0)), f"turned away: {answer!r}"
            self._poll.unregister(file)
            self.instants.append(time.perf_counter() - began)
        else:
            del self._sockets[file]
            client.close()
            self.lost += 1
            self._again.append((time.perf_counter() + AGAIN_AFTER, number))


def storm(daemon: Daemon, iterations: int | None = None) -> Storm:
    with folders(iterations) as (broker, root), in_a_container(broker, root, daemon) as running:
        asyncio.run(until_there(running.address))
        daemon.ask("restart", running.name)
        address = found(broker, running.name, daemon).address
        asyncio.run(until_there(address))
        seen = Storm(address)
        seen.run()
        return seen


def main() -> None:
    """Print lines of the table in docs/explanation/bench.md."""
    daemon = ensure_daemon()
    usual, many = storm(daemon), storm(daemon, MANY)
    print(
        f"| {CLIENTS:,} clients that connect at once after a restart, with {MANY:,} PBKDF2 "
        f"iterations against the default {Passwords().iterations}: until half of them are let in "
        f"| {many.half / usual.half:.0f} times | {many.half:.1f} s against {usual.half:.1f} s |"
    )
    least = "" if many.complete else "more than "
    print(
        f"| the same: until the last is let in | {least}{many.last / usual.last:.1f} times | "
        f"{many.told} against {usual.told} |"
    )


if __name__ == "__main__":
    main()
