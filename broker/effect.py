"""What a change does to clients that are connected, in sentences for a preview."""

from __future__ import annotations

from collections.abc import Iterator

from broker.host import Seen, Wanted
from broker.logins import disconnected

MOST = 12
"""Names that a sentence spells out."""


def effects(wanted: Wanted, seen: Seen, digest: str) -> Iterator[str]:
    """Yield one sentence where clients are disconnected; none where nobody notices."""
    known = seen.all("known")
    if seen.get("container", wanted.container) != wanted.stack:
        return
    if seen.get("configuration", wanted.container) not in ("", digest):
        yield (
            f"Container {wanted.container} is replaced: every client is disconnected once, for a "
            "second or two. Retained messages and the queues of QoS 1 and 2 sessions are kept."
        )
    elif known and (gone := disconnected(known, wanted.logins)):
        named = ", ".join(gone[:MOST]) + (f" and {len(gone) - MOST:,} more" if gone[MOST:] else "")
        yield f"A reload, no restart. Disconnected at once: clients of {named}. Nobody else."
