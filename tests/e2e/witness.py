"""What any user of the machine can read of its processes: command lines and environments."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

EVERY = 0.01


class Witness:
    """Collects command lines and environments of all processes while it is watching."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._watch = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._watch.set()
        self._thread.join()

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._watch.set()
        yield
        self._watch.clear()

    def _look(self) -> None:
        while not self._stop.is_set():
            self._watch.wait()
            for process in Path("/proc").iterdir():
                if process.name.isdecimal():
                    self._read(process / "cmdline")
                    self._read(process / "environ")
            self._stop.wait(EVERY)

    def _read(self, path: Path) -> None:
        try:
            text = path.read_bytes()
        except OSError:
            return  # it ended meanwhile
        if text:
            self.seen.add(text)
