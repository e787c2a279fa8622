"""What a change of the stack files lets whom do; no engine, no secrets."""

from broker.access.diff import AccessDiff, diff
from cli.access.stack_file_at_revision import stack_file_at
from cli.errors import NotPerformedError
from cli.stack import ROOT, Stack

KINDS = ("added", "removed", "widened", "narrowed", "equivalent", "rotated", "replaced")
ERRORS = "errors"


def gates_of(text: str) -> set[str]:
    """
    Return the kinds of change that *text* names, with commas.

    Raises:
        NotPerformedError: one of them is none.

    """
    gates = {kind for kind in text.split(",") if kind}
    if unknown := sorted(gates - {*KINDS, ERRORS}):
        raise NotPerformedError(f"--fail-on {unknown[0]}: there are {', '.join(KINDS)}, {ERRORS}.")
    return gates


def hits(diffs: list[AccessDiff], gates: set[str]) -> list[str]:
    """Return which of *gates* the changes hit."""
    found = sorted({kind for diff_ in diffs for kind in diff_.changes} & gates)
    if ERRORS in gates and any(diff_.errors for diff_ in diffs):
        found.append(ERRORS)
    return found


def compare_all(base: str, head: str = "") -> list[AccessDiff]:
    """Return what changed, for each stack file that did."""
    compared = (_diff(name, base, head) for name in _names())
    return [each for each in compared if each]


def _names() -> list[str]:
    return sorted(each.name.split(".")[1] for each in ROOT.glob("Pulumi.*.yaml"))


def _diff(name: str, base: str, head: str) -> AccessDiff | None:
    """Return what changed in one stack; None where its file says the same as before."""
    file = ROOT / f"Pulumi.{name}.yaml"
    old = stack_file_at(base, name)
    new = stack_file_at(head, name) if head else file.read_text(encoding="utf-8")
    if old == new or new is None:
        return None
    after = Stack.parse(name, file, new).settings
    # A stack that is new: everybody in it is.
    before = (
        Stack.parse(name, file, old).settings if old else after.model_copy(update={"users": {}})
    )
    return diff(name, before, after)
