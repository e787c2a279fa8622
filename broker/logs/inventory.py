"""Compare the declared logins with those in the broker's log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any, Literal

from broker.credentials.logins import logins
from broker.logs.log_parser import EVER, OTHER, LogSummary, address_of
from broker.mosquitto.canary import NAME as CANARY
from broker.settings.stack_settings import Settings

LONGEST = 100
"""The largest number of characters of a client id in the text form."""

DOCKER_POOLS = (ip_network("172.16.0.0/12"), ip_network("192.168.0.0/16"))
"""The networks of which Docker gives one to each of its own by default."""

State = Literal["connected", "silent", "never"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A declared login and its last connection in the log."""

    name: str
    kind: str
    """``user``, or ``fleet`` and the fleet's name."""
    state: State
    since: datetime | None
    """Connected or silent since; None if it never connected."""
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
    """A login, client id or address in the log that is not declared."""

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
    """The declared logins, and the undeclared users, clients and addresses in the log."""

    begin: datetime | None
    """When the log begins; nothing is known of the time before."""
    entries: tuple[Entry, ...]
    undeclared: tuple[Stranger, ...]
    """User names that logged in and are no longer in the stack file."""
    clients: tuple[Stranger, ...]
    """Refused client ids that no user has ever used."""
    outside: tuple[Stranger, ...]
    """Addresses outside the declared networks, with their user names."""

    def as_data(self) -> dict[str, Any]:
        return {
            "logBegins": _iso(self.begin),
            "declared": [entry.as_data() for entry in self.entries],
            "undeclaredUsers": [user.as_data() for user in self.undeclared],
            "unknownClients": [client.as_data() for client in self.clients],
            "outsideNetworks": [address.as_data() for address in self.outside],
        }


def inventory(
    settings: Settings,
    summary: LogSummary,
    own: Iterable[str] = (),
    *,
    network_since: datetime = EVER,
) -> Inventory:
    """
    Return the inventory; *own* are the addresses of the broker's host.

    *network_since*: when the container's network was created. Before that, Docker may have given
    the host another address.
    """
    users = {login.name for login in logins(settings)}
    members = {member for fleet in settings.fleets.values() for member in fleet.admitted}
    known = users | members | {settings.broker.health.user, CANARY}
    return Inventory(
        begin=summary.begin,
        entries=tuple(_entries(settings, summary)),
        undeclared=tuple(_undeclared(summary, known)),
        clients=tuple(
            Stranger(name=client, address=address, times=count.times, last=count.last)
            for (client, address), count in sorted(summary.refused_clients.items())
        ),
        outside=tuple(_outside(settings, summary, set(own), network_since)),
    )


def _undeclared(summary: LogSummary, known: set[str]) -> Iterator[Stranger]:
    for name, party in sorted(summary.parties.items()):
        if name not in known:
            yield Stranger(name=name, address=party.address, times=party.times, last=party.last)
    # Users whose clients have the client id of a check are not among the parties.
    for (name, _, address), count in sorted(summary.logins.items()):
        if name not in known and name not in summary.parties and name != OTHER:
            yield Stranger(name=name, address=address, times=count.times, last=count.last)


def _entries(settings: Settings, summary: LogSummary) -> Iterator[Entry]:
    by_user: dict[str, list[str]] = {}
    for login in logins(settings):
        by_user.setdefault(login.user, []).append(login.name)
    for user, names in by_user.items():
        yield _entry(user, "user", names, summary)
    for kind, fleet in settings.fleets.items():
        for member in fleet.admitted:
            yield _entry(member, f"fleet {kind}", [member], summary)


def _entry(name: str, kind: str, logins: list[str], summary: LogSummary) -> Entry:
    """Return the entry of *name*, which has one login, or two during a rotation."""
    parties = [party for login in logins if (party := summary.parties.get(login)) is not None]
    if not parties:
        return Entry(name=name, kind=kind, state="never", since=None)
    connected = [party for party in parties if party.ended is None]
    party = max(connected or parties, key=lambda party: party.ended or party.last)
    return Entry(
        name=name,
        kind=kind,
        state="connected" if connected else "silent",
        since=party.last if connected else party.ended,
        client=party.client,
        address=party.address,
    )


def _outside(
    settings: Settings, summary: LogSummary, own: set[str], network_since: datetime
) -> Iterator[Stranger]:
    listeners = [
        listener
        for listener in settings.broker.listeners.values()
        if not listener.bound.is_loopback
    ]
    if any(not listener.allow_from for listener in listeners):
        return
    networks = [network for listener in listeners for network in listener.allow_from]
    counts = [((user, address), count) for (user, _, address), count in summary.logins.items()]
    found: dict[tuple[str, str], tuple[int, datetime]] = {}
    for (user, address), count in [*counts, *summary.refused.items()]:
        # Clients of 2.0's WebSockets choose their address: it may be any text.
        found_address = address_of(address)
        if found_address is None or address in own or found_address.is_loopback:
            continue
        if any(found_address in network for network in networks):
            continue
        if count.last < network_since and _may_be_a_gateway(found_address):
            continue
        times, last = found.get((user, address), (0, count.last))
        found[user, address] = (times + count.times, max(last, count.last))
    for (user, address), (times, last) in sorted(found.items()):
        yield Stranger(name=user, address=address, times=times, last=last)


def _may_be_a_gateway(address: IPv4Address | IPv6Address) -> bool:
    """Return whether Docker may have given the host this address: the first of a network."""
    return any(address in pool for pool in DOCKER_POOLS) and int(address) % 256 == 1


def render_inventory(inventory: Inventory) -> list[str]:
    """Return the inventory as lines of text."""
    if inventory.begin is None:
        return ["The log is empty: it shows no connections yet."]
    lines = [f"since {_iso(inventory.begin)}, when the log begins:"]
    for state, label in (
        ("never", "never connected"),
        ("silent", "silent"),
        ("connected", "connected"),
    ):
        for entry in inventory.entries:
            if entry.state == state:
                since = f" since {_iso(entry.since)}" if entry.since else ""
                client = f", as {_plain(entry.client)} from {entry.address}" if entry.since else ""
                lines.append(f"{label}{since}: {entry.name} ({entry.kind}){client}")
    for title, strangers in (
        ("logged in, but not or no longer declared", inventory.undeclared),
        ("refused, with a client id that no user has used", inventory.clients),
        ("from outside the declared networks", inventory.outside),
    ):
        lines += [
            f"{title}: {_plain(stranger.name)} from {stranger.address}, {stranger.times} times, "
            f"last {_iso(stranger.last)}"
            for stranger in strangers
        ]
    return lines


def _plain(text: str) -> str:
    """Return *text*, short and without control characters: clients choose their ids."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}..."
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _iso(when: datetime | None) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ") if when else ""
