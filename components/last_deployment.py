"""Read the state of the stack: which brokers it manages, and how it deployed them last."""

import time
from collections.abc import Mapping
from typing import Any

import pulumi

from broker.host.facts import HostFacts
from broker.host.last_deployment import (
    facts_of_last_deployment,
    read_resources,
    read_state_record,
)
from broker.host.ownership import StateRecord
from broker.host.requirements import HostRequirements

READ_RESOURCES = "pulumi:pulumi:readStackResourceOutputs"
"""A function of the engine that returns the outputs of all resources in a stack's state."""

PAUSES = (0.05, 0.1, 0.2, 0.5, 1, 2)
"""
Seconds before the state is read again after an error.

During an `up`, the engine writes the state at the same time, and a file beside it is incomplete for
a moment ("failed to load checkpoint: EOF").
"""


def read_last_deployment(required: HostRequirements) -> HostFacts:
    """Return the host's facts after the last deployment; no facts if the state is unreadable."""
    try:
        state = _read_state()
    except Exception as wrong:  # noqa: BLE001 (the engine's error has no type of its own)
        pulumi.log.warn(f"The last deployment cannot be read: {wrong}")
        return HostFacts(facts={}, looked_at=False)
    return facts_of_last_deployment(read_resources(state), required)


def read_state(*, required: bool = True) -> StateRecord:
    """
    Return what the state says about its brokers; an empty record if it is unreadable.

    Raises:
        pulumi.RunError: the state is unreadable and *required*; then nothing may be changed.

    """
    try:
        return read_state_record(_read_state())
    except Exception as wrong:  # noqa: BLE001 (the engine's error has no type of its own)
        if not required:
            return StateRecord()
        raise pulumi.RunError(f"The state of the stack cannot be read: {wrong}") from None


def _read_state() -> Mapping[str, Any]:
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    for pause in PAUSES:
        try:
            return _resources_of(name)
        except Exception:  # noqa: BLE001 (the engine's error has no type of its own)
            time.sleep(pause)
    return _resources_of(name)


def _resources_of(stack: str) -> Mapping[str, Any]:
    answer = pulumi.runtime.invoke(READ_RESOURCES, {"stackName": stack})
    return (answer.value or {}).get("outputs") or {}
