"""Create or update the one comment of this program on a pull request."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from cli.development.pull_request import MARK
from cli.errors import CommandError
from cli.exit_codes import finish

Send = Callable[[str, str, Mapping[str, str], Mapping[str, str] | None], Any]
"""method, url, headers, body (sent as JSON) -> the JSON that the service answered"""

FORBIDDEN = (401, 403)
PER_PAGE = 100
"""The most comments that either service returns per page."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """The comments of a pull request on GitHub, or the notes of a merge request on GitLab."""

    comments: str
    """URL of the comments of the pull request."""
    oldest_first: str
    """Query that lists the comments in the order of writing."""
    comment: Callable[[int], str]
    """URL of one comment, by id."""
    headers: Mapping[str, str]
    update: str
    """The method that updates a comment."""


def service(name: str, number: str, environ: Mapping[str, str]) -> Service | None:
    """Return the service, or None without a token: the pipeline of a fork has none."""
    if name == "github":
        token = environ.get("GH_TOKEN", "")
        site = environ.get("GITHUB_API_URL", "https://api.github.com")
        issues = f"{site}/repos/{environ.get('GITHUB_REPOSITORY', '')}/issues"
        found = Service(
            comments=f"{issues}/{number}/comments",
            # GitHub has no other order.
            oldest_first="",
            comment=lambda number_: f"{issues}/comments/{number_}",
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
            comments=notes,
            oldest_first="&order_by=created_at&sort=asc",
            comment=lambda number_: f"{notes}/{number_}",
            headers={"PRIVATE-TOKEN": token},
            update="PUT",
        )
    return found if token else None


def write(service_: Service, text: str, send: Send) -> str:
    """Update our comment with *text*, or write a new one; return which of the two."""
    for comment in _comments(service_, send):
        if str(comment.get("body", "")).startswith(MARK):
            send(service_.update, service_.comment(comment["id"]), service_.headers, {"body": text})
            return "updated"
    send("POST", service_.comments, service_.headers, {"body": text})
    return "written"


def _comments(service_: Service, send: Send) -> Iterator[Mapping[str, Any]]:
    """Yield all comments, page by page, until a page has no new one."""
    ids: set[int] = set()
    for page in count(1):
        query = f"per_page={PER_PAGE}&page={page}{service_.oldest_first}"
        listed = send("GET", f"{service_.comments}?{query}", service_.headers, None)
        new = [comment for comment in listed if comment["id"] not in ids]
        yield from new
        if not new:
            return
        ids |= {comment["id"] for comment in new}


def main(send: Send | None = None) -> None:
    """Write the comment; without permission, print why, and leave the comment to the log."""
    parser = ArgumentParser(description="Write our comment on a pull request.")
    parser.add_argument("service", choices=["github", "gitlab"])
    parser.add_argument("--number", required=True)
    parser.add_argument("--file", type=Path, required=True)
    given = parser.parse_args()
    found = service(given.service, given.number, os.environ)
    if found is None:
        print("No token that may comment here: see the comment in the log above.", file=sys.stderr)
        return
    try:
        done = write(found, given.file.read_text(encoding="utf-8"), send or _send)
    except urllib.error.HTTPError as error:
        if error.code in FORBIDDEN:
            print(
                "This token may not comment here: see the comment in the log above.",
                file=sys.stderr,
            )
            return
        raise CommandError(f"{given.service}: the comment was rejected: {error}") from None
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
