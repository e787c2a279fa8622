"""`./brokerctl diff` compares two revisions of a repository, and can fail a pipeline."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import cli.access.stack_diff
import cli.app
from cli.access.stack_diff import compare_all
from cli.errors import CommandError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit; the working tree then widens paragon_devices."""
    text = (ROOT / "Pulumi.prod.yaml").read_text(encoding="utf-8")
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text(text, encoding="utf-8")
    git = ("git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org")
    for words in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "first")):
        subprocess.run([*git, *words], check=True)
    file.write_text(text.replace('"paragon/+/events/#"]', '"paragon/+/#"]'), encoding="utf-8")
    monkeypatch.setattr(cli.access.stack_diff, "ROOT", tmp_path)
    return tmp_path


def diff(*words):
    """Run the command; exit code 0 is not an error."""
    with suppress_success():
        cli.app.run(["diff", *words])


@contextmanager
def suppress_success():
    try:
        yield
    except SystemExit as ended:
        if ended.code:
            raise


def test_the_working_tree_is_compared_with_the_base(repository):
    (found,) = compare_all("main")

    assert [(user.name, user.change) for user in found.users] == [("paragon_devices", "widened")]


def test_an_unchanged_file_is_not_mentioned(repository, capsys):
    subprocess.run(["git", "-C", str(repository), "checkout", "-q", "--", "."], check=True)

    diff("--base", "HEAD")

    assert "No stack file changed." in capsys.readouterr().out


def test_fail_on_fails_for_the_named_kinds_only(repository, capsys):
    diff("--base", "main", "--fail-on", "removed,narrowed,rotated,replaced")

    with pytest.raises(CommandError, match="widened"):
        diff("--base", "main", "--fail-on", "widened")
    with pytest.raises(CommandError, match="errors"):
        diff("--base", "main", "--fail-on", "errors")
    assert "**widened**" in capsys.readouterr().out


def test_json_has_the_changes(repository, capsys):
    diff("--base", "main", "--json")

    assert json.loads(capsys.readouterr().out)[0]["users"][0]["change"] == "widened"


def test_an_unknown_revision_or_kind_is_an_error(repository):
    with pytest.raises(CommandError, match="revision 'nowhere': no such revision"):
        compare_all("nowhere")
    with pytest.raises(CommandError, match="--fail-on wider"):
        diff("--fail-on", "wider")


def test_every_user_of_a_new_stack_file_is_added(repository):
    (repository / "Pulumi.second.yaml").write_text(
        (ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )

    second = next(diff_ for diff_ in compare_all("main") if diff_.stack == "second")

    assert {user.change for user in second.users} == {"added"}


def test_no_pulumi_module_is_imported():
    """So it needs no engine, state or secrets: it is quick, and a fork may run it."""
    loaded = "[name for name in sys.modules if name.startswith('pulumi')]"
    code = f"import cli.access.stack_diff, sys; print({loaded})"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
