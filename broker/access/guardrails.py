"""Guardrails: checks for settings that are valid and rarely intended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.access.effective_rules import effective_rules
from broker.access.example_topic import find_example_topic
from broker.access.rules import Principal, Rule
from broker.access.topic_filters import includes, overlaps
from broker.findings import Finding, error, warning
from broker.settings.stack_settings import PROJECT, GuardrailName, Settings

ALWAYS_WARNINGS: frozenset[GuardrailName] = frozenset({"emptyLevel", "clientId"})
"""Guardrails that are warnings in prod, too: what is legal in MQTT, and what may be intended."""


@dataclass(frozen=True, kw_only=True)
class _Concern:
    """A finding of a guardrail, before its severity is known."""

    guardrail: GuardrailName
    path: str
    message: str
    fix: str


def guardrail_findings(settings: Settings, stack: str) -> list[Finding]:
    """
    Return the findings: errors in prod, otherwise warnings, unless ``guardrails`` says so.

    The guardrails in ``ALWAYS_WARNINGS`` are warnings in prod, too.
    """
    findings = []
    for concern in _concerns(settings):
        configured = settings.guardrails.get(concern.guardrail)
        strict = stack == "prod" and concern.guardrail not in ALWAYS_WARNINGS
        level = configured.level if configured else "error" if strict else "warning"
        if level != "off":
            report = error if level == "error" else warning
            message = f"{concern.message} (guardrail {concern.guardrail})"
            findings.append(report(f"{PROJECT}:{concern.path}", message, concern.fix))
    return findings


def _concerns(settings: Settings) -> Iterator[_Concern]:
    principals = effective_rules(settings)
    users = {name: principals[name] for name in settings.users}
    yield from _one_admin(users)
    yield from _system_topics(principals)
    yield from _idle_user(users)
    yield from _device_commands(settings, principals)
    yield from _stray_filter(settings, principals)
    yield from _empty_level(principals)
    yield from _same_name(settings)
    yield from _needless_readwrite(settings)
    yield from _open_listener(settings)
    yield from _plain_listener(settings)
    yield from _client_id(settings)


def _one_admin(users: Mapping[str, Principal]) -> Iterator[_Concern]:
    admins = [
        name
        for name, user in users.items()
        if any(rule.access != "deny" and includes(rule.filter, "#") for rule in user.topics)
    ]
    for name in admins[1:]:
        yield _Concern(
            guardrail="oneAdmin",
            path=f"users.{name}",
            message=f"{name} has the filter '#', and {admins[0]} has it, too",
            fix="List the topics that the user needs.",
        )


def _system_topics(principals: Mapping[str, Principal]) -> Iterator[_Concern]:
    reported: set[str] = set()
    for rule in _rules(principals):
        if rule.access in ("write", "readwrite") and rule.filter.split("/")[0] == "$SYS":
            if rule.origin not in reported:
                yield _Concern(
                    guardrail="systemTopics",
                    path=rule.origin,
                    message=f"{rule.filter!r}: the broker lets nobody write to $SYS",
                    fix="Move it to 'read'.",
                )
            reported.add(rule.origin)


def _idle_user(users: Mapping[str, Principal]) -> Iterator[_Concern]:
    for name, user in users.items():
        if not any(rule.access != "deny" for rule in user.all_rules()):
            yield _Concern(
                guardrail="idleUser",
                path=f"users.{name}",
                message=f"{name} may log in, and may neither read nor write any topic",
                fix="Add filters, or remove the user.",
            )


def _device_commands(settings: Settings, principals: Mapping[str, Principal]) -> Iterator[_Concern]:
    commands = settings.topics.get("commands")
    if commands is None:
        return
    devices = {name: f"users.{name}" for name, user in settings.users.items() if user.device}
    # Members of a fleet differ only in their name, so one of them is checked.
    devices |= {
        next(iter(fleet.admitted)): f"fleets.{kind}" for kind, fleet in settings.fleets.items()
    }
    for name, path in devices.items():
        if topic := find_example_topic(principals[name], "write", commands, allowed=True):
            yield _Concern(
                guardrail="deviceCommands",
                path=path,
                message=f"a device may write commands ({topic}): a stolen one can command others",
                fix="Give devices only read access to commands.",
            )


def _stray_filter(settings: Settings, principals: Mapping[str, Principal]) -> Iterator[_Concern]:
    if not settings.topics:
        return
    checked: set[str] = set()
    for rule in _rules(principals):
        if rule.origin in checked or rule.filter.startswith("$"):
            continue
        checked.add(rule.origin)
        filter_ = rule.filter_for("+")
        if not any(overlaps(filter_, branch) for branch in settings.topics.values()):
            yield _Concern(
                guardrail="strayFilter",
                path=rule.origin,
                message=f"{rule.filter!r} matches nothing in the topic tree",
                fix="Correct the filter, or add the missing branch under 'topics'.",
            )


def _empty_level(principals: Mapping[str, Principal]) -> Iterator[_Concern]:
    reported: set[str] = set()
    for rule in _rules(principals):
        if "" in rule.filter.split("/") and rule.origin not in reported:
            plain = "/".join(level for level in rule.filter.split("/") if level) or "+"
            yield _Concern(
                guardrail="emptyLevel",
                path=rule.origin,
                message=f"{rule.filter!r} has an empty level, so it does not match the topics of "
                f"{plain!r}",
                fix=f"Write {plain!r}, if the clients use topics without the extra '/'.",
            )
            reported.add(rule.origin)


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
                message=f"{name!r} and the name of {other} differ only in upper and lower case",
                fix="Rename one of them.",
            )


def _needless_readwrite(settings: Settings) -> Iterator[_Concern]:
    for name, user in settings.users.items():
        if len(set(user.uses)) != 1:
            continue
        for index, filter_ in enumerate(user.readwrite):
            yield _Concern(
                guardrail="needlessReadwrite",
                path=f"users.{name}.readwrite[{index}]",
                message=f"{filter_!r}: {name} has uses: [{user.uses[0]}]",
                fix=f"Move it to {user.uses[0]!r}.",
            )


def _open_listener(settings: Settings) -> Iterator[_Concern]:
    broker = settings.broker
    for name, listener in broker.listeners.items():
        if listener.bound.is_loopback:
            continue
        if not listener.allow_from:
            reason = "has no allowFrom"
        elif listener.open_to_everyone:
            networks = ", ".join(map(str, listener.allow_from))
            reason = f"has an allowFrom that includes every address ({networks})"
        elif broker.firewall.backend == "none":
            reason = "has an allowFrom that firewall.backend 'none' doesn't enforce"
        else:
            continue
        yield _Concern(
            guardrail="openListener",
            path=f"broker.listeners.{name}",
            message=f"port {listener.port} on {listener.bind_address} {reason}: every network that "
            "reaches the host reaches the port",
            fix="List the networks in allowFrom, or set bindAddress to 127.0.0.1.",
        )


def _plain_listener(settings: Settings) -> Iterator[_Concern]:
    broker = settings.broker
    if not broker.tls_listeners:
        return
    for name, listener in broker.listeners.items():
        if listener.tls is None and not listener.plain and not listener.bound.is_loopback:
            yield _Concern(
                guardrail="plainListener",
                path=f"broker.listeners.{name}",
                message=f"port {listener.port} transmits passwords unencrypted, although there are "
                f"listeners with TLS ({', '.join(broker.tls_listeners)})",
                fix="Set bindAddress to 127.0.0.1 or, for clients without TLS, plain: true.",
            )


def _client_id(settings: Settings) -> Iterator[_Concern]:
    for direction in ("readwrite", "read", "write", "deny"):
        for index, filter_ in enumerate(getattr(settings.patterns, direction)):
            if "%c" in filter_ and "%u" not in filter_:
                yield _Concern(
                    guardrail="clientId",
                    path=f"patterns.{direction}[{index}]",
                    message=f"{filter_!r}: a client chooses its id, also that of another client, "
                    "whose session it takes over; no password protects it",
                    fix="Use %u, the user name, with a user or fleet member per client.",
                )


def _rules(principals: Mapping[str, Principal]) -> Iterator[Rule]:
    for principal in principals.values():
        yield from principal.all_rules()
