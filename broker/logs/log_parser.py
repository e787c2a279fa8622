"""
Parse Mosquitto's log: logins, refused logins and denied messages.

The lines of 2.0 and 2.1 differ. Neither names the user of a refused login: both have the client id,
and 2.1 has the address. See tests/recorded/log-2.0.txt and log-2.1.txt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeVar, cast

UNKNOWN = "unknown"
"""A value that is not in the log."""

OTHER = "other"
"""The name for all entries beyond the limit ``NAMES``."""

NAMES = 1000
"""The limit of names per kind, so that a flood of new names does not exhaust the memory."""

SESSIONS = 100_000

LINE = 999
"""Bytes after which Mosquitto cuts a line off. A long client id thus hides the rest."""

CONNECT_TIMEOUT = timedelta(seconds=90)
"""Mosquitto closes a connection that sends no CONNECT for this long."""

REFUSED_TOTAL = "mosquitto_logins_refused_total"
DENIED_TOTAL = "mosquitto_acl_denied_total"

CLAIMED = " (X-Forwarded-For)"
"""
The suffix of an address that a WebSocket client of 2.0 has named itself, as a header of its
request. A reverse proxy names the address of its client; without one, it can be any address.
"""

Key = TypeVar("Key", bound=tuple[str, ...])
Name = TypeVar("Name", str, datetime)
Value = TypeVar("Value")

EVER = datetime.fromisoformat("0001-01-01T00:00:00+00:00")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

Sample = tuple[str, Mapping[str, str], float]
"""A Prometheus metric: name, labels and value."""

CHECK = "check-"
"""The prefix of the client ids of `./brokerctl check`."""

PROBES = ("ready-", "anonymous-", "canary-", "health-")
"""
The prefixes of the client ids with which an `up` asks the broker, inside its container, whether it
refuses what it must refuse (host/commands/apply_configuration.sh, await_ready.sh).
"""

_RANDOM_IDS = ("auto-", *PROBES, CHECK)
"""Prefixes of client ids that differ at each connection: Mosquitto's own and those of checks."""

_LINE = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d|\d{9,11}): (?P<text>.*)")
_STARTING = re.compile(r"mosquitto version (?P<version>\S+) starting")
_CONNECTION = re.compile(r"New connection from (?P<peer>\S+) on port \d+\.")
# A client id may contain any text, so the fields that Mosquitto adds are matched at the end.
_LOGIN_FROM = "New client connected from "
_LOGIN_AS = r"as (?P<client>.*) \(p\d+, c[01], k\d+(?:, u'(?P<user>.*)')?\)\."
_LOGIN = re.compile(rf"{_LOGIN_FROM}(?P<peer>\S+) {_LOGIN_AS}")
# Any text as X-Forwarded-For is the peer of a WebSocket in 2.0, with port 0.
_CLAIMED_LOGIN = re.compile(rf"{_LOGIN_FROM}(?P<address>.*):0 {_LOGIN_AS}")
_REFUSED_2_0 = re.compile(r"Client (?P<client>.*) disconnected, not authorised\.")
_REFUSED_2_1 = re.compile(r"Client (?P<client>.*) \[(?P<peer>\S+)\] disconnected: not authorised\.")
_ENDS = r"(?:disconnected|closed its connection|has exceeded timeout|already connected)\b.*"
_GONE_2_1 = re.compile(rf"Client (?P<client>.*) \[(?P<peer>\S+)\] {_ENDS}")
_GONE_2_0 = re.compile(rf"Client (?P<client>.*) {_ENDS}")
_CLOSED_2_0 = re.compile(r"Client (?P<client>.*) closed its connection\.")
_DENIED = re.compile(r" \(d[01], q[0-2], r[01], m\d+, '")
_DENIED_FROM = "Denied PUBLISH from "
_CUT_LOGIN = re.compile(r"New client connected from (?P<peer>\S+) as (?P<client>.*)")
_PARTIAL_CHARACTER = "\ufffd"
"""The replacement for a character that was cut off."""
_NO_CLIENT_ID = "<unknown>"
"""Mosquitto's name for a client that disconnected before its CONNECT."""


@dataclass
class Count:
    """The number of occurrences and the time of the last one."""

    times: int = 0
    last: datetime = EVER

    def add(self, when: datetime) -> None:
        self.times += 1
        self.last = max(self.last, when)


@dataclass
class Party:
    """A user name that has logged in since the log begins."""

    first: datetime
    last: datetime
    """The time of the last login."""
    times: int = 0
    client: str = ""
    address: str = ""
    ended: datetime | None = None
    """When its last connection ended; None while it is connected."""


