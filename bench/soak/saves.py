"""Each time at which the broker put a database in place, seen from its folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

LOOK = 0.05
"""Seconds between two looks: nobody tells us of a rename."""


class Saves:
    """The databases that were there, by the time at which each was written."""

    def __init__(self, database: Path, patience: float) -> None:
        """*patience*: seconds within which one more has to come, where one is waited for."""
        self.instants: list[float] = []
        self.sizes: list[int] = []
        self._database = database
        self._patience = patience
        self._one_more = asyncio.Condition()

    async def watch(self) -> None:
        """See every save until the task is cancelled; what lies there at first is not one."""
        known = self._look()
        while True:
            await asyncio.sleep(LOOK)
            found = self._look()
            if found is None or found == known:
                continue
            known = found
            _, written, size = found
            async with self._one_more:
                self.instants.append(written / 1e9)
                self.sizes.append(size)
                self._one_more.notify_all()

    async def after(self, instant: float) -> float:
        """Return the time of the first save that was written after *instant*, once it is there."""
        try:
            async with asyncio.timeout(self._patience), self._one_more:
                await self._one_more.wait_for(lambda: self.instants and self.instants[-1] > instant)
        except TimeoutError:
            said = f"no database was written within {self._patience:.0f} s"
            raise AssertionError(said) from None
        return next(each for each in self.instants if each > instant)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._database.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
