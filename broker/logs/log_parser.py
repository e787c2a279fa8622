"""
Who logged in, who was refused and who was denied, from the lines of Mosquitto's log.

2.0 and 2.1 write other lines, and neither names the user who was refused: the client id is there,
and from 2.1 the address. See tests/recorded/log-2.0.txt and log-2.1.txt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar, cast

UNKNOWN = "unknown"
"""Stands for what no line tells."""

OTHER = "other"
"""Stands for all that came when there were as many names as are kept."""

NAMES = 1000
"""How many of a kind are kept: who floods a broker with new names must not fill our memory."""

SESSIONS = 100_000

LINE = 999
"""Bytes at which Mosquitto cuts a line: a client, whose id is in it, chooses what is cut off."""

PATIENCE = timedelta(seconds=90)
"""Mosquitto closes a connection that has said nothing for so long."""

REFUSED_TOTAL = "mosquitto_logins_refused_total"
DENIED_TOTAL = "mosquitto_acl_denied_total"

Key = TypeVar("Key", bound=tuple[str, ...])
Name = TypeVar("Name", str, datetime)
Value = TypeVar("Value")

EVER = datetime.fromisoformat("0001-01-01T00:00:00+00:00")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

Sample = tuple[str, Mapping[str, str], float]
"""A metric of Prometheus': its name, labels and value."""

# The clients that come with another id each time: Mosquitto's own ids, and those of our checks.
CHECK = "check-"
"""What ids begin with of those who log in for `./brokerctl check`, as everybody and as nobody."""

_PASSING = ("auto-", "health-", "canary-", "anonymous-", CHECK)

_LINE = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d|\d{9,11}): (?P<text>.*)")
_STARTING = re.compile(r"mosquitto version \S+ starting")
_CONNECTION = re.compile(r"New connection from (?P<peer>\S+) on port \d+\.")
# A client chooses its id: whatever stands in it, what Mosquitto adds stands last.
_LOGIN = re.compile(
    r"New client connected from (?P<peer>\S+) as (?P<client>.*) "
    r"\(p\d+, c[01], k\d+(?:, u'(?P<user>.*)')?\)\."
)
_REFUSED_2_0 = re.compile(r"Client (?P<client>.*) disconnected, not authorised\.")
_REFUSED_2_1 = re.compile(r"Client (?P<client>.*) \[(?P<peer>\S+)\] disconnected: not authorised\.")
_ENDS = r"(?:disconnected|closed its connection|has exceeded timeout|already connected)\b.*"
_GONE_2_1 = re.compile(rf"Client (?P<client>.*) \[(?P<peer>\S+)\] {_ENDS}")
_GONE_2_0 = re.compile(rf"Client (?P<client>.*) {_ENDS}")
_DENIED = re.compile(r" \(d[01], q[0-2], r[01], m\d+, '")
_DENIED_FROM = "Denied PUBLISH from "
_CUT_LOGIN = re.compile(r"New client connected from (?P<peer>\S+) as (?P<client>.*)")
_HALF = "\ufffd"
"""What is read of a character that was cut."""
_NOBODY = "<unknown>"
"""What Mosquitto calls a client that left before it said who it was."""


@dataclass
class Count:
    """How many times, and when last."""

    times: int = 0
    last: datetime = EVER

    def add(self, when: datetime) -> None:
        self.times += 1
        self.last = max(self.last, when)


@dataclass
class Party:
    """A user name that was let in, since the log begins."""

    first: datetime
    last: datetime
    """Of the last login."""
    times: int = 0
    client: str = ""
    address: str = ""
    ended: datetime | None = None
    """When its last connection ended; nothing while it has one."""


@dataclass(frozen=True)
class _Session:
    user: str
    peer: str


