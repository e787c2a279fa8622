"""Whether the state of a stack manages the broker that is on its host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from broker.host.facts import HostFacts
from broker.host.last_deployment import read_state_record
from broker.host.ownership import StateRecord, disagreements, left_behind
from broker.host.requirements import host_requirements, owner_probe_calls
from broker.host.scripts import HostScript
from cli.errors import CommandError
from cli.pulumi import Pulumi
from cli.run_on_host import probe
from cli.stack import Stack


def require_own_broker(stack: Stack, pulumi: Pulumi) -> None:
    """
    Return if `pulumi destroy` removes the broker on the host, or if there is none.

    Raises:
        CommandError: another state made it, or a later one; or the state manages nothing, and
            whether there is a broker is unknown.

    """
    exported = json.loads(pulumi.ask("stack", "export", "--stack", stack.name))
    resources: list[Mapping[str, Any]] = (exported.get("deployment") or {}).get("resources") or []
    state = read_state_record(
        {
            resource["urn"]: {"type": resource["type"], "outputs": resource.get("outputs") or {}}
            for resource in resources
        }
    )
    container = stack.settings.broker.container
    if state.manages_nothing:
        _require_none(stack, state)
        return
    try:
        facts = _look(stack)
    except CommandError:
        return  # Pulumi reports what it can't reach.
    for found in disagreements(container, stack.name, state, facts):
        raise CommandError(found.not_removed)


def require_no_broker(stack: Stack) -> None:
    """
    Return if there is no broker on the host, or if that is unknown; for a stack without a state.

    Raises:
        CommandError: there is one; another state made it.

    """
    try:
        facts = _look(stack)
    except CommandError:
        return
    for found in left_behind(stack.settings.broker.container, stack.name, StateRecord(), facts):
        raise CommandError(found.not_removed)


def _require_none(stack: Stack, state: StateRecord) -> None:
    container = stack.settings.broker.container
    for found in left_behind(container, stack.name, state, _look(stack)):
        raise CommandError(found.not_removed)


def _look(stack: Stack) -> HostFacts:
    required = host_requirements(stack.settings, stack.name)
    return probe(stack, (HostScript.PROBE,), owner_probe_calls(required, stack.transport))
