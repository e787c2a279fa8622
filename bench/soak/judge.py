"""Which acknowledged messages never arrived, and whether what autosave promises explains each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

GRAIN = 2.0
"""Seconds by which an autosave may come after its interval.

Mosquitto compares whole seconds, and saves when more than the interval has passed (src/loop.c): up
to one second later than it says. The other is for writing the file, on a machine that is busy.
"""


class Message(NamedTuple):
    """One message, by who sent it; a message that was sent again is the same one."""

    publisher: int
    number: int


@dataclass(frozen=True, kw_only=True)
class Span:
    """From one instant to another, in seconds since the epoch."""

    began: float
    ended: float

    def holds(self, instant: float) -> bool:
        return self.began <= instant <= self.ended


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A message that was acknowledged and never arrived."""

    message: Message
    acknowledged: float
    explained: bool
    """Whether the settings allow it."""
    why: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of the broker's memory and of its disk, in order of time."""

    interval: float
    """``broker.persistence.autosaveInterval``, in seconds."""
    kills: Sequence[Span] = ()
    """Each from the signal to the first login at the broker that came after."""
    saves: Sequence[float] = ()
    """When a database was put in place, whole or not."""
    full: Sequence[Span] = ()
    """While the disk had no room."""

    @property
    def promise(self) -> float:
        """Return the longest time in seconds that a message may be in memory alone."""
        return self.interval + GRAIN


def judge(
    acknowledged: Mapping[Message, float], arrived: Collection[Message], evidence: Evidence
) -> list[Loss]:
    """
    Return what was lost, by the time of its acknowledgement.

    Only a kill -9 explains a loss: it takes what is in memory alone. That is what was acknowledged
    after the last save, and no longer before the kill than autosave's interval; or all, where that
    save found the disk full, since Mosquitto 2.0 then puts an empty database in place.
    """
    missing = ((at, each) for each, at in acknowledged.items() if each not in arrived)
    return [_loss(each, at, evidence) for at, each in sorted(missing)]


def _loss(message: Message, at: float, evidence: Evidence) -> Loss:
    def because(why: str, *, explained: bool = False) -> Loss:
        return Loss(message=message, acknowledged=at, explained=explained, why=why)

    # An acknowledgement that was on its way is read after the kill; none comes from a dead broker.
    kill = next((each for each in evidence.kills if at < each.ended), None)
    if kill is None:
        return because("no kill -9 came after its acknowledgement")
    last = max((each for each in evidence.saves if each < kill.began), default=0.0)
    if any(each.holds(last) for each in evidence.full):
        return because("the last save before the kill -9 found the disk full", explained=True)
    if at <= last:
        return because("a save that came after its acknowledgement, and before the kill -9, has it")
    if kill.began - at > evidence.promise:
        return because(f"no save in the last {evidence.promise:.0f} s before the kill -9")
    return because("in memory only: acknowledged after the last save", explained=True)
