"""The comment that a pull request gets: access, then what the preview would change."""

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
"""First line of the comment: by it the next run finds the one to write anew."""


def main() -> None:
    """Print the comment as Markdown."""
    parser = ArgumentParser(description="Write the comment of a pull request.")
    parser.add_argument("--base", required=True, help="the revision that it is merged into")
    parser.add_argument(
        "--preview",
        action="append",
        default=[],
        metavar="STACK=FILE",
        help="what `pulumi preview --json` printed; none on a fork, which has no secrets",
    )
    given = parser.parse_args()
    sys.stdout.write(comment(given.base, dict(_pair(each) for each in given.preview)))


def comment(base: str, previews: dict[str, Path]) -> str:
    """Return the whole comment; *previews* are files, by stack."""
    parts = [MARK, as_markdown(compare_all(base))]
    for stack, file in previews.items():
        try:
            plan = render_plan(read_plan(json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, AttributeError):
            plan = "No preview: it failed. Its job says why.\n"
        parts.append(f"## Preview of {stack}\n\n{plan}")
    return "\n".join(parts)


def _pair(text: str) -> tuple[str, Path]:
    stack, _, file = text.partition("=")
    if not file:
        raise CommandError(f"--preview {text}: STACK=FILE is wanted.")
    return stack, Path(file)


if __name__ == "__main__":
    finish(main)
