"""An access diff as Markdown, for a reviewer, and as plain data, for a program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from broker.access.diff import AccessDiff, UserDiff
from broker.findings import one_line

_EFFECTS = {
    "none": "The broker notices nothing.",
    "reload": "The broker reloads: nobody else is disconnected.",
    "replace": "**The broker is replaced**: every client is disconnected once.",
}
_MOST = 50
"""Rows of a table; a reviewer reads no more, and a comment has a size limit."""


def as_data(diff: AccessDiff) -> dict[str, Any]:
    """Return what JSON can hold."""
    said = {"errors": tuple(one_line(diff.errors)), "warnings": tuple(one_line(diff.warnings))}
    return {**asdict(diff), **said}


def as_markdown(diffs: Iterable[AccessDiff]) -> str:
    """Return a section for each stack file that changed."""
    sections = ["\n".join(_section(each)) for each in diffs]
    return "\n".join(["## Access", "", *(sections or ["No stack file changed."])]).rstrip() + "\n"


def _section(diff: AccessDiff) -> Iterator[str]:
    yield f"### {diff.stack}"
    yield ""
    if diff.users:
        yield "| who | change | may now | no longer |"
        yield "| --- | --- | --- | --- |"
        for each in diff.users[:_MOST]:
            yield (
                f"| `{each.name}` | **{each.change}** | "
                f"{_topics(each.may_now_read, each.may_now_write)} | "
                f"{_topics(each.no_longer_reads, each.no_longer_writes)} |"
            )
        if len(diff.users) > _MOST:
            yield f"| and {len(diff.users) - _MOST:,} more | | | |"
        yield ""
        yield from _rules(diff.users)
    else:
        yield "Nobody gains or loses access."
        yield ""
    because = f" ({', '.join(f'`{each}`' for each in diff.because)})" if diff.because else ""
    yield _EFFECTS[diff.effect] + because
    if diff.rotated:
        yield f"New passwords: {_named(diff.rotated)}."
    if diff.effect == "reload" and diff.disconnected:
        yield f"Disconnected at once: {_named(diff.disconnected)}."
    for title, findings in (("Stops the change", diff.errors), ("Worth a look", diff.warnings)):
        if findings:
            yield ""
            yield f"{title}:"
            yield ""
            yield from (f"- {finding.text}" for finding in findings[:_MOST])
    yield ""


def _named(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MOST:,} more" if len(names) > _MOST else ""
    return ", ".join(f"`{name}`" for name in names[:_MOST]) + more


def _topics(read: str | None, write: str | None) -> str:
    said = [f"read `{read}`"] if read else []
    said += [f"write `{write}`"] if write else []
    return ", ".join(said)


def _rules(users: tuple[UserDiff, ...]) -> Iterator[str]:
    changed = [each for each in users if each.added_rules or each.removed_rules]
    if not changed:
        return
    yield "<details><summary>Rules</summary>"
    yield ""
    yield "```diff"
    for each in changed[:_MOST]:
        yield f"  {each.name}"
        yield from (f"- {line}" for line in each.removed_rules)
        yield from (f"+ {line}" for line in each.added_rules)
    yield "```"
    yield ""
    yield "</details>"
    yield ""
