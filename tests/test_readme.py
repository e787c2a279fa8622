"""The README says what the code does: its table of settings, and its own example of an error."""

import re
import subprocess

from broker.reference import render_settings_table
from ops.settings import README, with_table
from ops.stack import ROOT

TEXT = README.read_text(encoding="utf-8")


def test_the_table_of_settings_is_the_models():
    assert with_table(TEXT) == TEXT, "run: make docs"
    assert "`broker.listeners.NAME.port`" in render_settings_table()


def test_a_stale_table_would_be_seen():
    assert with_table(TEXT.replace("TCP port", "UDP port")) == TEXT


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
