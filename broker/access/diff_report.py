"""An access diff as Markdown and as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from broker.access.diff import AccessDiff, UserDiff
from broker.findings import one_line

_EFFECTS = {
    "none": "The broker is not affected.",
    "reload": "The broker reloads: nobody else is disconnected.",
    "replace": "**The broker is replaced**: every client is disconnected once.",
}
_MAX_ROWS = 50
"""Maximum number of rows of a table, because the size of a comment is limited."""


def as_data(diff: AccessDiff) -> dict[str, Any]:
    """Return the diff as values that JSON can represent."""
    findings = {"errors": tuple(one_line(diff.errors)), "warnings": tuple(one_line(diff.warnings))}
    return {**asdict(diff), **findings}


def as_markdown(diffs: Iterable[AccessDiff]) -> str:
    """Return a section for each stack file that changed."""
    sections = ["\n".join(_section(diff)) for diff in diffs]
    return "\n".join(["## Access", "", *(sections or ["No stack file changed."])]).rstrip() + "\n"


def _section(diff: AccessDiff) -> Iterator[str]:
    yield f"### {diff.stack}"
    yield ""
    if diff.users:
        yield "| who | change | may now | no longer |"
        yield "| --- | --- | --- | --- |"
        for user in diff.users[:_MAX_ROWS]:
            yield (
                f"| `{user.name}` | **{user.change}** | "
                f"{_topics(user.may_now_read, user.may_now_write)} | "
                f"{_topics(user.no_longer_reads, user.no_longer_writes)} |"
            )
        if len(diff.users) > _MAX_ROWS:
            yield f"| and {len(diff.users) - _MAX_ROWS:,} more | | | |"
        yield ""
        yield from _rules(diff.users)
    else:
        yield "Nobody gains or loses access."
        yield ""
    causes = f" ({', '.join(f'`{path}`' for path in diff.because)})" if diff.because else ""
    yield _EFFECTS[diff.effect] + causes
    if diff.rotated:
        yield f"New passwords: {_named(diff.rotated)}."
    if diff.effect == "reload" and diff.disconnected:
        yield f"Disconnected at once: {_named(diff.disconnected)}."
    for title, findings in (("Stops the change", diff.errors), ("Warnings", diff.warnings)):
        if findings:
            yield ""
            yield f"{title}:"
            yield ""
            yield from (f"- {finding.text}" for finding in findings[:_MAX_ROWS])
    yield ""


def _named(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MAX_ROWS:,} more" if len(names) > _MAX_ROWS else ""
    return ", ".join(f"`{name}`" for name in names[:_MAX_ROWS]) + more


def _topics(read: str | None, write: str | None) -> str:
    topics = [f"read `{read}`"] if read else []
    topics += [f"write `{write}`"] if write else []
    return ", ".join(topics)


def _rules(users: tuple[UserDiff, ...]) -> Iterator[str]:
    changed = [user for user in users if user.added_rules or user.removed_rules]
    if not changed:
        return
    yield "<details><summary>Rules</summary>"
    yield ""
    yield "```diff"
    for user in changed[:_MAX_ROWS]:
        yield f"  {user.name}"
        yield from (f"- {line}" for line in user.removed_rules)
        yield from (f"+ {line}" for line in user.added_rules)
    yield "```"
    yield ""
    yield "</details>"
    yield ""
