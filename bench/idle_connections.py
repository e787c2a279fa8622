"""
Hold idle TCP connections, in a separate process.

``python idle_connections.py HOST PORT COUNT`` prints a line once it has opened COUNT connections,
reopens those that the broker closes, and exits when its stdin is closed.
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
"""Seconds between two batches once all are open, so that the connections are no flood."""


def dial(address: tuple[str, int]) -> socket.socket:
    """Start to connect; the poll reports the result."""
    peer = socket.socket()
    peer.setblocking(False)  # noqa: FBT003 (its own signature)
    peer.connect_ex(address)
    return peer


def hold(host: str, port: int, count: int) -> None:
    """Hold *count* connections until stdin is closed."""
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
    """Hold *count* connections in a separate process during the block."""
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
