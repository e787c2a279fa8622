"""The README and the page of settings say what the code does, and name no page that is missing."""

import re
import subprocess

from broker.settings.reference import render_settings_table
from cli.commands_reference import PAGE as COMMANDS
from cli.commands_reference import render_commands
from cli.settings_reference import PAGE, with_table
from cli.stack import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS = PAGE.read_text(encoding="utf-8")


def test_the_table_of_settings_is_the_models():
    assert with_table(SETTINGS) == SETTINGS, "run: make docs"
    assert str(PAGE.relative_to(ROOT)) in TEXT
    assert "`broker.listeners.NAME.port`" in render_settings_table()


def test_a_stale_table_would_be_seen():
    assert with_table(SETTINGS.replace("TCP port", "UDP port")) == SETTINGS


def test_every_page_that_it_names_is_there():
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)

    assert links
    assert [each for each in links if not (ROOT / each).exists()] == []


def test_git_ignores_no_page_that_it_names():
    """A page that only the author's folder has would be missing from every clone."""
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)

    ignored = subprocess.run(
        ["git", "-c", "safe.directory=*", "check-ignore", "--no-index", *links],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ignored.returncode, ignored.stdout) == (1, ""), ignored


def test_every_decision_has_its_line_in_the_index():
    folder = ROOT / "docs" / "decisions"
    pages = {each.name for each in folder.glob("0*.md")}

    assert set(re.findall(r"\((0[^)]*)\)", (folder / "README.md").read_text())) == pages


def test_the_page_of_commands_is_what_their_help_says():
    assert COMMANDS.read_text(encoding="utf-8") == render_commands(), "run: make docs"
    assert str(COMMANDS.relative_to(ROOT)) in TEXT
