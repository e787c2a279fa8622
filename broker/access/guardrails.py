"""What is allowed and seldom meant: each guardrail by name, and how loud it is in this stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.access.effective_rules import effective_rules
from broker.access.example_topic import find_example_topic
from broker.access.rules import Principal, Rule
from broker.access.topic_filters import includes, overlaps
from broker.findings import Finding, error, warning
from broker.settings.stack_settings import PROJECT, GuardrailName, Settings


@dataclass(frozen=True, kw_only=True)
class _Concern:
    """What one guardrail has against one place in the stack file."""

    guardrail: GuardrailName
    path: str
    message: str
    fix: str


def guardrail_findings(settings: Settings, stack: str) -> list[Finding]:
    """Return what the guardrails say: errors in prod, warnings elsewhere, unless switched."""
    usual = "error" if stack == "prod" else "warning"
    findings = []
    for concern in _concerns(settings):
        switch = settings.guardrails.get(concern.guardrail)
        level = switch.level if switch else usual
        if level != "off":
            report = error if level == "error" else warning
            message = f"{concern.message} (guardrail {concern.guardrail})"
            findings.append(report(f"{PROJECT}:{concern.path}", message, concern.fix))
    return findings


def _concerns(settings: Settings) -> Iterator[_Concern]:
    everybody = effective_rules(settings)
    users = {name: everybody[name] for name in settings.users}
    yield from _one_admin(users)
    yield from _system_topics(everybody)
    yield from _idle_user(users)
    yield from _device_commands(settings, everybody)
    yield from _stray_filter(settings, everybody)
    yield from _same_name(settings)
    yield from _needless_readwrite(settings)
    yield from _open_listener(settings)
    yield from _plain_listener(settings)


def _one_admin(users: Mapping[str, Principal]) -> Iterator[_Concern]:
    admins = [
        name
        for name, each in users.items()
        if any(rule.access != "deny" and includes(rule.filter, "#") for rule in each.topics)
    ]
    for name in admins[1:]:
        yield _Concern(
            guardrail="oneAdmin",
            path=f"users.{name}",
            message=f"{name} has '#', and {admins[0]} has it too",
            fix="Name the topics that it needs.",
        )


def _system_topics(everybody: Mapping[str, Principal]) -> Iterator[_Concern]:
    seen: set[str] = set()
    for rule in _rules(everybody):
        if rule.access in ("write", "readwrite") and rule.filter.split("/")[0] == "$SYS":
            if rule.origin not in seen:
                yield _Concern(
                    guardrail="systemTopics",
                    path=rule.origin,
                    message=f"{rule.filter!r}: the broker lets nobody write to $SYS",
                    fix="Say 'read'.",
                )
            seen.add(rule.origin)


def _idle_user(users: Mapping[str, Principal]) -> Iterator[_Concern]:
    for name, each in users.items():
        if not any(rule.access != "deny" for rule in (*each.topics, *each.patterns)):
            yield _Concern(
                guardrail="idleUser",
                path=f"users.{name}",
                message=f"{name} may log in and nothing else",
                fix="Give it filters, or take it out.",
            )


def _device_commands(settings: Settings, everybody: Mapping[str, Principal]) -> Iterator[_Concern]:
    commands = settings.topics.get("commands")
    if commands is None:
        return
    devices = {name: f"users.{name}" for name, user in settings.users.items() if user.device}
    # Members of a fleet differ in nothing but their name: one speaks for all.
    devices |= {
        next(iter(each.admitted)): f"fleets.{kind}" for kind, each in settings.fleets.items()
    }
    for name, path in devices.items():
        if topic := find_example_topic(everybody[name], "write", commands, allowed=True):
            yield _Concern(
                guardrail="deviceCommands",
                path=path,
                message=f"a device may write commands ({topic}); whoever takes one takes the room",
                fix="Give devices read access to their commands only.",
            )


def _stray_filter(settings: Settings, everybody: Mapping[str, Principal]) -> Iterator[_Concern]:
    if not settings.topics:
        return
    seen: set[str] = set()
    for rule in _rules(everybody):
        if rule.origin in seen or rule.filter.startswith("$"):
            continue
        seen.add(rule.origin)
        filter_ = rule.written_for("+")
        if not any(overlaps(filter_, each) for each in settings.topics.values()):
            yield _Concern(
                guardrail="strayFilter",
                path=rule.origin,
                message=f"{rule.filter!r} matches nothing in the topic tree",
                fix="Correct the filter, or add the missing branch under 'topics'.",
            )


def _same_name(settings: Settings) -> Iterator[_Concern]:
    owners: dict[str, str] = {settings.broker.health.user.lower(): "broker.health.user"}
    names = [(name, f"users.{name}") for name in settings.users]
    names += [
        (member, f"fleets.{kind}")
        for kind, fleet in settings.fleets.items()
        for member in fleet.members
    ]
    for name, path in names:
        other = owners.setdefault(name.lower(), path)
        if other != path:
            yield _Concern(
                guardrail="sameName",
                path=path,
                message=f"{name!r} and the name of {other} differ in capitals only",
                fix="Rename one.",
            )


def _needless_readwrite(settings: Settings) -> Iterator[_Concern]:
    for name, user in settings.users.items():
        if len(set(user.uses)) != 1:
            continue
        for index, filter_ in enumerate(user.readwrite):
            yield _Concern(
                guardrail="needlessReadwrite",
                path=f"users.{name}.readwrite[{index}]",
                message=f"{filter_!r}: {name} uses {user.uses[0]!r} only",
                fix=f"Move it to {user.uses[0]!r}.",
            )


def _open_listener(settings: Settings) -> Iterator[_Concern]:
    broker = settings.broker
    for name, each in broker.listeners.items():
        if each.bound.is_loopback:
            continue
        path = f"broker.listeners.{name}"
        if not each.allow_from:
            why = "has no allowFrom"
        elif each.open_to_everyone:
            why = f"has an allowFrom of everybody ({', '.join(map(str, each.allow_from))})"
        elif broker.firewall.backend == "none":
            why = "has an allowFrom that firewall.backend 'none' doesn't enforce"
        else:
            continue
        yield _Concern(
            guardrail="openListener",
            path=path,
            message=f"port {each.port} on {each.bind_address} {why}: whoever can send a packet to "
            "the host reaches it",
            fix="Name the networks, or bind it to 127.0.0.1.",
        )


def _plain_listener(settings: Settings) -> Iterator[_Concern]:
    broker = settings.broker
    if not broker.tls_listeners:
        return
    for name, each in broker.listeners.items():
        if each.tls is None and not each.plain and not each.bound.is_loopback:
            yield _Concern(
                guardrail="plainListener",
                path=f"broker.listeners.{name}",
                message=f"passwords cross the network unencrypted on port {each.port}, though "
                f"there is TLS ({', '.join(broker.tls_listeners)})",
                fix="Bind it to 127.0.0.1 or, for clients that can't do TLS, say plain: true.",
            )


def _rules(everybody: Mapping[str, Principal]) -> Iterator[Rule]:
    for each in everybody.values():
        yield from (*each.topics, *each.patterns)