@dataclass
class LogSummary:
    """What the lines that were read so far say; what is older than *since* is not counted."""

    since: datetime = EVER
    most: int = NAMES
    own: int = 0
    """
    How many refusals an hour of a check are none. No more than it makes: anybody may take its id.
    """
    begin: datetime | None = None
    """The time of the first line."""
    end: datetime | None = None
    parties: dict[str, Party] = field(default_factory=dict)
    """By user name."""
    logins: dict[tuple[str, str, str], Count] = field(default_factory=dict)
    """By user, client id and address."""
    refused: dict[tuple[str, str], Count] = field(default_factory=dict)
    """
    By user and address. The user is the one who last logged in with that client id, or unknown;
    a guess, because anybody may take any client id.
    """
    refused_clients: dict[tuple[str, str], Count] = field(default_factory=dict)
    """By client id and address: those that no user of the log has ever had."""
    hours: dict[datetime, int] = field(default_factory=dict)
    """Refused logins by the hour in which they were."""
    denied: dict[tuple[str, str], Count] = field(default_factory=dict)
    """By user and address; Mosquitto writes these with ``log_type debug`` alone."""
    _sessions: dict[str, _Session] = field(default_factory=dict)
    _cut: dict[str, None] = field(default_factory=dict)
    """Of the sessions those of whose id a line holds no more than the beginning."""
    _checks: dict[datetime, int] = field(default_factory=dict)
    _open: dict[str, int] = field(default_factory=dict)
    """How many sessions a user has."""
    _users: dict[str, str] = field(default_factory=dict)
    _pending: dict[str, datetime] = field(default_factory=dict)
    _gone: int = 0
    """How many of the pending connections have ended, and no line says which."""

    def read(self, lines: Iterable[str]) -> LogSummary:
        """Take *lines* in, which follow those before."""
        stamp, when = "", EVER
        for line in lines:
            found = _LINE.fullmatch(line.rstrip("\n"))
            if found is None:
                continue
            if found["time"] != stamp:
                stamp = found["time"]
                when = _time(stamp)
            self._take(when, found["text"], cut=_is_cut(line))
        return self

    def worst_hour(self) -> tuple[datetime | None, int]:
        """Return the hour with the most refused logins, and how many."""
        return max(self.hours.items(), key=lambda each: each[1], default=(None, 0))

    def _take(self, when: datetime, text: str, *, cut: bool) -> None:
        self.begin, self.end = self.begin or when, when
        if cut:
            self._take_cut(when, text)
        elif text.startswith("New connection "):
            if found := _CONNECTION.fullmatch(text):
                self._arrive(when, found["peer"])
        elif text.startswith("New client "):
            if found := _LOGIN.fullmatch(text):
                self._let_in(when, found["client"], found["user"] or "", found["peer"])
        elif text.startswith("Client "):
            self._turn_away(when, text)
        elif text.startswith(_DENIED_FROM):
            self._deny(when, self._denied(text))
        elif _STARTING.fullmatch(text):
            for client in list(self._sessions):
                self._end(when, client)
            self._forget()

    def _take_cut(self, when: datetime, text: str) -> None:
        """Take a line in that has no end: nothing in it that a client chose passes for one."""
        if found := _CUT_LOGIN.fullmatch(text):
            client = found["client"].rstrip(_HALF)
            self._let_in(when, client, UNKNOWN, found["peer"])
            _put(self._cut, client, None, self.most)
        elif text.startswith(_DENIED_FROM):
            self._deny(when, self._denied(text))
        elif text.startswith("Client "):
            client = text.removeprefix("Client ")
            own = next((each for each in self._cut if client.startswith(each)), None)
            self._expire(when)
            if own is None:
                # Who has no session does not leave: that is somebody who was not let in.
                self._refuse(when, client.rstrip(_HALF), self._whose())
            else:
                self._end(when, own)

    def _arrive(self, when: datetime, peer: str) -> None:
        if len(self._pending) >= self.most:
            self._forget()
        self._pending[peer] = when

    def _let_in(self, when: datetime, client: str, user: str, peer: str) -> None:
        self._pending.pop(peer, None)
        if self._gone >= len(self._pending):
            self._forget()
        self._end(when, client)
        if client.startswith(CHECK):
            # As whom a check logs in tells nothing of who was here, nor of when they left.
            if when >= self.since:
                self._count(self.logins, (user, _kind(client), _host(peer)), when)
            return
        if len(self._sessions) >= SESSIONS:
            self._end(when, next(iter(self._sessions)))
        self._sessions[client] = _Session(user, peer)
        self._open[user] = self._open.get(user, 0) + 1
        _put(self._users, client, user, SESSIONS)
        # No more than the broker's password file has, which a fleet makes long.
        name = user if user in self.parties or len(self.parties) < SESSIONS else OTHER
        party = self.parties.setdefault(name, Party(first=when, last=when))
        party.last, party.ended = when, None
        party.times += 1
        party.client, party.address = _kind(client), _host(peer)
        if when >= self.since:
            self._count(self.logins, (user, _kind(client), _host(peer)), when)

    def _turn_away(self, when: datetime, text: str) -> None:
        if found := _REFUSED_2_1.fullmatch(text):
            self._pending.pop(found["peer"], None)
            self._refuse(when, found["client"], _host(found["peer"]))
        elif found := _REFUSED_2_0.fullmatch(text):
            self._expire(when)
            self._refuse(when, found["client"], self._whose())
        else:
            self._go(when, text)

    def _go(self, when: datetime, text: str) -> None:
        # What looks like a peer may be the id's own, where 2.0 writes none: then nobody is there.
        if (found := _GONE_2_1.fullmatch(text)) and self._leave(
            when, found["client"], found["peer"]
        ):
            return
        if found := _GONE_2_0.fullmatch(text):
            self._leave(when, found["client"], None)

    def _refuse(self, when: datetime, client: str, address: str) -> None:
        if when < self.since:
            return
        hour = when.replace(minute=0, second=0)
        if client.startswith(CHECK) and self._checks.get(hour, 0) < self.own:
            _put(self._checks, hour, self._checks.get(hour, 0) + 1, self.most)
            return
        user = self._users.get(client, "")
        self._count(self.refused, (user or UNKNOWN, address), when)
        if not user:
            self._count(self.refused_clients, (_kind(client), address), when)
        _put(self.hours, hour, self.hours.get(hour, 0) + 1, self.most)

    def _denied(self, text: str) -> str:
        """Return the client of *text*: id and topic may both hold what stands between them."""
        rest = text.removeprefix(_DENIED_FROM)
        clients = [rest[: found.start()] for found in _DENIED.finditer(rest)]
        beginnings = [each for each in self._cut if rest.startswith(each)]
        known = [each for each in (*reversed(clients), *beginnings) if each in self._sessions]
        return next(iter(known), "")

    def _deny(self, when: datetime, client: str) -> None:
        if when < self.since:
            return
        session = self._sessions.get(client)
        key = (session.user, _host(session.peer)) if session else (UNKNOWN, UNKNOWN)
        self._count(self.denied, key, when)

    def _leave(self, when: datetime, client: str, peer: str | None) -> bool:
        """Return whether that is somebody who was there."""
        if peer is not None and self._pending.pop(peer, None) is not None:
            return True
        if client == _NOBODY and peer is None:
            self._expire(when)
            self._whose()
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

    def _whose(self) -> str:
        """
        Return the address of a connection that has ended and that 2.0 doesn't name.

        It is one of those that have come and are not let in yet. Where these are of several
        addresses nobody can tell which, and nothing is guessed until all of them are accounted for.
        """
        addresses = {_host(each) for each in self._pending}
        if len(addresses) == 1:
            self._pending.pop(next(iter(self._pending)))
            return addresses.pop()
        self._gone += 1
        if self._gone >= len(self._pending):
            self._forget()
        return UNKNOWN

    def _expire(self, when: datetime) -> None:
        for peer, came in list(self._pending.items()):
            if when - came <= PATIENCE:
                return
            del self._pending[peer]
            self._gone = max(0, self._gone - 1)

    def _forget(self) -> None:
        self._pending.clear()
        self._gone = 0

    def _count(self, counts: dict[Key, Count], key: Key, when: datetime) -> None:
        if key not in counts and len(counts) >= self.most:
            key = cast("Key", tuple(OTHER for _ in key))
        counts.setdefault(key, Count()).add(when)


