"""The checklist and the security practices of the page by hand, judged from what was seen."""

from __future__ import annotations

from collections.abc import Iterator

from broker.deployment import deployment, is_declared_conf, rewrite
from broker.needs import reserves, start_digest
from broker.point import Point
from broker.practices import practices
from broker.settings import Settings
from broker.sight import Sight


def checklist(settings: Settings, stack: str, sight: Sight) -> list[Point]:
    """Return every point, in the order of the page."""
    return [
        *deployment(settings, stack, sight),
        *practices(settings, stack, sight),
        *_drift(settings, stack, sight),
    ]


def _drift(settings: Settings, stack: str, sight: Sight) -> Iterator[Point]:
    broker = settings.broker
    same = is_declared_conf(settings, sight)
    label = sight.host.get("configuration", broker.container)
    reserved = reserves(broker, sight.host, sight.image)
    current = start_digest(broker, sight.image, reserved=reserved) == label if label else None
    said = [
        *(["mosquitto.conf is another one than declared"] if same is False else []),
        *(["the container was made from other settings"] if current is False else []),
    ]
    known = same is not None and current is not None
    up = f"make up STACK={stack}: every client is disconnected once"
    yield Point(
        name="drift",
        asks="what runs is what the stack file says",
        verdict="fail" if said else "pass" if known else "unknown",
        seen="; ".join(said) or ("nothing differs" if known else "not asked"),
        mend=rewrite(settings, stack) if same is False else up,
    )
