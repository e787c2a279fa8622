"""Explain access in sentences: what a user may do, and which rule decides."""

from __future__ import annotations

from collections.abc import Iterator

from broker.access.effective_rules import effective_rules
from broker.access.evaluate import Action, Decision, evaluate
from broker.access.example_topic import find_example_topic
from broker.access.rules import Direction, Principal
from broker.settings.stack_settings import Settings

_CLAIMS: dict[Direction, str] = {
    "write": "{user} may {negation}publish to {topic}",
    "read": "{user} may {negation}receive what is sent to {topic}",
}


def explain(settings: Settings, user: str, topic: str) -> list[str]:
    """
    Return in sentences what *user* may publish to *topic* and receive from it.

    *topic* may be a filter. If only some of its topics are allowed, there is a sentence about
    those that are allowed, and another about those that are not.
    """
    principal = effective_rules(settings)[user]
    return [
        sentence
        for direction in _CLAIMS
        for sentence in (
            _explain_filter(principal, direction, topic)
            if _is_filter(topic)
            else [_sentence(principal, direction, topic)]
        )
    ]


def who_can(settings: Settings, direction: Direction, topic: str) -> dict[str, str]:
    """
    Return the users that may write (or read) *topic*, each with the rule that grants it.

    *topic* may be a filter: then the users are those that may use at least one of its topics.
    """
    granted: dict[str, str] = {}
    for name, principal in effective_rules(settings).items():
        example = find_example_topic(principal, direction, topic, allowed=True)
        if example is not None:
            reason = _reason(principal, direction, example)
            granted[name] = f"{reason}, for example {example}" if _is_filter(topic) else reason
    return granted


def _explain_filter(principal: Principal, direction: Direction, filter_: str) -> Iterator[str]:
    allowed, denied = (
        find_example_topic(principal, direction, filter_, allowed=allowed)
        for allowed in (True, False)
    )
    for topic, other in ((allowed, denied), (denied, allowed)):
        if topic is not None:
            whole = "all" if topic is allowed else "any"
            extent = whole if other is None else "some"
            claim = _CLAIMS[direction].format(
                user=principal.name,
                negation="" if topic is allowed else "not ",
                topic=f"{extent} of {filter_}",
            )
            yield f"{claim}, for example {topic}: {_reason(principal, direction, topic)}."


def _sentence(principal: Principal, direction: Direction, topic: str) -> str:
    decision, _ = _decide(principal, direction, topic)
    claim = _CLAIMS[direction].format(
        user=principal.name, negation="" if decision.allowed else "not ", topic=topic
    )
    return f"{claim}: {_reason(principal, direction, topic)}."


def _reason(principal: Principal, direction: Direction, topic: str) -> str:
    decision, client_id = _decide(principal, direction, topic)
    if decision.rule is None:
        return decision.reason
    rule = f"'{decision.rule.line}' ({decision.rule.origin})"
    return f"{rule}, with the client id {client_id!r}" if client_id else rule


def _decide(principal: Principal, direction: Direction, topic: str) -> tuple[Decision, str]:
    """
    Return the decision, and the client id on which it depends; empty if it depends on none.

    A client chooses its id, so a rule with ``%c`` grants access if it does so for any id.
    """
    action: Action = "publish" if direction == "write" else "receive"
    unrelated_id = "client"
    while unrelated_id in topic:
        unrelated_id += "-"
    default = evaluate(principal, action, topic, client_id=unrelated_id)
    if default.allowed:
        return default, ""
    for client_id in _client_ids(principal, topic):
        decision = evaluate(principal, action, topic, client_id=client_id)
        if decision.allowed:
            return decision, client_id
    return default, ""


def _client_ids(principal: Principal, topic: str) -> list[str]:
    """Return the client ids with which a pattern may match *topic*: in 2.0 one level or more."""
    levels = topic.split("/")
    patterns = [rule.filter.split("/") for rule in principal.patterns]
    positions = {pattern.index("%c") for pattern in patterns if "%c" in pattern}
    client_ids = [
        levels[start:end] for start in positions for end in range(start + 1, len(levels) + 1)
    ]
    return ["/".join(id_levels) for id_levels in sorted(client_ids, key=len)]


def _is_filter(topic: str) -> bool:
    return not {"+", "#"}.isdisjoint(topic.split("/"))
