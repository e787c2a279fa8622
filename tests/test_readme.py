"""README.md and the pages below docs/: links resolve, and every command line is one that exists."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from typer.core import TyperGroup

from broker.settings.reference import render_settings_table
from broker.settings.stack_settings import PROJECT, Settings
from cli.app import app
from cli.development.commands_reference import PAGE as COMMANDS
from cli.development.commands_reference import render_commands
from cli.development.settings_reference import PAGE, with_table
from cli.stack import ROOT

README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").rglob("*.md")))
FOLDER_READMES = tuple(
    ROOT / folder / "README.md" for folder in ("engine", "host", "images", "monitoring")
)
COMMANDS_IN = (*PAGES, ROOT / "SECURITY.md", *FOLDER_READMES)
LINKED = (*COMMANDS_IN, ROOT / "CHANGELOG.md")
SETTINGS = PAGE.read_text(encoding="utf-8")
TARGETS = {"up", "test", "test-fresh", "lint", "bench", "docs", "lock", "help"}
"""The targets of the Makefile; all other commands are in ./brokerctl."""
EXAMPLE_VALUES = {
    "USER...": ["admin"],
    "TOPIC": ["room/door"],
    "USER": ["admin"],
    "MESSAGE": ["open"],
    "FOLDER": ["folder"],
}
"""Values for the placeholders in command lines of the reference."""
UsageError = typer.BadParameter.__mro__[1]
"""The class of the copy of Click that is included in Typer."""


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def links(page: Path) -> list[str]:
    """Return the targets of *page*'s links within the repository."""
    prose = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in link]


def anchors(page: Path) -> set[str]:
    """Return the anchors of *page*'s headings, as GitHub makes them."""
    prose = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(page: Path) -> Iterator[str]:
    """Yield the lines of *page*'s code blocks, then its code spans."""
    text = text_of(page)
    for block in re.findall(r"```(?:sh|bash)\n(.*?)```", text.replace("\n   ", "\n"), re.DOTALL):
        yield from block.splitlines()
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose):
        yield " ".join(span.split())


def commands(page: Path) -> list[str]:
    """Return the command lines of ./brokerctl on *page*."""
    lines = []
    for line in code(page):
        for start in re.finditer(r"\./brokerctl\b", line):
            rest = line[start.start() :]
            inside = line[: start.start()].endswith("$(")
            lines.append(re.split(r"\)|$" if inside else r"[;|]| #|$", rest)[0].strip())
    return lines


def parse(line: str) -> None:
    """
    Find the command of *line* and parse its options, without running it.

    Raises:
        UsageError: there is no such command or option.

    """
    _, *words = shlex.split(line)
    words = [value for word in words for value in EXAMPLE_VALUES.get(word, [word])]
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="brokerctl")
    while isinstance(command, TyperGroup):
        if not words or words[0].startswith("-"):
            # Options of the group, such as ./brokerctl --help.
            options = {name for param in command.get_params(context) for name in param.opts}
            if unknown := [word for word in words if word not in options]:
                raise UsageError(f"no such option: {unknown}")
            return
        name = words.pop(0)
        if name == "COMMAND":
            return
        subcommand = command.get_command(context, name)
        if subcommand is None:
            raise UsageError(f"no such command: {name}")
        command = subcommand
        context = typer.Context(command, info_name=name, parent=context)
    try:
        command.parse_args(context, words)
    except typer.BadParameter as error:
        # A page may name a command without its arguments.
        if type(error).__name__ != "MissingParameter" or not all(
            word.startswith("-") for word in words
        ):
            raise


def test_readme_has_at_most_150_lines():
    assert len(text_of(README).splitlines()) <= 150


def test_stack_file_of_the_readme_is_valid():
    block = re.search(r"```yaml\n(config:\n.*?)```", text_of(README), re.DOTALL)
    assert block is not None
    config = yaml.safe_load(block[1])["config"]

    settings = Settings.parse({key.removeprefix(f"{PROJECT}:"): config[key] for key in config})

    assert [str(network) for network in settings.broker.listeners["mqtt"].allow_from]
    assert settings.expect


