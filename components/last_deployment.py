"""Read the last deployment from the state, for a preview that cannot reach the host."""

from collections.abc import Mapping
from typing import Any

import pulumi

from broker.host.facts import HostFacts
from broker.host.last_deployment import facts_of_last_deployment, read_resources
from broker.host.requirements import HostRequirements

READ_RESOURCES = "pulumi:pulumi:readStackResourceOutputs"
"""A function of the engine that returns the outputs of all resources in a stack's state."""


def read_last_deployment(required: HostRequirements) -> HostFacts:
    """Return the host's facts after the last deployment; no facts if the state is unreadable."""
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    try:
        answer = pulumi.runtime.invoke(READ_RESOURCES, {"stackName": name})
    except Exception as wrong:  # noqa: BLE001 (the engine's error has no type of its own)
        pulumi.log.warn(f"The last deployment cannot be read: {wrong}")
        return HostFacts(facts={}, looked_at=False)
    state: Mapping[str, Any] = (answer.value or {}).get("outputs") or {}
    return facts_of_last_deployment(read_resources(state), required)
