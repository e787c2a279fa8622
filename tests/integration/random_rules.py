"""Random users, rules and topics, drawn so that about half of the requests are allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from broker.access.rules import Principal, Rule

ROOT = "root"
"""A user with write access to all topics; it publishes what the others receive."""
ROOTS = ("#", "$SYS/#", "$foo/#", "$SYSTEM/#", "$SYS-x/#", "$other/#", "$CONTROL/#")

# Names that are also levels, so that `topic` rules and patterns match the same topics. A stack file
# can't declare the last ones, but a password file can have them.
NAMES = ("a", "b", "c", "room", "ctl1", "ctl12", "_x", "anna@home", "a/b", "c+", "nobody#")
CLIENT_IDS = ("a", "b", "ctl1", "a/b", "b/", "/", "$foo", "$SYS", "%u", "%c", "x+", "#", "é z")
LEVELS = ("a", "b", "c", "room", "ctl1", "ctl.2", "x y", "é", "%u", "%")
SYSTEM = ("$SYS", "$foo", "$SYSTEM", "$SYS-x", "$other", "$", "$share", "$shared", "$CONTROL")
BRIDGE_STATE = r"\$SYS/broker/connection/[^/]*/state"


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user as a client: its rules, its client id and its requests."""

    principal: Principal
    client_id: str
    publishes: tuple[str, ...]
    subscribes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Round:
    """An ACL file, and the requests to a broker that has it."""

    acl: str
    logins: tuple[Login, ...]
    published: tuple[str, ...]
    """Topics that root publishes to."""


def draw_round(random: Random, *, users: int, topics: int) -> Round:
    """Draw *users*, with *topics* per user to publish to, and as many for root."""
    patterns = tuple(_rule(random, "pattern") for _ in range(random.choice((0, 1, 2, 4))))
    principals = []
    for index in range(users):
        name = NAMES[index] if index < len(NAMES) else f"user{index}"
        rules = tuple(_rule(random, "topic") for _ in range(random.choice((0, 1, 2, 3, 5))))
        if rules and random.random() < 0.3:  # the same filter once more, with another access
            again = Rule(kind="topic", access=_access(random), filter=random.choice(rules).filter)
            rules = (*rules, again)
        principals.append(Principal(name=name, topics=rules, patterns=patterns))
    # Client ids must be unique among the connected clients.
    ids = random.sample((*CLIENT_IDS, *(f"client{number}" for number in range(users))), users)
    logins = tuple(
        _login(random, user, client_id, principals, topics)
        for user, client_id in zip(principals, ids, strict=True)
    )
    spoken = [(rule, login) for login in logins for rule in _rules(login.principal)]
    published = (_topic_near(random, *random.choice(spoken)) for _ in range(topics * 4))
    return Round(
        acl=_acl(random, principals, patterns),
        logins=logins,
        published=tuple(dict.fromkeys(topic for topic in published if root_may_publish(topic)))[
            :topics
        ],
    )


def root_may_publish(topic: str) -> bool:
    """Return whether root may publish to *topic*: the broker reserves ``$SYS`` and ``$share``."""
    first = topic.split("/", maxsplit=1)[0]
    if first.startswith("$SYS"):
        return re.fullmatch(BRIDGE_STATE, topic) is not None
    return not first.startswith("$") or f"{first}/#" in ROOTS


def _login(
    random: Random, user: Principal, client_id: str, others: list[Principal], topics: int
) -> Login:
    near = [*_rules(user)]
    asked = Login(principal=user, client_id=client_id, publishes=(), subscribes=())
    publishes = []
    for _ in range(topics):
        if near and random.random() < 0.7:
            publishes.append(_topic_near(random, random.choice(near), asked))
        else:
            stranger = random.choice(others)
            rule = random.choice((*_rules(stranger), _rule(random, "topic")))
            publishes.append(_topic_near(random, rule, asked))
    everything = ("#", *(filter_ for filter_ in ROOTS if filter_ != "#"))
    subscribes = random.choice(
        (
            everything,
            ("+/#", *everything[1:]),
            tuple(f"$share/only{others.index(user)}/{filter_}" for filter_ in everything),
            (
                "+/+",
                "+",
                "$foo/+",
                *(filter_ for _ in range(2) if (filter_ := _filter(random))[:6] != "$share"),
            ),
            (*(rule.filter for rule in near if not rule.filter.startswith("$share")), "a/#"),
        )
    )
    return Login(
        principal=user,
        client_id=client_id,
        publishes=tuple(publishes),
        subscribes=subscribes,
    )


