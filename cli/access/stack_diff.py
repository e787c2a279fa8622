"""Compare the access rules of stack files between two revisions, without engine or secrets."""

from pathlib import Path

from broker.access.diff import AccessDiff, diff
from cli.access.stack_file_at_revision import stack_file_at
from cli.errors import NotPerformedError
from cli.stack import ROOT, Stack

KINDS = ("added", "removed", "widened", "narrowed", "equivalent", "rotated", "replaced")
ERRORS = "errors"


def parse_fail_on(text: str) -> set[str]:
    """
    Return the kinds of change that *text* names, separated by commas.

    Raises:
        NotPerformedError: there is no such kind.

    """
    kinds = {kind for kind in text.split(",") if kind}
    if unknown := sorted(kinds - {*KINDS, ERRORS}):
        raise NotPerformedError(f"--fail-on {unknown[0]}: there are {', '.join(KINDS)}, {ERRORS}.")
    return kinds


def kinds_found(diffs: list[AccessDiff], fail_on: set[str]) -> list[str]:
    """Return which kinds of *fail_on* are among the changes."""
    found = sorted({kind for stack_diff in diffs for kind in stack_diff.changes} & fail_on)
    if ERRORS in fail_on and any(stack_diff.errors for stack_diff in diffs):
        found.append(ERRORS)
    return found


def compare_all(base: str, head: str = "") -> list[AccessDiff]:
    """Return the changes of each stack file that differs between *base* and *head*."""
    diffs = (_diff(name, base, head) for name in _names())
    return [stack_diff for stack_diff in diffs if stack_diff]


def _names() -> list[str]:
    return sorted(file.name.split(".")[1] for file in ROOT.glob("Pulumi.*.yaml"))


def _diff(name: str, base: str, head: str) -> AccessDiff | None:
    """Return the changes of one stack, or None if its file is the same in both revisions."""
    file = _file(name)
    old = stack_file_at(base, name)
    new = stack_file_at(head, name) if head else file.read_text(encoding="utf-8")
    if old == new or new is None:
        return None
    after = Stack.parse(name, file, new).settings
    # A new stack is compared with one that has no users, so that every user is an added one.
    before = (
        Stack.parse(name, file, old).settings if old else after.model_copy(update={"users": {}})
    )
    return diff(name, before, after)


def _file(name: str) -> Path:
    return ROOT / f"Pulumi.{name}.yaml"
