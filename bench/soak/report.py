"""What happened, row by row, and what was lost, message by message, as a page."""

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
class Happened:
    """One disturbance that was; seconds since the epoch."""

    slot: Slot
    since: float
    """When the one before was over: what was acknowledged from then on is counted here."""
    began: float
    over: float
    """When everybody was served again, and the subscriber had all that had waited."""
    what: str
    cut_off: int
    """Connections that ended, but for the subscriber's when it left."""
    outage: float = 0.0
    """The longest time for which a publisher had no connection."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """All that a run leaves to be judged."""

    start: float
    happened: Sequence[Happened]
    acknowledged: Mapping[Message, float]
    arrived: Mapping[Message, float]
    evidence: Evidence
    again: Sequence[float] = ()
    """When a message arrived that had arrived before."""
    resent: int = 0
    sessions: int = 1
    failures: Sequence[str] = ()
    """What went wrong beside the messages, each a sentence."""
    left_out: int = 0
    """Disturbances that the time did not suffice for."""

    @cached_property
    def losses(self) -> Sequence[Loss]:
        return judge(self.acknowledged, self.arrived, self.evidence)

    @cached_property
    def longest_between_saves(self) -> float:
        """Seconds from one save to the next, while nothing kept the broker from it."""
        unsettled = [each for each in self.happened if each.slot.kind not in SETTLED]
        edges = [self.start, *(at for each in unsettled for at in (each.began, each.over))]
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
    def wrong(self) -> list[str]:
        """Return why the run failed, a sentence each; nothing where it did not."""
        return [*self.failures, *self._wrong()]

    def _wrong(self) -> Iterator[str]:
        if not self.happened or not self.acknowledged:
            yield "nothing was measured"
        if self.sessions > 1:
            yield f"the broker lost the subscriber's session, {self.sessions - 1} times"
        if self.longest_between_saves > self.evidence.promise:
            yield f"a save came {self.longest_between_saves:.1f} s after the other"
        if unexplained := sum(not each.explained for each in self.losses):
            yield f"{unexplained:,} lost messages are covered by the guarantee"


def render(record: Record) -> str:
    """Return the report as Markdown: the table, totals, every lost message, and the verdict."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *(_row(record, each) for each in record.happened)]
    lines = ["| " + " | ".join(each) + " |" for each in rows]
    wrong = record.wrong
    verdict = (
        ["Failed:", "", *(f"- {each}" for each in wrong)]
        if wrong
        else [
            "Every acknowledged message was delivered, except those that autosave does not cover."
        ]
    )
    return "\n".join([*lines, "", *_totals(record), "", *_lost(record), *verdict]) + "\n"


def longest_gap(instants: Sequence[float], span: Span) -> float:
    """Return the longest time within *span* in which none of *instants*, in order, lies."""
    inside = instants[bisect_left(instants, span.began) : bisect_right(instants, span.ended)]
    edges = [span.began, *inside, span.ended]
    return max(later - earlier for earlier, later in pairwise(edges))


def names_of(messages: Iterable[Message]) -> str:
    """Return publishers with the numbers of their messages: ``soak-001: 4, 7-9; soak-002: 5``."""
    return "; ".join(
        f"soak-{publisher + 1:03}: {', '.join(_ranges(each.number for each in group))}"
        for publisher, group in groupby(sorted(messages), key=lambda each: each.publisher)
    )


def _ranges(numbers: Iterable[int]) -> list[str]:
    found: list[list[int]] = []
    for each in numbers:
        if found and each == found[-1][-1] + 1:
            found[-1].append(each)
        else:
            found.append([each])
    return [f"{each[0]}-{each[-1]}" if len(each) > 1 else str(each[0]) for each in found]


def _row(record: Record, this: Happened) -> list[str]:
    mine = {e: at for e, at in record.acknowledged.items() if this.since <= at < this.over}
    losses = [each for each in record.losses if each.message in mine]
    span = Span(began=this.began, ended=this.over)
    idle = longest_gap(sorted(record.acknowledged.values()), span)
    silent = longest_gap(sorted(record.arrived.values()), span)
    return [
        _clock(this.began - record.start),
        this.slot.kind,
        this.what.replace("|", "\\|"),
        f"{idle:.2f} s",
        f"away for {silent:.1f} s" if this.slot.away else f"{silent:.2f} s",
        f"{this.cut_off:,}, for {this.outage:.1f} s at most" if this.cut_off else "0",
        f"{len(mine):,}",
        f"{len(mine) - len(losses):,}",
        f"{sum(this.since <= at < this.over for at in record.again):,}",
        f"{len(losses):,}",
        _why(this, losses),
    ]


def _why(this: Happened, losses: Sequence[Loss]) -> str:
    return "; ".join(
        f"{len(group):,} {_verdict(group)}; {_ages(this, group)}" for group in _by_reason(losses)
    )


def _by_reason(losses: Sequence[Loss]) -> list[list[Loss]]:
    ordered = sorted(losses, key=lambda each: (each.explained, each.why))
    return [list(group) for _, group in groupby(ordered, key=lambda each: each.why)]


def _verdict(group: Sequence[Loss]) -> str:
    return f"{EXPLAINED if group[0].explained else UNEXPLAINED}: {group[0].why}"


def _ages(this: Happened, group: Sequence[Loss]) -> str:
    first, last = (pick(each.acknowledged - this.began for each in group) for pick in (min, max))
    return f"acknowledged from {_beside(first)} to {_beside(last)}"


def _beside(seconds: float) -> str:
    return f"{abs(seconds):.1f} s {'before' if seconds < 0 else 'after'} its beginning"


def _totals(record: Record) -> list[str]:
    evidence, lost = record.evidence, len(record.losses)
    unasked = sum(each not in record.acknowledged for each in record.arrived)
    left_out = [f"Left out, as the time was up: {record.left_out}.", ""] if record.left_out else []
    return [
        *left_out,
        f"Acknowledged {len(record.acknowledged):,}; arrived "
        f"{len(record.acknowledged) - lost:,}; lost {lost:,}. Arrived again: "
        f"{len(record.again):,}. Sent again after a reconnect: {record.resent:,}. Delivered, "
        f"though no acknowledgement reached the publisher: {unasked:,}.",
        "",
        f"{len(evidence.saves):,} databases were written. The longest time between two, while "
        f"nothing prevented it, was {record.longest_between_saves:.1f} s; the guarantee is "
        f"{evidence.promise:.0f} s (`autosaveInterval` {evidence.interval:.0f} s, and "
        f"{GRAIN:.0f} s for whole seconds and the writing).",
    ]


def _lost(record: Record) -> list[str]:
    lines: list[str] = []
    former = "nothing"
    for this in record.happened:
        losses = [each for each in record.losses if this.since <= each.acknowledged < this.over]
        name = f"'{this.slot.kind}' at {_clock(this.began - record.start)}"
        for group in _by_reason(losses):
            lines += [
                f"Lost: {len(group):,} of {name}, {_ages(this, group)}; before it came {former}. "
                f"{_verdict(group).capitalize()}:",
                "",
                names_of(each.message for each in group),
                "",
            ]
        former = name
    return lines


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"
