"""Write the comment of a pull request: access changes, then the preview."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path

from broker.access.diff_report import as_markdown
from broker.preview_summary import read_plan, render_plan
from cli.access.stack_diff import compare_all
from cli.errors import CommandError
from cli.exit_codes import finish

MARK = "<!-- sentient-mqtt: access and preview -->"
"""First line of the comment, by which the next run finds the comment to update."""


def main() -> None:
    """Print the comment as Markdown."""
    parser = ArgumentParser(description="Write the comment of a pull request.")
    parser.add_argument(
        "--base", required=True, help="the revision that the pull request is merged into"
    )
    parser.add_argument(
        "--preview",
        action="append",
        default=[],
        metavar="STACK=FILE",
        help="output of `pulumi preview --json`; a fork has no secrets and so no preview",
    )
    given = parser.parse_args()
    sys.stdout.write(comment(given.base, dict(_stack_and_file(value) for value in given.preview)))


def comment(base: str, previews: dict[str, Path]) -> str:
    """Return the whole comment; *previews* are files, by stack."""
    sections = [MARK, as_markdown(compare_all(base))]
    for stack, file in previews.items():
        try:
            plan = render_plan(read_plan(json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, AttributeError):
            plan = "No preview: it failed. The log of its job has the reason.\n"
        sections.append(f"## Preview of {stack}\n\n{plan}")
    return "\n".join(sections)


def _stack_and_file(text: str) -> tuple[str, Path]:
    stack, _, file = text.partition("=")
    if not file:
        raise CommandError(f"--preview {text}: must be STACK=FILE.")
    return stack, Path(file)


if __name__ == "__main__":
    finish(main)
