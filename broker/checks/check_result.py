"""The result of one check, and how results are shown: as text, as data, as a Markdown table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CheckStatus = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The status of one check, what was observed, and the fix if it did not pass."""

    name: str
    description: str
    """What is true if the check passes."""
    status: CheckStatus
    observed: str
    fix: str = ""

    def as_data(self) -> dict[str, str]:
        """Return the keys and values of ``check --json``."""
        return {
            "name": self.name,
            "asks": self.description,
            "verdict": self.status,
            "seen": self.observed,
            "mend": "" if self.status == "pass" else self.fix,
        }


def check_status(observed: str, good: bool) -> CheckStatus:  # noqa: FBT001 (the two inputs of a status)
    """Return ``unknown`` if nothing was *observed*, else ``pass`` or ``fail``."""
    return "unknown" if not observed else "pass" if good else "fail"


def render_text(results: list[CheckResult]) -> str:
    """Return a line for each result, followed by its fix if it did not pass."""
    labels = {"pass": "pass   ", "fail": "FAIL   ", "unknown": "unknown"}
    lines: list[str] = []
    for result in results:
        lines.append(f"{labels[result.status]} {result.description}: {result.observed}")
        if result.status != "pass" and result.fix:
            label = "fix" if result.status == "fail" else "to find out"
            lines.append(f"        {label}: {result.fix}")
    return "\n".join(lines) + "\n"


def render_page(results: list[CheckResult]) -> str:
    """Return the results as a Markdown table."""
    rows = ["| | check | observed | fix |", "| --- | --- | --- | --- |"]
    for result in results:
        data = {key: value.replace("|", "\\|") for key, value in result.as_data().items()}
        rows.append(f"| {data['verdict']} | {data['asks']} | {data['seen']} | {data['mend']} |")
    return "\n".join(rows) + "\n"
