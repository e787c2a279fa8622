"""Render the report of a run: a table of the disturbances, and all lost messages."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

from bench.soak.judge import GRAIN, Evidence, Loss, Message, Span, judge
from bench.soak.plan import SETTLED, Slot

COLUMNS = (
    "at",
    "disturbance",
    "what was done",
    "no acknowledgement for",
    "no delivery for",
    "disconnected",
    "acknowledged",
    "arrived",
    "arrived again",
    "lost",
    "why",
)
EXPLAINED, UNEXPLAINED = "within the guarantee", "OUTSIDE THE GUARANTEE"


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """One completed disturbance; times are in seconds since the epoch."""

    slot: Slot
    since: float
    """The end of the previous one; messages that were acknowledged since then count here."""
    began: float
    ended: float
    """The time at which all clients were connected and all queued messages delivered."""
    description: str
    disconnected: int
    """Ended connections, except that of the subscriber when it left."""
    outage: float = 0.0
    """The longest time that a publisher was disconnected."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """The results of a run."""

    start: float
    disturbances: Sequence[Disturbance]
    acknowledged: Mapping[Message, float]
    arrived: Mapping[Message, float]
    evidence: Evidence
    again: Sequence[float] = ()
    """The times of repeated deliveries."""
    resent: int = 0
    sessions: int = 1
    failures: Sequence[str] = ()
    """Failures other than lost messages."""
    left_out: int = 0
    """Disturbances for which there was no time."""

    @cached_property
    def losses(self) -> Sequence[Loss]:
        return judge(self.acknowledged, self.arrived, self.evidence)

    @cached_property
    def longest_between_saves(self) -> float:
        """The longest time in seconds between two saves, while nothing prevented them."""
        preventing = [item for item in self.disturbances if item.slot.kind not in SETTLED]
        edges = [self.start, *(at for item in preventing for at in (item.began, item.ended))]
        return max(
            (
                later - earlier
                for began, ended in zip(edges[::2], edges[1::2], strict=False)
                for earlier, later in pairwise(self.evidence.saves)
                if began <= earlier and later <= ended
            ),
            default=0.0,
        )

    @property
    def errors(self) -> list[str]:
        """The reasons why the run failed; empty if it succeeded."""
        return [*self.failures, *self._errors()]

    def _errors(self) -> Iterator[str]:
        if not self.disturbances or not self.acknowledged:
            yield "nothing was measured"
        if self.sessions > 1:
            yield f"the broker lost the subscriber's session, {self.sessions - 1} times"
        if self.longest_between_saves > self.evidence.promise:
            yield f"a save came {self.longest_between_saves:.1f} s after the previous one"
        if unexplained := sum(not loss.explained for loss in self.losses):
            yield f"{unexplained:,} lost messages are covered by the guarantee"


def render(record: Record) -> str:
    """Return the report as Markdown: the table, totals, every lost message, and the result."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *(_row(record, item) for item in record.disturbances)]
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    errors = record.errors
    result = (
        ["Failed:", "", *(f"- {error}" for error in errors)]
        if errors
        else [
            "Every acknowledged message was delivered, except those that autosave does not cover."
        ]
    )
    return "\n".join([*lines, "", *_totals(record), "", *_lost(record), *result]) + "\n"


def longest_gap(instants: Sequence[float], span: Span) -> float:
    """Return the longest time within *span* without any of *instants*, which are in order."""
    inside = instants[bisect_left(instants, span.began) : bisect_right(instants, span.ended)]
    edges = [span.began, *inside, span.ended]
    return max(later - earlier for earlier, later in pairwise(edges))


def names_of(messages: Iterable[Message]) -> str:
    """Return the numbers of the messages, by publisher: ``soak-001: 4, 7-9; soak-002: 5``."""
    return "; ".join(
        f"soak-{publisher + 1:03}: {', '.join(_ranges(message.number for message in group))}"
        for publisher, group in groupby(sorted(messages), key=lambda message: message.publisher)
    )