@dataclass(frozen=True)
class _Session:
    user: str
    peer: str


@dataclass
class LogSummary:
    """The counts from the lines read so far, without occurrences before *since*."""

    since: datetime = EVER
    most: int = NAMES
    own: int = 0
    """
    The number of refused logins per hour that a check causes, which are not counted. Further ones
    with the client id of a check are counted, because any client can use that id.
    """
    whole: bool = True
    """Whether no lines are missing between those that are read."""
    begin: datetime | None = None
    """The time of the first line."""
    end: datetime | None = None
    unread_until: datetime | None = None
    """The time of the first line that was read of a file whose beginning was not."""
    parties: dict[str, Party] = field(default_factory=dict)
    """By user name."""
    logins: dict[tuple[str, str, str], Count] = field(default_factory=dict)
    """By user, client id and address."""
    refused: dict[tuple[str, str], Count] = field(default_factory=dict)
    """
    By user and address. The user is the last one who logged in with the client id, or unknown. This
    is a guess, because a client can use any client id.
    """
    refused_clients: dict[tuple[str, str], Count] = field(default_factory=dict)
    """By client id and address: client ids that no user in the log has ever used."""
    hours: dict[datetime, int] = field(default_factory=dict)
    """Refused logins by hour."""
    denied: dict[tuple[str, str], Count] = field(default_factory=dict)
    """By user and address; Mosquitto logs these only with ``log_type debug``."""
    _sessions: dict[str, _Session] = field(default_factory=dict)
    _cut: dict[str, None] = field(default_factory=dict)
    """The sessions whose client id was cut off in the log."""
    _every_session_of_2_0: bool = False
    """Whether the lines since a start of 2.0 were read, so that every session is known."""
    _checks: dict[datetime, int] = field(default_factory=dict)
    _open: dict[str, int] = field(default_factory=dict)
    """The number of sessions, by user."""
    _users: dict[str, str] = field(default_factory=dict)
    _pending: dict[str, datetime] = field(default_factory=dict)
    _ended_pending: int = 0
    """How many of the pending connections have ended without a line that names them."""

    def read(self, lines: Iterable[str]) -> LogSummary:
        """Add *lines*, which follow the lines read before."""
        stamp, when = "", EVER
        cut = False
        for line in lines:
            if line.rstrip("\n") == "cut":
                cut = True
                continue
            found = _LINE.fullmatch(line.rstrip("\n"))
            if found is None:
                continue
            if found["time"] != stamp:
                stamp = found["time"]
                when = _time(stamp)
            if cut:
                self.unread_until, cut = when, False
            self._read_line(when, found["text"], cut=_is_cut(line))
        return self

    @property
    def incomplete(self) -> bool:
        """Whether lines after *since* were not read, because the log is too large."""
        return self.unread_until is not None and self.unread_until > self.since

    def worst_hour(self) -> tuple[datetime | None, int]:
        """Return the hour with the most refused logins, and their number."""
        return max(self.hours.items(), key=lambda item: item[1], default=(None, 0))

    def _read_line(self, when: datetime, text: str, *, cut: bool) -> None:
        self.begin, self.end = self.begin or when, when
        if cut:
            self._read_cut_line(when, text)
        elif text.startswith("New connection "):
            if found := _CONNECTION.fullmatch(text):
                self._add_pending(when, found["peer"])
        elif text.startswith(_LOGIN_FROM):
            self._read_login(when, text)
        elif text.startswith("Client "):
            self._read_client_line(when, text)
        elif text.startswith(_DENIED_FROM):
            self._deny(when, self._denied(text))
        elif found := _STARTING.fullmatch(text):
            for client in list(self._sessions):
                self._end(when, client)
            self._clear_pending()
            self._every_session_of_2_0 = self.whole and found["version"].startswith("2.0.")

    def _read_login(self, when: datetime, text: str) -> None:
        found, claimed = _LOGIN.fullmatch(text), _CLAIMED_LOGIN.fullmatch(text)
        # A client id may contain ":0 as ", too; the connection of such a client is pending.
        if found is not None and (claimed is None or found["peer"] in self._pending):
            self._log_in(when, found["client"], found["user"] or "", found["peer"])
        elif claimed is not None:
            peer = f"{claimed['address']}{CLAIMED}:0"
            self._log_in(when, claimed["client"], claimed["user"] or "", peer)

    def _read_cut_line(self, when: datetime, text: str) -> None:
        """Read a line that was cut off; text that a client chose is not taken for its end."""
        if found := _CUT_LOGIN.fullmatch(text):
            client = found["client"].rstrip(_PARTIAL_CHARACTER)
            self._log_in(when, client, UNKNOWN, found["peer"])
            _put(self._cut, client, None, self.most)
        elif text.startswith(_LOGIN_FROM):
            # The peer is claimed, and so long that it hides client id and user.
            if when >= self.since:
                self._count(self.logins, (UNKNOWN, UNKNOWN, UNKNOWN), when)
        elif text.startswith(_DENIED_FROM):
            self._deny(when, self._denied(text))
        elif text.startswith("Client "):
            client = text.removeprefix("Client ")
            session = next((prefix for prefix in self._cut if client.startswith(prefix)), None)
            self._expire(when)
            if session is None:
                # A client without a session cannot disconnect, so its login was refused.
                self._refuse(when, client.rstrip(_PARTIAL_CHARACTER), self._pending_address())
            else:
                self._end(when, session)

    def _add_pending(self, when: datetime, peer: str) -> None:
        if len(self._pending) >= self.most:
            self._clear_pending()
        self._pending[peer] = when

    def _log_in(self, when: datetime, client: str, user: str, peer: str) -> None:
        self._pending.pop(peer, None)
        if self._ended_pending >= len(self._pending):
            self._clear_pending()
        self._end(when, client)
        if client.startswith(CHECK):
            # A check logs in as every user, so its logins are not those of the users' clients.
            if when >= self.since:
                self._count(self.logins, (user, _kind(client), _host(peer)), when)
            return
        if len(self._sessions) >= SESSIONS:
            self._end(when, next(iter(self._sessions)))
            self._every_session_of_2_0 = False
        self._sessions[client] = _Session(user, peer)
        self._open[user] = self._open.get(user, 0) + 1
        _put(self._users, client, user, SESSIONS)
        # A large fleet has many users, so the limit is that of the sessions.
        name = user if user in self.parties or len(self.parties) < SESSIONS else OTHER
        party = self.parties.setdefault(name, Party(first=when, last=when))
        party.last, party.ended = when, None
        party.times += 1
        party.client, party.address = _kind(client), _host(peer)
        if when >= self.since:
            self._count(self.logins, (user, _kind(client), _host(peer)), when)

    def _read_client_line(self, when: datetime, text: str) -> None:
        if found := _REFUSED_2_1.fullmatch(text):
            self._pending.pop(found["peer"], None)
            self._refuse(when, found["client"], _host(found["peer"]))
        elif found := _REFUSED_2_0.fullmatch(text):
            self._expire(when)
            self._refuse(when, found["client"], self._pending_address())
        else:
            self._read_disconnect(when, text)

    def _read_disconnect(self, when: datetime, text: str) -> None:
        # 2.0 logs no address, and a client id may contain brackets. Then no session matches.
        if (found := _GONE_2_1.fullmatch(text)) and self._leave(
            when, found["client"], found["peer"]
        ):
            return
        if (found := _GONE_2_0.fullmatch(text)) and self._leave(when, found["client"], None):
            return
        if self._every_session_of_2_0 and (found := _CLOSED_2_0.fullmatch(text)):
            self._close_without_session(when, found["client"])

    def _close_without_session(self, when: datetime, client: str) -> None:
        """
        Count a refused login of a WebSocket client.

        2.0 logs it like the end of a connection, without a login before it.
        """
        if session := next((prefix for prefix in self._cut if client.startswith(prefix)), None):
            self._end(when, session)
        elif client != _NO_CLIENT_ID:
            self._refuse(when, client, UNKNOWN)

    def _refuse(self, when: datetime, client: str, address: str) -> None:
        if when < self.since:
            return
        hour = when.replace(minute=0, second=0)
        if self._is_own(client, address, hour):
            return
        user = self._users.get(client, "")
        self._count(self.refused, (user or UNKNOWN, address), when)
        if not user:
            self._count(self.refused_clients, (_kind(client), address), when)
        _put(self.hours, hour, self.hours.get(hour, 0) + 1, self.most)

    def _is_own(self, client: str, address: str, hour: datetime) -> bool:
        """Return whether this program was refused: by a check, or a probe from the loopback."""
        found = address_of(address)
        probe = client.startswith(PROBES) and (found is None or found.is_loopback)
        if probe and found is not None:
            return True
        # Any client can use these ids, so only as many are excluded as this program causes.
        if (probe or client.startswith(CHECK)) and self._checks.get(hour, 0) < self.own:
            _put(self._checks, hour, self._checks.get(hour, 0) + 1, self.most)
            return True
        return False

    def _denied(self, text: str) -> str:
        """Return the client id in *text*; both client id and topic may contain the separator."""
        rest = text.removeprefix(_DENIED_FROM)
        clients = [rest[: found.start()] for found in _DENIED.finditer(rest)]
        cut = [client for client in self._cut if rest.startswith(client)]
        known = [client for client in (*reversed(clients), *cut) if client in self._sessions]
        return next(iter(known), "")

    def _deny(self, when: datetime, client: str) -> None:
        if when < self.since:
            return
        session = self._sessions.get(client)
        key = (session.user, _host(session.peer)) if session else (UNKNOWN, UNKNOWN)
        self._count(self.denied, key, when)

    def _leave(self, when: datetime, client: str, peer: str | None) -> bool:
        """End the session or pending connection; return whether there was one."""
        if peer is not None and self._pending.pop(peer, None) is not None:
            return True
        if client == _NO_CLIENT_ID and peer is None:
            self._expire(when)
            self._pending_address()
        session = self._sessions.get(client)
        if session is None or peer not in (None, session.peer):
            return False
        self._end(when, client)
        return True

    def _end(self, when: datetime, client: str) -> None:
        session = self._sessions.pop(client, None)
        self._cut.pop(client, None)
        if session is None:
            return
        self._open[session.user] -= 1
        if self._open[session.user] == 0:
            del self._open[session.user]
            if session.user in self.parties:
                self.parties[session.user].ended = when

    def _pending_address(self) -> str:
        """
        Return the address of a connection that has ended, which 2.0 does not log.

        It is one of the pending connections. If these have several addresses, the result is unknown
        until all of them have ended.
        """
        addresses = {_host(peer) for peer in self._pending}
        if len(addresses) == 1:
            self._pending.pop(next(iter(self._pending)))
            return addresses.pop()
        self._ended_pending += 1
        if self._ended_pending >= len(self._pending):
            self._clear_pending()
        return UNKNOWN

    def _expire(self, when: datetime) -> None:
        for peer, since in list(self._pending.items()):
            if when - since <= CONNECT_TIMEOUT:
                return
            del self._pending[peer]
            self._ended_pending = max(0, self._ended_pending - 1)

    def _clear_pending(self) -> None:
        self._pending.clear()
        self._ended_pending = 0

    def _count(self, counts: dict[Key, Count], key: Key, when: datetime) -> None:
        if key not in counts and len(counts) >= self.most:
            key = cast("Key", tuple(OTHER for _ in key))
        counts.setdefault(key, Count()).add(when)


