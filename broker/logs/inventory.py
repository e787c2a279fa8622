"""Who is declared against who was seen in the broker's log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Literal

from broker.credentials.logins import logins
from broker.logs.log_parser import OTHER, UNKNOWN, LogSummary
from broker.mosquitto.canary import NAME as CANARY
from broker.settings.stack_settings import Settings

LONGEST = 100
"""Characters of a client id that a line for a person holds."""

State = Literal["connected", "silent", "never"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A declared login, and when it was seen."""

    name: str
    kind: str
    """``user``, or ``fleet`` and the fleet's name."""
    state: State
    since: datetime | None
    """Connected since, silent since; nothing where it was never seen."""
    client: str = ""
    address: str = ""

    def as_data(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "state": self.state,
            "since": _iso(self.since),
            "client": self.client,
            "address": self.address,
        }


@dataclass(frozen=True, kw_only=True)
class Stranger:
    """Somebody who was seen and is not declared."""

    name: str
    address: str
    times: int
    last: datetime

    def as_data(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "address": self.address,
            "times": self.times,
            "last": _iso(self.last),
        }


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What the log says of the declared, and of the others."""

    begin: datetime | None
    """Where the log begins: nobody knows of what was before."""
    entries: tuple[Entry, ...]
    undeclared: tuple[Stranger, ...]
    """User names that were let in, and are in the stack file no more."""
    clients: tuple[Stranger, ...]
    """Client ids that were refused, and that no user ever had."""
    outside: tuple[Stranger, ...]
    """Addresses outside the declared networks, with whom they came as."""

    def as_data(self) -> dict[str, Any]:
        return {
            "logBegins": _iso(self.begin),
            "declared": [each.as_data() for each in self.entries],
            "undeclaredUsers": [each.as_data() for each in self.undeclared],
            "unknownClients": [each.as_data() for each in self.clients],
            "outsideNetworks": [each.as_data() for each in self.outside],
        }


def inventory(settings: Settings, seen: LogSummary, own: Iterable[str] = ()) -> Inventory:
    """Return it; *own* are addresses by which the broker's host itself comes."""
    names = {each.name: each.user for each in logins(settings)}
    names |= dict.fromkeys(
        (each for fleet in settings.fleets.values() for each in fleet.admitted), ""
    )
    known = {*names, settings.broker.health.user, CANARY}
    return Inventory(
        begin=seen.begin,
        entries=tuple(_entries(settings, seen)),
        undeclared=tuple(_undeclared(seen, known)),
        clients=tuple(
            Stranger(name=client, address=address, times=count.times, last=count.last)
            for (client, address), count in sorted(seen.refused_clients.items())
        ),
        outside=tuple(_outside(settings, seen, set(own))),
    )


def _undeclared(seen: LogSummary, known: set[str]) -> Iterator[Stranger]:
    for name, each in sorted(seen.parties.items()):
        if name not in known:
            yield Stranger(name=name, address=each.address, times=each.times, last=each.last)
    # Somebody whose client calls itself as a check's does.
    for (name, _, address), count in sorted(seen.logins.items()):
        if name not in known and name not in seen.parties and name != OTHER:
            yield Stranger(name=name, address=address, times=count.times, last=count.last)


def _entries(settings: Settings, seen: LogSummary) -> Iterator[Entry]:
    by_user: dict[str, list[str]] = {}
    for each in logins(settings):
        by_user.setdefault(each.user, []).append(each.name)
    for name, mine in by_user.items():
        yield _entry(name, "user", mine, seen)
    for kind, fleet in settings.fleets.items():
        for member in fleet.admitted:
            yield _entry(member, f"fleet {kind}", [member], seen)


def _entry(name: str, kind: str, mine: list[str], seen: LogSummary) -> Entry:
    """Return the entry of *name*, which has one login or two that take turns."""
    found = [party for each in mine if (party := seen.parties.get(each)) is not None]
    if not found:
        return Entry(name=name, kind=kind, state="never", since=None)
    here = [each for each in found if each.ended is None]
    party = max(here or found, key=lambda each: each.ended or each.last)
    return Entry(
        name=name,
        kind=kind,
        state="connected" if here else "silent",
        since=party.last if here else party.ended,
        client=party.client,
        address=party.address,
    )


def _outside(settings: Settings, seen: LogSummary, own: set[str]) -> Iterator[Stranger]:
    listeners = [each for each in settings.broker.listeners.values() if not each.bound.is_loopback]
    if any(not each.allow_from for each in listeners):
        return
    networks = [network for each in listeners for network in each.allow_from]
    counts = [((user, address), count) for (user, _, address), count in seen.logins.items()]
    found: dict[tuple[str, str], tuple[int, datetime]] = {}
    for (user, address), count in [*counts, *seen.refused.items()]:
        if address in (UNKNOWN, OTHER) or address in own or ip_address(address).is_loopback:
            continue
        if any(ip_address(address) in each for each in networks):
            continue
        times, last = found.get((user, address), (0, count.last))
        found[user, address] = (times + count.times, max(last, count.last))
    for (user, address), (times, last) in sorted(found.items()):
        yield Stranger(name=user, address=address, times=times, last=last)


def render_inventory(found: Inventory) -> list[str]:
    """Return the lines."""
    if found.begin is None:
        return ["The log holds nothing yet: nobody can tell who was here."]
    lines = [f"since {_iso(found.begin)}, where the log begins:"]
    for state, said in (
        ("never", "never connected"),
        ("silent", "silent"),
        ("connected", "connected"),
    ):
        for each in found.entries:
            if each.state == state:
                since = f" since {_iso(each.since)}" if each.since else ""
                how = f", as {_plain(each.client)} from {each.address}" if each.since else ""
                lines.append(f"{said}{since}: {each.name} ({each.kind}){how}")
    for title, strangers in (
        ("let in, and not declared (any more)", found.undeclared),
        ("refused, with a client id that no user has had", found.clients),
        ("from outside the declared networks", found.outside),
    ):
        lines += [
            f"{title}: {_plain(each.name)} from {each.address}, {each.times} times, last "
            f"{_iso(each.last)}"
            for each in strangers
        ]
    return lines


def _plain(text: str) -> str:
    """Return *text* without what would steer or fill a terminal: clients choose their ids."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}..."
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _iso(when: datetime | None) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ") if when else ""