@pytest.mark.parametrize("page", COMMANDS_IN, ids=relative)
def test_every_yaml_block_is_yaml(page):
    for block in re.findall(r"```yaml\n(.*?)```", text_of(page), re.DOTALL):
        assert yaml.safe_load(block)


def test_settings_table_is_generated_from_the_models():
    assert with_table(SETTINGS) == SETTINGS, "run: make docs"
    assert relative(PAGE) in text_of(README)
    assert "`broker.listeners.NAME.port`" in render_settings_table()


def test_stale_settings_table_is_detected():
    assert with_table(SETTINGS.replace("TCP port", "UDP port")) == SETTINGS


def test_page_of_commands_is_generated_from_their_help():
    assert text_of(COMMANDS) == render_commands(), "run: make docs"
    assert relative(COMMANDS) in text_of(README)


@pytest.mark.parametrize("page", LINKED, ids=relative)
def test_every_link_resolves(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT.resolve()), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", COMMANDS_IN, ids=relative)
def test_every_file_that_a_page_names_exists(page):
    folders = "bench|bootstrap|broker|cli|components|docs|host|monitoring|schema|tests"
    files = re.findall(rf"`((?:{folders})/[\w/.-]+\.(?:json|md|py|sh|yml))`", text_of(page))

    assert [file for file in files if not (ROOT / file).exists()] == []


def test_no_linked_file_is_ignored_by_git():
    """An ignored page would be missing from every clone."""
    paths = {
        str((page.parent / link.partition("#")[0]).resolve().relative_to(ROOT.resolve()))
        for page in LINKED
        for link in links(page)
        if link.partition("#")[0]
    }
    ignored = subprocess.run(
        ["git", "-c", "safe.directory=*", "check-ignore", "--no-index", *sorted(paths)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert paths
    assert (ignored.returncode, ignored.stdout) == (1, ""), ignored


def test_every_page_is_linked_from_the_index():
    index = ROOT / "docs" / "README.md"
    decisions = ROOT / "docs" / "explanation" / "decisions"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    pages = {page.resolve() for page in PAGES if page.parent != decisions}

    assert pages - linked - {README.resolve(), index.resolve()} == set()


def test_every_decision_has_a_line_in_the_index_of_decisions():
    folder = ROOT / "docs" / "explanation" / "decisions"
    pages = {page.name for page in folder.glob("0*.md")}

    assert set(re.findall(r"\((0[^)]*)\)", text_of(folder / "README.md"))) == pages


@pytest.mark.parametrize("page", COMMANDS_IN, ids=relative)
def test_every_make_target_exists(page):
    targets = {
        target for line in code(page) for target in re.findall(r"\bmake (?:-s )?([a-z-]+)", line)
    }
    assert targets <= TARGETS


def test_every_command_line_parses():
    lines = {(relative(page), line) for page in COMMANDS_IN for line in commands(page)}
    errors = {}
    for page, line in sorted(lines):
        try:
            parse(line)
        except (UsageError, ValueError) as error:
            errors[page, line] = getattr(error, "message", str(error))

    assert len(lines) > 100
    assert not errors, "\n".join(
        f"{page}: {line}: {error}" for (page, line), error in errors.items()
    )


@pytest.mark.parametrize(
    "line",
    [
        "./brokerctl backups create",
        "./brokerctl backup make",
        "./brokerctl down --delete-passwrods",
        "./brokerctl logs --lines many",
        "./brokerctl who-can publish room/door",
        "./brokerctl explain admin room/door more",
        "./brokerctl --stack prod",
    ],
)
def test_wrong_command_line_is_detected(line):
    with pytest.raises(UsageError):
        parse(line)


def test_every_command_is_in_the_reference():
    listed = " ".join(commands(COMMANDS))
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    for name, command in group.commands.items():
        subcommands = command.commands if isinstance(command, TyperGroup) else {"": None}
        for subcommand in subcommands:
            assert f"./brokerctl {name} {subcommand}".strip() in listed
