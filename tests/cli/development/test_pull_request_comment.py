"""A pull request gets one comment, and a fork gets it in its log."""

import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.development.pull_request import MARK, comment
from cli.development.pull_request_comment import main, service, write

GITHUB = {"GH_TOKEN": "t0ken", "GITHUB_REPOSITORY": "sentient/broker"}
GITLAB = {
    "COMMENT_TOKEN": "t0ken",
    "CI_API_V4_URL": "https://lab.example/api/v4",
    "CI_PROJECT_ID": "7",
}


class Forge:
    """Answers as the service does, page by page, and records the requests."""

    most = 100

    def __init__(self, *comments):
        self.comments = list(comments)
        self.requests = []

    def __call__(self, method, url, headers, body):
        self.requests.append((method, url, body))
        assert "t0ken" in str(headers)
        if method != "GET":
            return {}
        query = {
            name: int(word)
            for name, (word, *_) in parse_qs(urlsplit(url).query).items()
            if word.isdecimal()
        }
        size = min(query.get("per_page", 20), self.most)
        first = (query.get("page", 1) - 1) * size
        return self.comments[first : first + size]


@pytest.mark.parametrize(
    ("name", "environ", "update"), [("github", GITHUB, "PATCH"), ("gitlab", GITLAB, "PUT")]
)
def test_the_first_run_writes_and_the_next_updates(name, environ, update):
    there = service(name, "3", environ)
    assert there is not None
    others = {"id": 1, "body": "looks good"}

    first = Forge(others)
    assert write(there, f"{MARK}\nnew", first) == "written"
    assert first.requests[-1][0] == "POST"

    second = Forge(others, {"id": 42, "body": f"{MARK}\nold"})
    assert write(there, f"{MARK}\nnew", second) == "updated"
    method, url, body = second.requests[-1]
    assert method == update
    assert url.endswith("/42")
    assert body == {"body": f"{MARK}\nnew"}


@pytest.mark.parametrize("before", [99, 100, 101, 250])
@pytest.mark.parametrize("most", [100, 30])
@pytest.mark.parametrize(("name", "environ"), [("github", GITHUB), ("gitlab", GITLAB)])
def test_our_comment_is_found_on_whichever_page_it_is(name, environ, most, before):
    others = [{"id": number, "body": "looks good"} for number in range(1, before + 1)]
    forge = Forge(*others, {"id": 1000, "body": f"{MARK}\nold"})
    forge.most = most

    assert write(service(name, "3", environ), f"{MARK}\nnew", forge) == "updated"
    assert forge.requests[-1][1].endswith("/1000")


def test_without_a_comment_of_ours_every_page_is_read_and_one_is_written():
    forge = Forge(*({"id": number, "body": "looks good"} for number in range(1, 201)))

    assert write(service("github", "3", GITHUB), f"{MARK}\nnew", forge) == "written"
    assert [method for method, *_ in forge.requests] == ["GET", "GET", "GET", "POST"]
    assert forge.requests[-1][1].endswith("/issues/3/comments")


def test_a_service_without_pages_is_asked_once_more_only():
    def send(method, *_):
        return [{"id": 1, "body": "looks good"}] if method == "GET" else {}

    assert write(service("gitlab", "3", GITLAB), f"{MARK}\nnew", send) == "written"


def test_a_fork_without_a_token_sends_no_request(monkeypatch, tmp_path, capsys):
    file = tmp_path / "comment.md"
    file.write_text("text")
    forge = Forge()
    monkeypatch.delenv("GH_TOKEN", raising=False)
    monkeypatch.setattr(sys, "argv", ["comment", "github", "--number", "3", "--file", str(file)])

    main(forge)

    assert forge.requests == []
    assert "see the comment in the log above" in capsys.readouterr().err


def test_without_a_preview_the_comment_has_only_the_access_diff():
    text = comment("HEAD", {})

    assert text.startswith(MARK)
    assert "## Access" in text
    assert "## Preview" not in text


def test_the_comment_on_a_failed_preview_has_none_of_its_output(tmp_path):
    file = tmp_path / "preview-prod.json"
    file.write_text("error: s3cret")

    text = comment("HEAD", {"prod": file})

    assert "No preview: it failed." in text
    assert "s3cret" not in text
