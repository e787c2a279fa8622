"""A pull request gets one comment of ours, and a fork gets it in its log."""

import sys

import pytest

from ops.comment import main, service, write
from ops.pull_request import MARK, comment

GITHUB = {"GH_TOKEN": "t0ken", "GITHUB_REPOSITORY": "sentient/broker"}
GITLAB = {
    "COMMENT_TOKEN": "t0ken",
    "CI_API_V4_URL": "https://lab.example/api/v4",
    "CI_PROJECT_ID": "7",
}


class Forge:
    """Answers as the service would, and remembers what it was asked."""

    def __init__(self, *comments):
        self.comments = list(comments)
        self.asked = []

    def __call__(self, method, url, headers, body):
        self.asked.append((method, url, body))
        assert "t0ken" in str(headers)
        return self.comments if method == "GET" else {}


@pytest.mark.parametrize(
    ("name", "environ", "update"), [("github", GITHUB, "PATCH"), ("gitlab", GITLAB, "PUT")]
)
def test_the_first_run_writes_and_the_next_updates(name, environ, update):
    there = service(name, "3", environ)
    assert there is not None
    others = {"id": 1, "body": "looks good"}

    first = Forge(others)
    assert write(there, f"{MARK}\nnew", first) == "written"
    assert first.asked[-1][0] == "POST"

    second = Forge(others, {"id": 42, "body": f"{MARK}\nold"})
    assert write(there, f"{MARK}\nnew", second) == "updated"
    method, url, body = second.asked[-1]
    assert method == update
    assert url.endswith("/42")
    assert body == {"body": f"{MARK}\nnew"}


def test_a_fork_has_no_token_and_asks_nobody(monkeypatch, tmp_path, capsys):
    file = tmp_path / "comment.md"
    file.write_text("text")
    forge = Forge()
    monkeypatch.delenv("GH_TOKEN", raising=False)
    monkeypatch.setattr(sys, "argv", ["comment", "github", "--number", "3", "--file", str(file)])

    main(forge)

    assert forge.asked == []
    assert "the comment stands above" in capsys.readouterr().err


def test_the_comment_has_the_access_diff_alone_without_a_preview():
    text = comment("HEAD", {})

    assert text.startswith(MARK)
    assert "## Access" in text
    assert "## Preview" not in text


def test_a_failed_preview_says_so_and_nothing_of_its_output(tmp_path):
    file = tmp_path / "preview-prod.json"
    file.write_text("error: s3cret")

    text = comment("HEAD", {"prod": file})

    assert "No preview: it failed." in text
    assert "s3cret" not in text
