"""
Hold TCP connections on which nothing is said, in a process of their own.

``python idle_connections.py HOST PORT COUNT``: prints a line once that many were dialled, dials
again what the broker closes, and ends with its stdin.
"""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

AT_ONCE = 50
PAUSE = 0.05
"""Seconds between two batches once all were dialled: idle connections, and no flood of them."""


def dial(address: tuple[str, int]) -> socket.socket:
    """Begin a connection; what becomes of it is the poll's to say."""
    peer = socket.socket()
    peer.setblocking(False)  # noqa: FBT003 (its own signature)
    peer.connect_ex(address)
    return peer


def hold(host: str, port: int, count: int) -> None:
    """Hold them until stdin ends."""
    held: dict[int, socket.socket] = {}
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    dialled = 0
    while True:
        for _ in range(min(AT_ONCE, count - len(held))):
            peer = dial((host, port))
            held[peer.fileno()] = peer
            poll.register(peer, select.POLLIN | select.POLLHUP | select.POLLERR)
            dialled += 1
            if dialled == count:
                print("held", flush=True)
        for file, _ in poll.poll(20):
            if file == sys.stdin.fileno():
                return
            poll.unregister(file)
            held.pop(file).close()
        if dialled >= count:
            time.sleep(PAUSE)


@contextlib.contextmanager
def holding(host: str, port: int, count: int) -> Iterator[None]:
    """Run this file in a process of its own, from when all were dialled until the block ends."""
    with subprocess.Popen(
        [sys.executable, __file__, host, str(port), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            holder.stdin.close()


if __name__ == "__main__":
    hold(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
