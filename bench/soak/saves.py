"""Record the times at which the broker writes its database."""

from __future__ import annotations

import asyncio
from pathlib import Path

POLL_INTERVAL = 0.05
"""Seconds between two checks of the file."""


class Saves:
    """The times and sizes of the databases."""

    def __init__(self, database: Path, timeout: float) -> None:
        """*timeout* is how long ``after`` waits for a save, in seconds."""
        self.instants: list[float] = []
        self.sizes: list[int] = []
        self._database = database
        self._timeout = timeout
        self._saved = asyncio.Condition()

    async def watch(self) -> None:
        """Record every save until the task is cancelled; an existing file does not count."""
        previous = self._status()
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            status = self._status()
            if status is None or status == previous:
                continue
            previous = status
            _, written, size = status
            async with self._saved:
                self.instants.append(written / 1e9)
                self.sizes.append(size)
                self._saved.notify_all()

    async def after(self, instant: float) -> float:
        """Wait for a save after *instant*, and return its time."""
        try:
            async with asyncio.timeout(self._timeout), self._saved:
                await self._saved.wait_for(lambda: self.instants and self.instants[-1] > instant)
        except TimeoutError:
            message = f"no database was written within {self._timeout:.0f} s"
            raise AssertionError(message) from None
        return next(save for save in self.instants if save > instant)

    def _status(self) -> tuple[int, int, int] | None:
        try:
            status = self._database.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
