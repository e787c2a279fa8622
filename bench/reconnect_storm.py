"""Measure how long 10,000 clients take to connect after a restart, by PBKDF2 iterations."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field

from bench.brokers import folders, in_a_container, running_container, wait_until_ready
from bench.clients import CONNACK, Address, connect_packet
from bootstrap.docker_daemon import Daemon, ensure_daemon
from broker.settings.password_settings import Passwords

CLIENTS = 10_000
MANY = 10_000
"""Iterations, compared with the default of a stack file."""
RECONNECT_DELAY = 1.0
"""Seconds until a client reconnects after its connection was reset."""
TIMEOUT = 900.0


@dataclass
class Storm:
    """
    Clients that connect at the same time, and wait for TCP.

    Mosquitto's accept queue holds 100 connections. The kernel drops packets of the others, and TCP
    sends them again after 1, 3, 7 and 15 seconds, so the last logins depend on chance, too. This
    does not use asyncio, which takes seconds to start so many connections.
    """

    address: Address
    instants: list[float] = field(default_factory=list)
    """The times of the logins, in seconds since the first connection attempt."""
    lost: int = 0
    _poll: select.epoll = field(default_factory=select.epoll)
    _sockets: dict[int, tuple[socket.socket, int]] = field(default_factory=dict)
    _again: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def half(self) -> float:
        return self.instants[CLIENTS // 2 - 1] if len(self.instants) >= CLIENTS // 2 else TIMEOUT

    @property
    def last(self) -> float:
        return self.instants[-1] if self.complete else TIMEOUT

    @property
    def complete(self) -> bool:
        return len(self.instants) == CLIENTS

    @property
    def summary(self) -> str:
        if self.complete:
            return f"{self.last:.1f} s"
        return (
            f"{len(self.instants):,} connected after {TIMEOUT:.0f} s, with {self.lost:,} "
            "connections lost meanwhile,"
        )

    def run(self) -> None:
        began = time.perf_counter()
        try:
            for number in range(CLIENTS):
                self._dial(number)
            while len(self.instants) < CLIENTS and time.perf_counter() - began < TIMEOUT:
                for file, event in self._poll.poll(RECONNECT_DELAY):
                    if event & ~select.EPOLLOUT:
                        self._receive_connack(file, began)
                    else:
                        self._send_connect(file)
                while self._again and self._again[0][0] < time.perf_counter():
                    self._dial(self._again.popleft()[1])
        finally:
            for client, _ in self._sockets.values():
                client.close()
            self._poll.close()

    def _dial(self, number: int) -> None:
        client = socket.socket()
        client.setblocking(False)  # noqa: FBT003 (the signature of the socket module)
        code = client.connect_ex((self.address.host, self.address.port))
        assert code in {0, errno.EINPROGRESS}, errno.errorcode[code]
        self._sockets[client.fileno()] = client, number
        self._poll.register(client, select.EPOLLOUT)

    def _send_connect(self, file: int) -> None:
        client, number = self._sockets[file]
        client.send(connect_packet(self.address, f"client-{number}"))
        self._poll.modify(file, select.EPOLLIN)

    def _receive_connack(self, file: int, began: float) -> None:
        client, number = self._sockets[file]
        try:
            answer = client.recv(4)
        except OSError:
            answer = b""
        if answer:
            assert answer == bytes((CONNACK << 4, 2, 0, 0)), f"login refused: {answer!r}"
            self._poll.unregister(file)
            self.instants.append(time.perf_counter() - began)
        else:
            del self._sockets[file]
            client.close()
            self.lost += 1
            self._again.append((time.perf_counter() + RECONNECT_DELAY, number))


def storm(daemon: Daemon, iterations: int | None = None) -> Storm:
    with folders(iterations) as (broker, root), in_a_container(broker, root, daemon) as running:
        asyncio.run(wait_until_ready(running.address))
        daemon.ask("restart", running.name)
        address = running_container(broker, running.name, daemon).address
        asyncio.run(wait_until_ready(address))
        clients = Storm(address)
        clients.run()
        return clients


def main() -> None:
    """Print rows for the table in docs/explanation/bench.md."""
    daemon = ensure_daemon()
    default, many = storm(daemon), storm(daemon, MANY)
    print(
        f"| {CLIENTS:,} clients that connect at once after a restart, with {MANY:,} PBKDF2 "
        f"iterations against the default {Passwords().iterations}: until half of them are "
        f"connected | {many.half / default.half:.0f} times | {many.half:.1f} s against "
        f"{default.half:.1f} s |"
    )
    at_least = "" if many.complete else "more than "
    print(
        f"| the same: until the last is connected | {at_least}{many.last / default.last:.1f} times "
        f"| {many.summary} against {default.summary} |"
    )


if __name__ == "__main__":
    main()
