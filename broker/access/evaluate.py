"""Evaluate the rules as Mosquitto does: whether a user may use a topic, and which rule decides."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from broker.access.rules import Direction, Principal, Rule
from broker.access.topic_filters import matches

Version = Literal["2.0", "2.1"]
Action = Literal["publish", "receive", "subscribe"]

# The broker compares prefixes only: $SYSTEM is treated like $SYS, and $shared like $share
# (src/plugin_acl_check.c).
BRIDGE_STATE = "$SYS/broker/connection/+/state"
"""The only topics of $SYS for which a rule can grant write access."""

CONTROL = "$CONTROL/"
"""Topics of commands to plugins: what a client publishes there reaches no client."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether an action is allowed, and why."""

    allowed: bool
    rule: Rule | None = None
    """The rule that decides; None if no rule matches, or if the broker does not evaluate rules."""
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
    Return the decision of Mosquitto.

    *topic* is a topic name for ``publish`` and ``receive``, and a filter for ``subscribe``. 2.0
    and 2.1 grant every subscription, as mosquitto.conf(5) has no rule for it; ``receive`` decides
    for each message whether it is delivered.
    """
    if action == "subscribe":
        return Decision(
            allowed=True, reason="every subscription is granted; each delivery is checked"
        )
    direction: Direction = "write" if action == "publish" else "read"
    if topic.startswith("$share"):
        return Decision(
            allowed=False, reason="$share is a prefix for subscriptions, and not a topic"
        )
    if direction == "write" and topic.startswith("$SYS") and not matches(BRIDGE_STATE, topic):
        return Decision(allowed=False, reason="the broker lets nobody write to $SYS")
    if direction == "read" and topic.startswith(CONTROL):
        return Decision(
            allowed=False,
            reason="the broker keeps messages to $CONTROL/... for its plugins, and delivers none",
        )
    rules = [rule for rule in principal.in_order_of_evaluation() if rule.covers(direction)]
    for rule in rules:
        if _matches(rule, principal.name, client_id, topic, version):
            return Decision(allowed=rule.access != "deny", rule=rule)
    reason = "no rule grants it, and access that is not granted is denied"
    if topic.startswith("$") and any(rule.filter.split("/")[0] in ("+", "#") for rule in rules):
        reason += "; a filter that begins with '#' or '+' matches no topic that begins with '$'"
    return Decision(allowed=False, reason=reason)


def _matches(rule: Rule, user: str, client_id: str, topic: str, version: Version) -> bool:
    if rule.kind == "topic":
        return matches(rule.filter, topic)
    return pattern_matches(rule.filter, user, client_id, topic, version)


def pattern_matches(pattern: str, user: str, client_id: str, topic: str, version: Version) -> bool:
    """
    Return whether the filter of a ``pattern`` rule matches *topic*.

    No pattern matches for a client whose user name or client id contains a wildcard. 2.0 inserts
    the names as text: a name with a ``/`` spans levels, and a client id of ``$SYS`` can match
    topics below ``$SYS``. 2.1 compares level by level, and the first level as it is in the file.
    """
    if any(wildcard in name for name in (user, client_id) for wildcard in "+#"):
        return False
    names = {"%u": user, "%c": client_id}
    if version == "2.0":
        return matches(re.sub("%[uc]", lambda match: names[match[0]], pattern), topic)
    if topic.startswith("$") and not pattern.startswith("$"):
        return False
    if any("/" in name for variable, name in names.items() if variable in pattern.split("/")):
        return False
    return matches("/".join(names.get(level, level) for level in pattern.split("/")), topic)
