"""Why somebody may, or may not: the rule that decides, in a sentence."""

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
    Return what *user* may publish to *topic* and receive of it, in sentences.

    *topic* may be a filter: then there is a sentence for what is allowed of it and one for what
    is not, where there is both.
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
    Return the rule that lets each user write (or read) *topic*, by user.

    *topic* may be a filter: then everybody for whom one of their rules speaks of some of it.
    """
    found: dict[str, str] = {}
    for name, principal in effective_rules(settings).items():
        example = find_example_topic(principal, direction, topic, allowed=True)
        if example is not None:
            said = _why(principal, direction, example)
            found[name] = f"{said}, for example {example}" if _is_filter(topic) else said
    return found


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
            yield f"{claim}, for example {topic}: {_why(principal, direction, topic)}."


def _sentence(principal: Principal, direction: Direction, topic: str) -> str:
    verdict, _ = _decide(principal, direction, topic)
    claim = _CLAIMS[direction].format(
        user=principal.name, negation="" if verdict.allowed else "not ", topic=topic
    )
    return f"{claim}: {_why(principal, direction, topic)}."


def _why(principal: Principal, direction: Direction, topic: str) -> str:
    verdict, client_id = _decide(principal, direction, topic)
    if verdict.rule is None:
        return verdict.reason
    said = f"'{verdict.rule.line}' ({verdict.rule.origin})"
    return f"{said}, with the client id {client_id!r}" if client_id else said


def _decide(principal: Principal, direction: Direction, topic: str) -> tuple[Decision, str]:
    """
    Return the verdict, and the client id that it needs; empty where any will do.

    A client chooses its id, so a rule with ``%c`` grants what it grants to some id.
    """
    action: Action = "publish" if direction == "write" else "receive"
    unnamed = "client"
    while unnamed in topic:
        unnamed += "-"
    usual = evaluate(principal, action, topic, client_id=unnamed)
    if usual.allowed:
        return usual, ""
    for client_id in _client_ids(principal, topic):
        verdict = evaluate(principal, action, topic, client_id=client_id)
        if verdict.allowed:
            return verdict, client_id
    return usual, ""


def _client_ids(principal: Principal, topic: str) -> list[str]:
    """Return what can stand for ``%c`` in *topic*: in 2.0 one level or more."""
    levels = topic.split("/")
    patterns = [rule.filter.split("/") for rule in principal.patterns]
    places = {pattern.index("%c") for pattern in patterns if "%c" in pattern}
    found = [levels[place:end] for place in places for end in range(place + 1, len(levels) + 1)]
    return ["/".join(name) for name in sorted(found, key=len)]


def _is_filter(topic: str) -> bool:
    return not {"+", "#"}.isdisjoint(topic.split("/"))
