"""`make docs`: write docs/reference/commands.md from the help of the commands."""

from __future__ import annotations

from typing import Any

import typer

from cli.app import EPILOG, HELP, app
from cli.stack import ROOT

PAGE = ROOT / "docs" / "reference" / "commands.md"
HEAD = "<!-- made by `make docs` from cli/commands/ -->\n\n# Commands\n"


def render_commands() -> str:
    """Return the page."""
    root: Any = typer.main.get_command(app)
    sections = [HEAD, f"{HELP}\n", f"{EPILOG}\n"]
    panels: dict[str, list[tuple[str, Any]]] = {}
    for name, command in root.commands.items():
        entries = panels.setdefault(command.rich_help_panel, [])
        if hasattr(command, "commands"):
            entries += [(f"{name} {word}", nested) for word, nested in command.commands.items()]
        else:
            entries.append((name, command))
    for panel, commands in panels.items():
        sections.append(f"## {panel}\n")
        sections += [_command(name, command) for name, command in commands]
    sections.append(
        "## Completion\n\n`./brokerctl --install-completion` completes commands, options, stacks "
        "and users in your shell.\n"
    )
    return "\n".join(sections)


def _command(name: str, command: Any) -> str:
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option"]
    words = " ".join(["./brokerctl", name, *(argument.metavar for argument in arguments)])
    rows = [
        (f"`{argument.metavar}`", argument.help or "", _default(argument))
        for argument in arguments
        if argument.help or _default(argument)
    ]
    rows += [(_names(option), option.help or "", _default(option)) for option in options]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    example = "\n".join(
        line.removeprefix("$ ") for line in command.epilog.split("\n\n")[1:] if line
    )
    title = f"### `{words}`\n\n{_paragraphs(command.help)}\n"
    head = "\n| | | default |\n| --- | --- | --- |\n"
    return f"{title}{head}{table}\n\n```sh\n{example}\n```\n"


def _names(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    return names if option.is_flag else f"{names} `{option.metavar or _choices(option)}`"


def _choices(option: Any) -> str:
    choices = getattr(option.type, "choices", None)
    return "/".join(map(str, choices)) if choices else "NUMBER"


def _default(parameter: Any) -> str:
    default = parameter.default
    if default in (None, "", False) or callable(default):
        return ""
    return f"`{default}`"


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def main() -> None:
    """Write the page."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render_commands(), encoding="utf-8")


if __name__ == "__main__":
    main()