def _ranges(numbers: Iterable[int]) -> list[str]:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]


def _row(record: Record, disturbance: Disturbance) -> list[str]:
    since, ended = disturbance.since, disturbance.ended
    acknowledged = {message for message, at in record.acknowledged.items() if since <= at < ended}
    losses = [loss for loss in record.losses if loss.message in acknowledged]
    span = Span(began=disturbance.began, ended=ended)
    without_acknowledgement = longest_gap(sorted(record.acknowledged.values()), span)
    without_delivery = longest_gap(sorted(record.arrived.values()), span)
    count = disturbance.disconnected
    return [
        _clock(disturbance.began - record.start),
        disturbance.slot.kind,
        disturbance.description.replace("|", "\\|"),
        f"{without_acknowledgement:.2f} s",
        f"away for {without_delivery:.1f} s"
        if disturbance.slot.away
        else f"{without_delivery:.2f} s",
        f"{count:,}, for {disturbance.outage:.1f} s at most" if count else "0",
        f"{len(acknowledged):,}",
        f"{len(acknowledged) - len(losses):,}",
        f"{sum(since <= at < ended for at in record.again):,}",
        f"{len(losses):,}",
        _reasons(disturbance, losses),
    ]


def _reasons(disturbance: Disturbance, losses: Sequence[Loss]) -> str:
    return "; ".join(
        f"{len(group):,} {_reason(group)}; {_times(disturbance, group)}"
        for group in _by_reason(losses)
    )


def _by_reason(losses: Sequence[Loss]) -> list[list[Loss]]:
    ordered = sorted(losses, key=lambda loss: (loss.explained, loss.why))
    return [list(group) for _, group in groupby(ordered, key=lambda loss: loss.why)]


def _reason(group: Sequence[Loss]) -> str:
    return f"{EXPLAINED if group[0].explained else UNEXPLAINED}: {group[0].why}"


def _times(disturbance: Disturbance, group: Sequence[Loss]) -> str:
    times = [loss.acknowledged - disturbance.began for loss in group]
    return f"acknowledged from {_relative(min(times))} to {_relative(max(times))}"


def _relative(seconds: float) -> str:
    return f"{abs(seconds):.1f} s {'before' if seconds < 0 else 'after'} its beginning"


def _totals(record: Record) -> list[str]:
    evidence, lost = record.evidence, len(record.losses)
    unacknowledged = sum(message not in record.acknowledged for message in record.arrived)
    left_out = [f"Left out for lack of time: {record.left_out}.", ""] if record.left_out else []
    return [
        *left_out,
        f"Acknowledged {len(record.acknowledged):,}; arrived "
        f"{len(record.acknowledged) - lost:,}; lost {lost:,}. Arrived again: "
        f"{len(record.again):,}. Sent again after a reconnect: {record.resent:,}. Delivered, "
        f"though no acknowledgement reached the publisher: {unacknowledged:,}.",
        "",
        f"{len(evidence.saves):,} databases were written. The longest time between two, while "
        f"nothing prevented it, was {record.longest_between_saves:.1f} s; the guarantee is "
        f"{evidence.promise:.0f} s (`autosaveInterval` {evidence.interval:.0f} s, and "
        f"{GRAIN:.0f} s for whole seconds and the writing).",
    ]


def _lost(record: Record) -> list[str]:
    lines: list[str] = []
    previous = "nothing"
    for disturbance in record.disturbances:
        losses = [
            loss
            for loss in record.losses
            if disturbance.since <= loss.acknowledged < disturbance.ended
        ]
        name = f"'{disturbance.slot.kind}' at {_clock(disturbance.began - record.start)}"
        for group in _by_reason(losses):
            lines += [
                f"Lost: {len(group):,} of {name}, {_times(disturbance, group)}; before it came "
                f"{previous}. {_reason(group).capitalize()}:",
                "",
                names_of(loss.message for loss in group),
                "",
            ]
        previous = name
    return lines


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"
