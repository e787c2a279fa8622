"""`make access-diff`: what a change of the stack files lets whom do; no engine, no secrets."""

import json
import sys
from argparse import ArgumentParser

from broker.access.diff import AccessDiff, diff
from broker.access.diff_report import as_data, as_markdown
from cli.exit_codes import finish
from cli.stack import ROOT, Refusal, Stack
from cli.stack_file_at_revision import stack_file_at

KINDS = ("added", "removed", "widened", "narrowed", "equivalent", "rotated", "replaced")


def main() -> None:
    """Compare the stack files here, or at --head, with those at --base."""
    parser = ArgumentParser(description="Say what a change of the stack files lets whom do.")
    parser.add_argument("--base", default="main", help="the revision to compare with")
    parser.add_argument("--head", default="", help="a revision; the files as they are otherwise")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--fail-on", default="", help=f"any of {','.join(KINDS)},errors")
    given = parser.parse_args()
    gates = {each for each in given.fail_on.split(",") if each}
    if unknown := gates - {*KINDS, "errors"}:
        raise Refusal(f"--fail-on {unknown.pop()}: there are {', '.join(KINDS)}, errors.")

    diffs = compare_all(given.base, given.head)
    if given.json:
        print(json.dumps([as_data(each) for each in diffs], indent=2))
    else:
        sys.stdout.write(as_markdown(diffs))
    hit = sorted({kind for each in diffs for kind in each.changes} & gates)
    if "errors" in gates and any(each.errors for each in diffs):
        hit.append("errors")
    if hit:
        raise Refusal(f"--fail-on: {', '.join(hit)}.")


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


if __name__ == "__main__":
    finish(main)