def samples(seen: LogSummary) -> list[Sample]:
    """
    Return what Prometheus is told: refused logins and denied messages, by user and address.

    Counters, while lines are read on into the same *seen*. Counted anew from the log, they become
    smaller when its oldest file goes, which Prometheus takes for a restart.
    """
    return [
        (name, {"user": user, "address": address}, float(count.times))
        for name, counts in ((REFUSED_TOTAL, seen.refused), (DENIED_TOTAL, seen.denied))
        for (user, address), count in sorted(counts.items())
    ]


def _is_cut(line: str) -> bool:
    # A character has four bytes at most. Half of one, read as _HALF, has no fewer than it had.
    return 4 * len(line) >= LINE and len(line.rstrip("\n").encode()) >= LINE


def _put(kept: dict[Name, Value], name: Name, value: Value, most: int) -> None:
    """Keep *value*; where there are *most* already, forget the oldest."""
    kept.pop(name, None)
    if len(kept) >= most:
        kept.pop(next(iter(kept)))
    kept[name] = value


def _time(text: str) -> datetime:
    # Our log_timestamp_format, in the container's time, which is UTC; Mosquitto's own otherwise.
    if text.isdecimal():
        return _EPOCH + timedelta(seconds=int(text))
    return datetime.fromisoformat(f"{text}+00:00")


def _host(peer: str) -> str:
    return peer.rpartition(":")[0].strip("[]").removeprefix("::ffff:")


def _kind(client: str) -> str:
    """Return *client*, or for one that comes with another id each time what they begin with."""
    if not client.startswith(_PASSING):
        return client
    return next(f"{each}*" for each in _PASSING if client.startswith(each))
