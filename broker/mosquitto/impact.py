"""What a change does to clients that are connected, in sentences for a preview."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from broker.credentials.logins import disconnected, stamps
from broker.findings import Finding, note
from broker.host.facts import HostFacts
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.mosquitto_conf import render_conf
from broker.settings.stack_settings import Settings

MOST = 12
"""Names that a sentence spells out."""

RULES = ":rules"
"""Stands among the stamps of logins for all else that a reload reads; no name has a colon."""


def remembered(settings: Settings) -> dict[str, str]:
    """Return what the host remembers of a change, so that the next preview can compare."""
    rates = settings.broker.passwords
    texts = (render_acl(settings), render_conf(settings.broker))
    others = (*texts, str(rates.iterations), str(rates.supplied_iterations))
    digest = sha256("\0".join(others).encode()).hexdigest()[:16]
    return stamps(settings) | {RULES: digest}


WITHDRAWN = "withdrawn-"
"""
Of the rules' stamp, with the time: a change was taken back on the host
(host/commands/apply_configuration.sh).
"""


def withdrawn(seen: HostFacts) -> str:
    """
    Return which change was taken back on the host and has not been completed since, or nothing.

    The host then has less than any stack file says. The state is that of before the change, so
    Pulumi sees no difference to a stack file that goes back to it.
    """
    stamp = seen.stamps.get(RULES, "")
    return stamp if stamp.startswith(WITHDRAWN) else ""


@dataclass(frozen=True, kw_only=True)
class Impact:
    """What an ``up`` does to the broker that runs, and whose clients it disconnects."""

    action: Literal["none", "reload", "replace"]
    disconnected: tuple[str, ...] = ()
    """Logins whose clients are disconnected: by a replacement, all of them."""


def impact(
    container: str, stack: str, stamps: Mapping[str, str], digest: str, seen: HostFacts
) -> Impact:
    """Compare the *stamps* and the start *digest* of a stack with those of its container."""
    known = seen.stamps
    before = {name: stamp for name, stamp in known.items() if name != RULES}
    if seen.container_owner(container) != stack:
        return Impact(action="none")
    if seen.start_digest(container) not in ("", digest):
        return Impact(action="replace", disconnected=tuple(before))
    if seen.looked_at and known and known != stamps:
        return Impact(action="reload", disconnected=disconnected(before, stamps))
    return Impact(action="none")


def impact_notes(container: str, expected: Impact) -> list[Finding]:
    """Say how the broker is touched, and who is disconnected by it."""
    if expected.action == "none":
        return []
    if expected.action == "replace":
        return [
            note(
                "",
                f"Container {container} is replaced: every client is disconnected once, for a "
                "second or two. Retained messages and the queues of QoS 1 and 2 sessions are kept",
            )
        ]
    gone = expected.disconnected
    named = ", ".join(gone[:MOST]) + (f" and {len(gone) - MOST:,} more" if gone[MOST:] else "")
    whom = f"Disconnected at once: clients of {named}. Nobody else"
    return [note("", f"A reload, no restart. {whom if gone else 'Nobody is disconnected'}")]
