"""Findings: an error, a warning or a note, with its path, its message and its fix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

PROJECT = "sentient-mqtt"
"""The prefix of every key in a stack file."""

Severity = Literal["error", "warning", "note"]
"""An error stops a preview; a warning and a note are logged."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One error, warning or note."""

    severity: Severity
    path: str
    """A key of the stack file, a host, or a file; empty if the message names its subject."""
    message: str
    fix: str = ""
    """What to do about it, as a sentence; empty if there is nothing to do."""

    @property
    def text(self) -> str:
        """The finding without its severity: Pulumi's log adds that."""
        line = f"{self.path}: {self.message}" if self.path else self.message
        line = line if line.endswith((".", "?", "!")) else f"{line}."
        return f"{line}\n  Fix: {self.fix}" if self.fix else line

    def __str__(self) -> str:
        return f"{self.severity}: {self.text}"


def error(path: str, message: str, fix: str = "") -> Finding:
    """Return a finding that stops a preview."""
    return Finding(severity="error", path=path, message=message, fix=fix)


def warning(path: str, message: str, fix: str = "") -> Finding:
    """Return a finding that a person should look at."""
    return Finding(severity="warning", path=path, message=message, fix=fix)


def note(path: str, message: str) -> Finding:
    """Return a finding that only informs."""
    return Finding(severity="note", path=path, message=message)


def of_severity(severity: Severity, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return those of *findings* that have *severity*, in their order."""
    return tuple(finding for finding in findings if finding.severity == severity)


def render_findings(findings: Iterable[Finding]) -> str:
    """Return the findings as one text for a person, without their severities."""
    return "\n".join(finding.text for finding in findings)


def one_line(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield each finding as one line, its fix as a second sentence."""
    for finding in findings:
        yield finding.text.replace("\n  Fix: ", " ")
