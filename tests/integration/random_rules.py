"""Random users, rules and topics, drawn so that about half of what is asked is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from broker.access.rules import Principal, Rule

ROOT = "root"
"""May write all that anybody may write; what it publishes is what the others receive."""
ROOTS = ("#", "$SYS/#", "$foo/#", "$SYSTEM/#", "$SYS-x/#", "$other/#")

# Names that are levels too, so that `topic` rules and patterns meet; the last are names that a
# stack file can't declare, and a password file can hold.
NAMES = ("a", "b", "c", "room", "ctl1", "ctl12", "_x", "anna@home", "a/b", "c+", "nobody#")
CLIENT_IDS = ("a", "b", "ctl1", "a/b", "b/", "/", "$foo", "$SYS", "%u", "%c", "x+", "#", "é z")
LEVELS = ("a", "b", "c", "room", "ctl1", "ctl.2", "x y", "é", "%u", "%")
SYSTEM = ("$SYS", "$foo", "$SYSTEM", "$SYS-x", "$other", "$", "$share", "$shared", "$CONTROL")
BRIDGE_STATE = r"\$SYS/broker/connection/[^/]*/state"


@dataclass(frozen=True, kw_only=True)
class Login:
    """One user as a client: who, under which id, and what it asks for."""

    principal: Principal
    client_id: str
    publishes: tuple[str, ...]
    subscribes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Round:
    """One ACL file, and what is asked of a broker that has it."""

    acl: str
    logins: tuple[Login, ...]
    published: tuple[str, ...]
    """By root, for the others to receive."""


def draw_round(random: Random, *, users: int, topics: int) -> Round:
    """Draw *users* with *topics* to publish to each, and as many that root publishes."""
    patterns = tuple(_rule(random, "pattern") for _ in range(random.choice((0, 1, 2, 4))))
    principals = []
    for index in range(users):
        name = NAMES[index] if index < len(NAMES) else f"user{index}"
        rules = tuple(_rule(random, "topic") for _ in range(random.choice((0, 1, 2, 3, 5))))
        if rules and random.random() < 0.3:  # the same filter once more, with another access
            again = Rule(kind="topic", access=_access(random), filter=random.choice(rules).filter)
            rules = (*rules, again)
        principals.append(Principal(name=name, topics=rules, patterns=patterns))
    # Client ids are the clients' own choice, but no two may be there at the same time.
    ids = random.sample((*CLIENT_IDS, *(f"client{each}" for each in range(users))), users)
    logins = tuple(
        _login(random, user, client_id, principals, topics)
        for user, client_id in zip(principals, ids, strict=True)
    )
    spoken = [(rule, login) for login in logins for rule in _rules(login.principal)]
    published = (_topic_near(random, *random.choice(spoken)) for _ in range(topics * 4))
    return Round(
        acl=_acl(random, principals, patterns),
        logins=logins,
        published=tuple(dict.fromkeys(each for each in published if root_may_publish(each)))[
            :topics
        ],
    )


def root_may_publish(topic: str) -> bool:
    """$SYS is the broker's own but for a bridge's state, $share no topic, and # not for $."""
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
    everything = ("#", *(each for each in ROOTS if each != "#"))
    subscribes = random.choice(
        (
            everything,
            ("+/#", *everything[1:]),
            tuple(f"$share/only{others.index(user)}/{each}" for each in everything),
            (
                "+/+",
                "+",
                "$foo/+",
                *(each for _ in range(2) if (each := _filter(random))[:6] != "$share"),
            ),
            (*(each.filter for each in near if not each.filter.startswith("$share")), "a/#"),
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
    levels = ["+" if random.random() < 0.25 else each for each in levels]
    if pattern:
        for _ in range(random.choice((0, 1, 1, 2))):
            levels[random.randrange(len(levels))] = random.choice(("%u", "%u", "%c"))
    if random.random() < 0.4:
        levels = [*levels[random.choice((0, 1)) if len(levels) == 1 else 0 :], "#"]
    return "/".join(levels)


def _topic_near(random: Random, rule: Rule, login: Login) -> str:
    """Return a topic that the rule speaks of, or one that it just misses."""
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
    """Return a name, or its beginning, or one that begins so, or another."""
    return random.choice((name, name, name, name[:-1], name[:1], f"{name}1", random.choice(LEVELS)))


def _level(random: Random) -> str:
    return random.choice((*LEVELS, "", "", *SYSTEM[:2]))


def _acl(random: Random, principals: Iterable[Principal], patterns: Iterable[Rule]) -> str:
    """Return an ACL file: blocks torn in two, and patterns anywhere between them, in order."""
    pieces: list[list[str]] = []
    for user in principals:
        if user.topics:
            cut = random.randint(0, len(user.topics))
            pieces.extend(
                [f"user {user.name}", *(rule.line for rule in part)]
                for part in (user.topics[:cut], user.topics[cut:])
            )
    between = sorted(random.sample(range(len(pieces) * 9), len(tuple(patterns))))
    for place, rule in reversed(list(zip(between, patterns, strict=True))):
        pieces.insert(place // 9, [rule.line])
    pieces.append([f"user {ROOT}", *(f"topic readwrite {each}" for each in ROOTS)])
    return "".join(f"{line}\n" for piece in pieces for line in piece)
