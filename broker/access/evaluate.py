"""What Mosquitto will answer, for one user and one topic, and which rule decides."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from broker.access.rules import Direction, Principal, Rule
from broker.access.topic_filters import matches

Version = Literal["2.0", "2.1"]
Action = Literal["publish", "receive", "subscribe"]

# The broker looks at the first letters only, so that $SYSTEM is closed like $SYS, and $shared
# like $share (src/plugin_acl_check.c).
BRIDGE_STATE = "$SYS/broker/connection/+/state"
"""The one branch of $SYS that rules can open for writing."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An answer and its reason."""

    allowed: bool
    rule: Rule | None = None
    """The line that decided; None where no line speaks of it, or the broker needs none."""
    reason: str = ""


def evaluate(
    principal: Principal,
    action: Action,
    topic: str,
    *,
    client_id: str = "client",
    version: Version = "2.0",
) -> Decision:
    """
    Say what Mosquitto answers.

    ``publish`` and ``receive`` take the name of a topic, ``subscribe`` a filter. A subscription
    is granted whatever the rules say (both lines answer so, mosquitto.conf(5) knows no rule for
    it): what it delivers is decided message by message, by ``receive``.
    """
    if action == "subscribe":
        return Decision(allowed=True, reason="every subscription is granted; delivery decides")
    direction: Direction = "write" if action == "publish" else "read"
    if topic.startswith("$share"):
        return Decision(allowed=False, reason="$share is for subscriptions and no topic")
    if direction == "write" and topic.startswith("$SYS") and not matches(BRIDGE_STATE, topic):
        return Decision(allowed=False, reason="the broker lets nobody write to $SYS")
    for rules in principal.asked():
        for rule in rules:
            if rule.speaks_of(direction) and _applies(
                rule, principal.name, client_id, topic, version
            ):
                return Decision(allowed=rule.access != "deny", rule=rule)
    reason = "no rule grants it, and what is not granted is denied"
    asked = [rule for rules in principal.asked() for rule in rules if rule.speaks_of(direction)]
    if topic.startswith("$") and any(rule.filter.split("/")[0] in ("+", "#") for rule in asked):
        reason += "; a filter that begins with '#' or '+' matches no topic that begins with '$'"
    return Decision(allowed=False, reason=reason)


def _applies(rule: Rule, user: str, client_id: str, topic: str, version: Version) -> bool:
    if rule.kind == "topic":
        return matches(rule.filter, topic)
    return pattern_matches(rule.filter, user, client_id, topic, version)


def pattern_matches(pattern: str, user: str, client_id: str, topic: str, version: Version) -> bool:
    """
    Say whether a ``pattern`` rule speaks of *topic*.

    No pattern speaks of anything to a client whose user name or id holds a wildcard. 2.0 puts
    the names in as text, so that one with a ``/`` spans levels, and a client id of ``$SYS``
    opens what begins so; 2.1 compares level by level, the first as the file has it.
    """
    if any(each in name for name in (user, client_id) for each in "+#"):
        return False
    names = {"%u": user, "%c": client_id}
    if version == "2.0":
        return matches(re.sub("%[uc]", lambda found: names[found[0]], pattern), topic)
    if topic.startswith("$") and not pattern.startswith("$"):
        return False
    if any("/" in name for place, name in names.items() if place in pattern.split("/")):
        return False
    return matches("/".join(names.get(level, level) for level in pattern.split("/")), topic)
