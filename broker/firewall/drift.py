"""Whether the firewall's rules stand on the host as they were left, and what is done if not."""

from __future__ import annotations

from broker.firewall.rules import choose, is_declared, missing_at_boot, unit_of
from broker.host.facts import HostFacts
from broker.host.layout import folder_of
from broker.settings.broker_settings import Broker


def revision(broker: Broker, seen: HostFacts) -> str:
    """
    Return how many times the rules have been put in force: another number, and it is done again.

    A command of Pulumi's runs when its inputs change, and it can't see that somebody has flushed
    the rules since. The look at the host can.
    """
    state, _, count = seen.get("rules", broker.container).partition(" ")
    done = int(count) if count.isdecimal() else 1
    if state == "never":
        # What comes with it is the host's clock: no number of before the loss.
        return count if count and seen.been_up(broker.container) else "1"
    kept = state == "in-force" and not _unfinished(broker, seen) and not _unloaded(broker, seen)
    return str(done if kept or not state else done + 1)


def _unfinished(broker: Broker, seen: HostFacts) -> bool:
    """Return whether an ``up`` ended between the new rules and the end of those before."""
    return seen.get("left", broker.container) == "yes"


def _unloaded(broker: Broker, seen: HostFacts) -> bool:
    """Return whether the next start of the host would load no rules, though it has systemd."""
    return seen.get("boot", broker.container) == "no"


def remarks(broker: Broker, seen: HostFacts) -> list[str]:
    """Return what a preview warns of: rules that are not as they were left, or won't come back."""
    if not is_declared(broker) or not seen.facts:
        return []
    state = seen.get("rules", broker.container).partition(" ")[0]
    lines: list[str] = []
    if state in ("missing", "changed"):
        lines.append(
            f"The firewall's rules for {broker.container} are {state} on the host: flushed or "
            "edited since the last `pulumi up`. This one puts them in force again."
        )
    elif state == "never" and seen.been_up(broker.container):
        lines.append(
            f"No firewall's rules for {broker.container} are on the host, though there was a "
            "`pulumi up` before: never made, or lost. This one puts them in force."
        )
    if _unfinished(broker, seen):
        lines.append(
            f"The firewall's rules for {broker.container}: a `pulumi up` before did not come to "
            "its end, so the ports of before still obey their lists. This one ends that."
        )
    if _unloaded(broker, seen):
        lines.append(
            f"The firewall's rules for {broker.container}: {_not_loaded(broker)}. This `pulumi up` "
            "mends it."
        )
    if not choose(broker, seen).systemd:
        lines.append(f"The firewall's rules for {broker.container}: {missing_at_boot(broker)}.")
    return lines


def report(broker: Broker, seen: HostFacts) -> tuple[list[str], str]:
    """Return lines for a person who asks who may come in, and what is wrong, if anything is."""
    lines = [
        f"{name}: port {each.port} on {each.bind_address}: "
        + (
            "this host alone"
            if each.bound.is_loopback
            else ", ".join(map(str, each.allow_from)) or "anybody"
        )
        for name, each in broker.gates.items()
    ]
    if not is_declared(broker):
        return [*lines, "No firewall is declared: no rule of ours is on the host."], ""
    choice = choose(broker, seen)
    made_with = choice.backend if choice.backend == choice.rules else f"ufw and {choice.rules}"
    state = seen.get("rules", broker.container).partition(" ")[0]
    again = "Run `./brokerctl up`: it puts them in force."
    said = {
        "in-force": "in force",
        "missing": "MISSING",
        "changed": "CHANGED",
        "never": "not made yet",
        "": "unknown: this login is not root",
    }[state]
    lines.append(f"Rules ({made_with}): {said}.")
    lines.append(
        f"At the host's start: {unit_of(broker)} loads them before Docker."
        if choice.systemd
        else f"At the host's start: {missing_at_boot(broker)}."
    )
    if _unloaded(broker, seen):
        lines[-1] = f"At the host's start: NOTHING loads them: {_not_loaded(broker)}."
    if _unfinished(broker, seen):
        lines.append("Behind them the lists of the ports of before: a `pulumi up` did not end.")
    if state in ("missing", "changed", "never"):
        return lines, f"the rules for {broker.container} are {said.lower()}. {again}"
    if _unloaded(broker, seen):
        return lines, f"{_not_loaded(broker)}. {again}"
    return lines, ""


def _not_loaded(broker: Broker) -> str:
    return (
        f"{unit_of(broker)} is not enabled, or {folder_of(broker)}/load is gone, and the next "
        "start of the host leaves the ports open"
    )
