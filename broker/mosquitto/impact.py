"""The impact of a change on connected clients, and the notes that a preview shows about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
"""The largest number of names in a message."""

RULES = ":rules"
"""The key of the stamp for rules and options; no login has a colon in its name."""


def remembered(settings: Settings) -> dict[str, str]:
    """Return the stamps that the host stores; the next preview compares them with its own."""
    rates = settings.broker.passwords
    texts = (render_acl(settings), render_conf(settings.broker))
    others = (*texts, str(rates.iterations), str(rates.supplied_iterations))
    digest = sha256("\0".join(others).encode()).hexdigest()[:16]
    return stamps(settings) | {RULES: digest}


WITHDRAWN = "withdrawn-"
"""
The prefix of the stamp of the rules, followed by a time, after the host rolled a change back
(host/commands/apply_configuration.sh).
"""


def withdrawn(facts: HostFacts) -> str:
    """
    Return the stamp of a change that the host rolled back and that no `up` has completed since.

    The host then has fewer rights than any stack file declares. Pulumi's state is that from before
    the change, so Pulumi detects no difference if the stack file is reverted, too.
    """
    stamp = facts.stamps.get(RULES, "")
    return stamp if stamp.startswith(WITHDRAWN) else ""


@dataclass(frozen=True, kw_only=True)
class Impact:
    """What an ``up`` does to the running broker, and whose clients it disconnects."""

    action: Literal["none", "reload", "restart", "replace"]
    disconnected: tuple[str, ...] = ()
    """Logins whose clients are disconnected; a restart or replacement disconnects all of them."""
    unknown: bool = False
    """Whether the host's list of logins was changed, so that *disconnected* is not known."""


def impact(
    container: str,
    stack: str,
    stamps: Mapping[str, str],
    digest: str,
    facts: HostFacts,
    *,
    members: Collection[str] = (),
    again: bool = False,
    restart: bool = False,
    unknown: bool = False,
    replaced: bool = False,
) -> Impact:
    """
    Compare the *stamps* and the start *digest* of a stack with those of its container.

    *members* are the members of fleets. *again*: the same files are installed and read again;
    *restart*: at a start. *unknown*: somebody changed the stamps on the host.
    *replaced*: the container is replaced, whatever its digest.
    """
    known = facts.stamps
    # Version 0.1 marked members with `passwords.special`, which never applied to them.
    before = {
        name: stamp.removesuffix("s") if name in members else stamp
        for name, stamp in known.items()
        if name != RULES
    }
    if facts.container_owner(container) != stack:
        return Impact(action="none")
    if replaced or facts.start_digest(container) not in ("", digest):
        return Impact(action="replace", disconnected=tuple(before))
    if restart:
        return Impact(action="restart", disconnected=tuple(before))
    if unknown:
        return Impact(action="reload", unknown=True)
    if facts.looked_at and known and (known != stamps or again):
        return Impact(action="reload", disconnected=disconnected(before, stamps))
    return Impact(action="none")


def impact_notes(container: str, expected: Impact) -> list[Finding]:
    """Return notes about a reload or replacement, and who is disconnected by it."""
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
    if expected.action == "restart":
        return [
            note(
                "",
                "The broker is restarted, because only a start reads the CA of clients: every "
                "client is disconnected once. Retained messages and sessions are kept",
            )
        ]
    if expected.unknown:
        return [
            note(
                "",
                "A reload, no restart. Clients with a declared and unchanged login stay "
                "connected; which logins this changes is not known, because the list on the host "
                "was changed",
            )
        ]
    logins = expected.disconnected
    named = ", ".join(logins[:MOST]) + (
        f" and {len(logins) - MOST:,} more" if logins[MOST:] else ""
    )
    whom = f"Disconnected at once: clients of {named}. Nobody else"
    return [note("", f"A reload, no restart. {whom if logins else 'Nobody is disconnected'}")]
