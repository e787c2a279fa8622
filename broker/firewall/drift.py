"""Detect firewall rules that differ from those that the last deployment applied."""

from __future__ import annotations

from broker.findings import Finding, warning
from broker.firewall.backend import choose, is_declared
from broker.firewall.rules import missing_at_boot, unit_of
from broker.host import drift
from broker.host.facts import HostFacts
from broker.host.layout import folder_of
from broker.settings.broker_settings import Broker


def revision(broker: Broker, facts: HostFacts) -> str:
    """
    Return how many times the rules have been applied; a new number applies them again.

    Pulumi runs a command only if its inputs change and cannot detect flushed rules. This number is
    an input, and the probe of the host detects them.
    """
    rules = facts.rules(broker.container)
    changed = rules.state in ("missing", "changed") or rules.half_done or rules.lost_at_boot
    lost = rules.state == "never" and facts.deployed_before(broker.container)
    return drift.revision(drift.FIREWALL, facts, broker.container, changed=changed or lost)


def drift_warnings(broker: Broker, facts: HostFacts) -> list[Finding]:
    """Return a warning for rules that were flushed or edited, or that a reboot will lose."""
    if not is_declared(broker) or not facts.looked_at:
        return []
    rules = facts.rules(broker.container)
    subject = f"The firewall's rules for {broker.container}"
    found: list[Finding] = []
    if rules.state in ("missing", "changed"):
        found.append(
            warning(
                "",
                f"{subject} are {rules.state} on the host: flushed or edited since the last "
                "`pulumi up`. This one applies them again",
            )
        )
    elif rules.state == "never" and facts.deployed_before(broker.container):
        found.append(
            warning(
                "",
                f"No firewall rules for {broker.container} are on the host, although there was a "
                "`pulumi up` before: never applied, or lost. This one applies them",
            )
        )
    if rules.half_done:
        found.append(
            warning(
                subject,
                "the last `pulumi up` was interrupted, so the allowFrom lists of the former "
                "ports are still in force. This one removes them",
            )
        )
    if rules.lost_at_boot:
        found.append(warning(subject, f"{_not_loaded(broker)}. This `pulumi up` enables it"))
    if not facts.firewall.systemd:
        found.append(warning(subject, missing_at_boot(broker)))
    return found


def report(broker: Broker, facts: HostFacts) -> tuple[list[str], str]:
    """Return the lines of `./brokerctl firewall`, and the problem; empty if there is none."""
    lines = [
        f"{name}: port {listener.port} on {listener.bind_address}: "
        + (
            "this host only"
            if listener.bound.is_loopback
            else ", ".join(map(str, listener.allow_from)) or "anybody"
        )
        for name, listener in broker.exposed_ports.items()
    ]
    if not is_declared(broker):
        return [*lines, "No firewall is declared: the host has no rules of this stack."], ""
    choice = choose(broker, facts)
    backend = choice.backend if choice.backend == choice.rules else f"ufw and {choice.rules}"
    rules = facts.rules(broker.container)
    fix = "Run `./brokerctl up`: it applies them."
    state = {
        "in-force": "in force",
        "missing": "MISSING",
        "changed": "CHANGED",
        "never": "not applied yet",
        "unknown": "unknown, because this login is not root",
    }[rules.state]
    lines.append(f"Rules ({backend}): {state}.")
    lines.append(
        f"At the host's start: {unit_of(broker)} loads them before Docker."
        if choice.systemd
        else f"At the host's start: {missing_at_boot(broker)}."
    )
    if rules.lost_at_boot:
        lines[-1] = f"At the host's start: NOTHING loads them. {_not_loaded(broker)}."
    if rules.half_done:
        lines.append(
            "The allowFrom lists of the former ports are still in force: a `pulumi up` was "
            "interrupted."
        )
    if rules.state in ("missing", "changed", "never"):
        return lines, f"the rules for {broker.container} are {state.lower()}. {fix}"
    if rules.lost_at_boot:
        return lines, f"{_not_loaded(broker)}. {fix}"
    return lines, ""


def _not_loaded(broker: Broker) -> str:
    return (
        f"{unit_of(broker)} is not enabled, or {folder_of(broker)}/load is missing: after "
        "the next start of the host the ports are open"
    )
