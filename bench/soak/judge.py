"""Find acknowledged messages that were lost, and decide whether autosave explains the losses."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

GRAIN = 2.0
"""Seconds by which an autosave may exceed its interval.

Mosquitto compares whole seconds and saves once more than the interval has passed (src/loop.c),
which may be a second later. The other second is for writing the file on a busy machine.
"""


class Message(NamedTuple):
    """A message, identified by publisher and number, also if it is sent again."""

    publisher: int
    number: int


@dataclass(frozen=True, kw_only=True)
class Span:
    """A period, in seconds since the epoch."""

    began: float
    ended: float

    def holds(self, instant: float) -> bool:
        return self.began <= instant <= self.ended


@dataclass(frozen=True, kw_only=True)
class Loss:
    """An acknowledged message that was not delivered."""

    message: Message
    acknowledged: float
    explained: bool
    """Whether the loss is within the guarantee of autosave."""
    why: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The kills, saves and full disks of a run, in order of time."""

    interval: float
    """``broker.persistence.autosaveInterval``, in seconds."""
    kills: Sequence[Span] = ()
    """The periods from a signal to the first login at the next broker."""
    saves: Sequence[float] = ()
    """The times at which a database was written, complete or not."""
    full: Sequence[Span] = ()
    """The periods in which the disk was full."""

    @property
    def promise(self) -> float:
        """Return the longest time in seconds for which a message may be in memory only."""
        return self.interval + GRAIN


def judge(
    acknowledged: Mapping[Message, float], arrived: Collection[Message], evidence: Evidence
) -> list[Loss]:
    """
    Return the lost messages, in order of their acknowledgements.

    Only a kill -9 explains a loss: messages in memory only are lost. These were acknowledged after
    the last save, and within the autosave interval before the kill. If the disk was full at that
    save, all messages may be lost, because Mosquitto 2.0 then writes an empty database.
    """
    missing = ((at, message) for message, at in acknowledged.items() if message not in arrived)
    return [_loss(message, at, evidence) for at, message in sorted(missing)]


def _loss(message: Message, at: float, evidence: Evidence) -> Loss:
    def loss(why: str, *, explained: bool = False) -> Loss:
        return Loss(message=message, acknowledged=at, explained=explained, why=why)

    # Up to the next login, an acknowledgement that is read was sent before the kill.
    kill = next((kill for kill in evidence.kills if at < kill.ended), None)
    if kill is None:
        return loss("no kill -9 came after its acknowledgement")
    last = max((save for save in evidence.saves if save < kill.began), default=0.0)
    if any(period.holds(last) for period in evidence.full):
        return loss("the last save before the kill -9 found the disk full", explained=True)
    if at <= last:
        return loss("a save that came after its acknowledgement, and before the kill -9, has it")
    if kill.began - at > evidence.promise:
        return loss(f"no save in the last {evidence.promise:.0f} s before the kill -9")
    return loss("in memory only: acknowledged after the last save", explained=True)