def samples(summary: LogSummary) -> list[Sample]:
    """
    Return metrics for Prometheus: refused logins and denied messages, by user and address.

    They are counters as long as lines are added to the same *summary*. The counts of a new summary
    fall when the oldest log file is deleted; Prometheus treats that as a restart.
    """
    return [
        (name, {"user": user, "address": address}, float(count.times))
        for name, counts in ((REFUSED_TOTAL, summary.refused), (DENIED_TOTAL, summary.denied))
        for (user, address), count in sorted(counts.items())
    ]


def _is_cut(line: str) -> bool:
    # A character has at most four bytes. _PARTIAL_CHARACTER has at least as many as it replaces.
    return 4 * len(line) >= LINE and len(line.rstrip("\n").encode()) >= LINE


def _put(values: dict[Name, Value], name: Name, value: Value, limit: int) -> None:
    """Store *value*; if there are *limit* values already, delete the oldest."""
    values.pop(name, None)
    if len(values) >= limit:
        values.pop(next(iter(values)))
    values[name] = value


def _time(text: str) -> datetime:
    # In the declared log_timestamp_format and in UTC, the container's time zone, or in seconds,
    # which is Mosquitto's default.
    if text.isdecimal():
        return _EPOCH + timedelta(seconds=int(text))
    return datetime.fromisoformat(f"{text}+00:00")


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address in a name of the log, claimed or not; None if there is none."""
    try:
        return ip_address(host.removesuffix(CLAIMED))
    except ValueError:
        return None


def _host(peer: str) -> str:
    host = peer.rpartition(":")[0].strip("[]").removeprefix("::ffff:")
    return host if address_of(host) else UNKNOWN


def _kind(client: str) -> str:
    """Return *client*, or the prefix and ``*`` for an id that differs at each connection."""
    if not client.startswith(_RANDOM_IDS):
        return client
    return next(f"{prefix}*" for prefix in _RANDOM_IDS if client.startswith(prefix))