def _rules(user: Principal) -> tuple[Rule, ...]:
    return (*user.topics, *user.patterns)


def _access(random: Random) -> str:
    return random.choice(("read", "write", "readwrite", "readwrite", "deny"))


def _rule(random: Random, kind: str) -> Rule:
    return Rule(
        kind=kind, access=_access(random), filter=_filter(random, pattern=kind == "pattern")
    )


def _filter(random: Random, *, pattern: bool = False) -> str:
    if random.random() < 0.03:
        return "$SYS/broker/connection/+/state"
    levels = [random.choice(LEVELS[:6]) for _ in range(random.choice((1, 1, 2, 2, 3, 4)))]
    if random.random() < 0.2:
        levels[0] = random.choice(SYSTEM)
    levels = ["+" if random.random() < 0.25 else level for level in levels]
    if random.random() < 0.1:
        levels.insert(random.randrange(len(levels) + 1), "")
    if pattern:
        for _ in range(random.choice((0, 1, 1, 2))):
            levels[random.randrange(len(levels))] = random.choice(("%u", "%u", "%c"))
    if random.random() < 0.4:
        levels = [*levels[random.choice((0, 1)) if len(levels) == 1 else 0 :], "#"]
    return "/".join(levels)


def _topic_near(random: Random, rule: Rule, login: Login) -> str:
    """Return a topic that the rule matches, or nearly matches."""
    levels: list[str] = []
    for level in rule.filter.split("/"):
        match level:
            case "+":
                levels.append(_level(random))
            case "#":
                levels += [_level(random) for _ in range(random.choice((0, 0, 1, 1, 2)))]
            case "%u":
                levels.append(_near_name(random, login.principal.name))
            case "%c":
                levels.append(_near_name(random, login.client_id))
            case _:
                levels.append(level)
    miss = random.random()
    if miss < 0.1:
        levels.append(_level(random))
    elif miss < 0.2 and len(levels) > 1:
        levels.pop()
    elif miss < 0.3 and levels:
        levels[random.randrange(len(levels))] = _level(random)
    topic = "/".join(levels).replace("+", "p").replace("#", "h")
    return topic or "/"


def _near_name(random: Random, name: str) -> str:
    """Return *name*, a prefix of it, one with that prefix, or another name."""
    return random.choice((name, name, name, name[:-1], name[:1], f"{name}1", random.choice(LEVELS)))


def _level(random: Random) -> str:
    return random.choice((*LEVELS, "", "", *SYSTEM[:2]))


def _acl(random: Random, principals: Iterable[Principal], patterns: Iterable[Rule]) -> str:
    """Return an ACL file with split user blocks and with patterns between them, in order."""
    pieces: list[list[str]] = []
    for user in principals:
        if user.topics:
            cut = random.randint(0, len(user.topics))
            pieces.extend(
                [f"user {user.name}", *(rule.line for rule in rules)]
                for rules in (user.topics[:cut], user.topics[cut:])
            )
    between = sorted(random.sample(range(len(pieces) * 9), len(tuple(patterns))))
    for place, rule in reversed(list(zip(between, patterns, strict=True))):
        pieces.insert(place // 9, [rule.line])
    pieces.append([f"user {ROOT}", *(f"topic readwrite {filter_}" for filter_ in ROOTS)])
    return "".join(f"{line}\n" for piece in pieces for line in piece)
