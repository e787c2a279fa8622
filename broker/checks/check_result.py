"""One line of the checklist, and how the lines are shown: as text, as data, as a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One line of the list: what was seen, and what mends it where it is not as it ought to be."""

    name: str
    asks: str
    verdict: Verdict
    seen: str
    mend: str = ""

    def as_data(self) -> dict[str, str]:
        return {
            "name": self.name,
            "asks": self.asks,
            "verdict": self.verdict,
            "seen": self.seen,
            "mend": "" if self.verdict == "pass" else self.mend,
        }


def judged(seen: str, good: bool) -> Verdict:  # noqa: FBT001 (a verdict's two inputs)
    """Return the verdict on what was *seen*; where that is nothing, nobody can tell."""
    return "unknown" if not seen else "pass" if good else "fail"


def render_text(points: list[CheckResult]) -> str:
    """Return a line for each point, and what mends it below those that did not pass."""
    marks = {"pass": "pass   ", "fail": "FAIL   ", "unknown": "unknown"}
    lines: list[str] = []
    for each in points:
        lines.append(f"{marks[each.verdict]} {each.asks}: {each.seen}")
        if each.verdict != "pass" and each.mend:
            lines.append(f"        {'mend' if each.verdict == 'fail' else 'to know'}: {each.mend}")
    return "\n".join(lines) + "\n"


def render_page(points: list[CheckResult]) -> str:
    """Return the points as a Markdown table."""
    rows = ["| | asked | seen | mended by |", "| --- | --- | --- | --- |"]
    for each in points:
        data = {key: value.replace("|", "\\|") for key, value in each.as_data().items()}
        rows.append(f"| {data['verdict']} | {data['asks']} | {data['seen']} | {data['mend']} |")
    return "\n".join(rows) + "\n"
