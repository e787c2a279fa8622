"""Whether the firewall's rules stand on the host as they were left, and what is done if not."""

from __future__ import annotations

from broker.findings import Finding, warning
from broker.firewall.backend import choose, is_declared
from broker.firewall.rules import missing_at_boot, unit_of
from broker.host.facts import HostFacts
from broker.host.layout import folder_of
from broker.settings.broker_settings import Broker


def revision(broker: Broker, seen: HostFacts) -> str:
    """
    Return how many times the rules have been put in force: another number, and it is done again.

    A command of Pulumi's runs when its inputs change, and it can't see that somebody has flushed
    the rules since. The look at the host can.
    """
    rules = seen.rules(broker.container)
    if rules.state == "unknown":
        return str(rules.revision)
    if rules.state == "never":
        # The host's clock: no number of before the loss.
        return rules.clock if rules.clock and seen.been_up(broker.container) else "1"
    kept = rules.state == "in-force" and not rules.half_done and not rules.lost_at_boot
    return str(rules.revision if kept else rules.revision + 1)


def drift_warnings(broker: Broker, seen: HostFacts) -> list[Finding]:
    """Warn of rules that are not as the last deployment left them, or that a reboot loses."""
    if not is_declared(broker) or not seen.looked_at:
        return []
    rules = seen.rules(broker.container)
    subject = f"The firewall's rules for {broker.container}"
    found: list[Finding] = []
    if rules.state in ("missing", "changed"):
        found.append(
            warning(
                "",
                f"{subject} are {rules.state} on the host: flushed or edited since the last "
                "`pulumi up`. This one puts them in force again",
            )
        )
    elif rules.state == "never" and seen.been_up(broker.container):
        found.append(
            warning(
                "",
                f"No firewall's rules for {broker.container} are on the host, though there was a "
                "`pulumi up` before: never made, or lost. This one puts them in force",
            )
        )
    if rules.half_done:
        found.append(
            warning(
                subject,
                "a `pulumi up` before did not come to its end, so the ports of before still obey "
                "their lists. This one ends that",
            )
        )
    if rules.lost_at_boot:
        found.append(warning(subject, f"{_not_loaded(broker)}. This `pulumi up` mends it"))
    if not seen.firewall.systemd:
        found.append(warning(subject, missing_at_boot(broker)))
    return found


def report(broker: Broker, seen: HostFacts) -> tuple[list[str], str]:
    """Return lines for a person who asks who may come in, and what is wrong, if anything is."""
    lines = [
        f"{name}: port {each.port} on {each.bind_address}: "
        + (
            "this host alone"
            if each.bound.is_loopback
            else ", ".join(map(str, each.allow_from)) or "anybody"
        )
        for name, each in broker.exposed_ports.items()
    ]
    if not is_declared(broker):
        return [*lines, "No firewall is declared: no rule of ours is on the host."], ""
    choice = choose(broker, seen)
    made_with = choice.backend if choice.backend == choice.rules else f"ufw and {choice.rules}"
    rules = seen.rules(broker.container)
    again = "Run `./brokerctl up`: it puts them in force."
    said = {
        "in-force": "in force",
        "missing": "MISSING",
        "changed": "CHANGED",
        "never": "not made yet",
        "unknown": "unknown: this login is not root",
    }[rules.state]
    lines.append(f"Rules ({made_with}): {said}.")
    lines.append(
        f"At the host's start: {unit_of(broker)} loads them before Docker."
        if choice.systemd
        else f"At the host's start: {missing_at_boot(broker)}."
    )
    if rules.lost_at_boot:
        lines[-1] = f"At the host's start: NOTHING loads them: {_not_loaded(broker)}."
    if rules.half_done:
        lines.append("Behind them the lists of the ports of before: a `pulumi up` did not end.")
    if rules.state in ("missing", "changed", "never"):
        return lines, f"the rules for {broker.container} are {said.lower()}. {again}"
    if rules.lost_at_boot:
        return lines, f"{_not_loaded(broker)}. {again}"
    return lines, ""


def _not_loaded(broker: Broker) -> str:
    return (
        f"{unit_of(broker)} is not enabled, or {folder_of(broker)}/load is gone, and the next "
        "start of the host leaves the ports open"
    )
