"""`make docs`: the page of commands is what their help says."""

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
    parts = [HEAD, f"{HELP}\n", f"{EPILOG}\n"]
    panels: dict[str, list[tuple[str, Any]]] = {}
    for name, command in root.commands.items():
        found = panels.setdefault(command.rich_help_panel, [])
        if hasattr(command, "commands"):
            found += [(f"{name} {below}", each) for below, each in command.commands.items()]
        else:
            found.append((name, command))
    for panel, commands in panels.items():
        parts.append(f"## {panel}\n")
        parts += [_command(name, command) for name, command in commands]
    parts.append(
        "## Completion\n\n`./brokerctl --install-completion` has your shell complete commands, "
        "options, stacks and users.\n"
    )
    return "\n".join(parts)


def _command(name: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    words = " ".join(["./brokerctl", name, *(each.metavar for each in arguments)])
    rows = [
        (f"`{each.metavar}`", each.help or "", _default(each))
        for each in arguments
        if each.help or _default(each)
    ]
    rows += [(_names(each), each.help or "", _default(each)) for each in options]
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
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def main() -> None:
    """Write the page."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render_commands(), encoding="utf-8")


if __name__ == "__main__":
    main()
