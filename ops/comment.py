"""One comment of ours on a pull request, written anew at each run."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.command import finish
from ops.pull_request import MARK
from ops.stack import Refusal

Send = Callable[[str, str, Mapping[str, str], Mapping[str, str] | None], Any]
"""method, url, headers, body (sent as JSON) -> what the service answered, read as JSON"""

FORBIDDEN = (401, 403)


@dataclass(frozen=True, kw_only=True)
class Service:
    """Where comments of a pull request are: GitHub calls them so, GitLab calls them notes."""

    comments: str
    """URL of all comments of the pull request."""
    comment: Callable[[int], str]
    """URL of one of them, by id."""
    headers: Mapping[str, str]
    update: str
    """The method that writes a comment anew."""


def service(name: str, number: str, environ: Mapping[str, str]) -> Service | None:
    """Return the service, or None where its token isn't there: a fork's pipeline has none."""
    if name == "github":
        token = environ.get("GH_TOKEN", "")
        site = environ.get("GITHUB_API_URL", "https://api.github.com")
        issues = f"{site}/repos/{environ.get('GITHUB_REPOSITORY', '')}/issues"
        found = Service(
            comments=f"{issues}/{number}/comments?per_page=100",
            comment=lambda each: f"{issues}/comments/{each}",
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/vnd.github+json",
            },
            update="PATCH",
        )
    else:
        token = environ.get("COMMENT_TOKEN", "")
        project = f"{environ.get('CI_API_V4_URL', '')}/projects/{environ.get('CI_PROJECT_ID', '')}"
        notes = f"{project}/merge_requests/{number}/notes"
        found = Service(
            comments=f"{notes}?per_page=100",
            comment=lambda each: f"{notes}/{each}",
            headers={"PRIVATE-TOKEN": token},
            update="PUT",
        )
    return found if token else None


def write(service_: Service, text: str, send: Send) -> str:
    """Write *text* over our comment, or as a new one; return which of the two."""
    there = send("GET", service_.comments, service_.headers, None)
    ours = [each["id"] for each in there if str(each.get("body", "")).startswith(MARK)]
    if ours:
        send(service_.update, service_.comment(ours[0]), service_.headers, {"body": text})
        return "updated"
    send("POST", service_.comments.partition("?")[0], service_.headers, {"body": text})
    return "written"


def main(send: Send | None = None) -> None:
    """Write the comment; without a token that may, say so and leave it to the log."""
    parser = ArgumentParser(description="Write our comment on a pull request.")
    parser.add_argument("service", choices=["github", "gitlab"])
    parser.add_argument("--number", required=True)
    parser.add_argument("--file", type=Path, required=True)
    given = parser.parse_args()
    found = service(given.service, given.number, os.environ)
    if found is None:
        print("No token that may comment here: the comment stands above.", file=sys.stderr)
        return
    try:
        done = write(found, given.file.read_text(encoding="utf-8"), send or _send)
    except urllib.error.HTTPError as wrong:
        if wrong.code in FORBIDDEN:
            print("This token may not comment here: the comment stands above.", file=sys.stderr)
            return
        raise Refusal(f"{given.service}: the comment was not taken: {wrong}") from None
    print(f"The comment was {done}.", file=sys.stderr)


def _send(method: str, url: str, headers: Mapping[str, str], body: Mapping[str, str] | None) -> Any:
    request = urllib.request.Request(  # noqa: S310 (https, from the service's own variables)
        url,
        method=method,
        headers={**headers, "Content-Type": "application/json"},
        data=None if body is None else json.dumps(body).encode(),
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (as above)
        return json.loads(answer.read() or b"null")


if __name__ == "__main__":
    finish(main)
