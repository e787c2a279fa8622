"""Why somebody may, or may not: the rule that decides, in a sentence."""

from __future__ import annotations

from broker.principals import principals
from broker.reach import witness
from broker.rules import Direction
from broker.settings import Settings
from broker.verdict import Verdict, can


def explain(settings: Settings, user: str, topic: str) -> list[str]:
    """Return a sentence for publishing to *topic* and one for receiving what is sent there."""
    principal = principals(settings)[user]
    return [
        _sentence(f"{user} may {{}}publish to {topic}", can(principal, "publish", topic)),
        _sentence(
            f"{user} may {{}}receive what is sent to {topic}", can(principal, "receive", topic)
        ),
    ]


def who_can(settings: Settings, direction: Direction, topic: str) -> dict[str, str]:
    """
    Return the rule that lets each user write (or read) *topic*, by user.

    *topic* may be a filter: then everybody for whom one of their rules speaks of some of it.
    """
    if "+" in topic.split("/") or "#" in topic.split("/"):
        return _who_can_some(settings, direction, topic)
    found: dict[str, str] = {}
    for name, principal in principals(settings).items():
        verdict = can(principal, "publish" if direction == "write" else "receive", topic)
        if verdict.allowed and verdict.rule:
            found[name] = _said(verdict)
    return found


def _who_can_some(settings: Settings, direction: Direction, filter_: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, principal in principals(settings).items():
        if topic := witness(principal, direction, filter_, allowed=True):
            verdict = can(principal, "publish" if direction == "write" else "receive", topic)
            found[name] = f"{_said(verdict)}, for example {topic}"
    return found


def _sentence(claim: str, verdict: Verdict) -> str:
    why = _said(verdict) if verdict.rule else verdict.reason
    return f"{claim.format('' if verdict.allowed else 'not ')}: {why}."


def _said(verdict: Verdict) -> str:
    rule = verdict.rule
    return f"'{rule.line}' ({rule.origin})" if rule else verdict.reason
