"""
Decide what a deployment does, from settings, secrets, the host's facts, stack name and time.

Two steps, since what a host is asked follows from the settings: ``check_settings`` needs no host,
and ``make_plan`` needs the answer to ``host_requirements``. Neither reads a file, asks a clock or
draws a random number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broker.access.review import review_access
from broker.credentials.external_secrets import (
    external_certificates,
    misread_in_env_files,
    required_secrets,
    secret_errors,
    secret_warnings,
)
from broker.credentials.logins import logins
from broker.findings import Finding, of_severity
from broker.firewall.backend import (
    Choice,
    choose,
    firewall_errors,
    is_declared,
)
from broker.firewall.drift import drift_warnings, revision
from broker.host.facts import HostFacts
from broker.host.layout import publications
from broker.host.requirements import HostRequirements, host_errors, host_requirements
from broker.host.transport import Transport, transport
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.impact import Impact, impact, impact_notes, remembered, withdrawn
from broker.mosquitto.mosquitto_conf import render_conf
from broker.mosquitto.reload_or_replace import reserved_port_errors, reserves, start_digest
from broker.settings.broker_settings import Broker
from broker.settings.stack_settings import Settings
from broker.tls import certificates


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the components put on the host, and what a person is told before they do."""

    stack: str
    settings: Settings
    secrets: Mapping[str, Any] = field(repr=False)
    """The secrets of the stack file, in clear."""
    transport: Transport

    image: str
    """The broker's image: the declared one, or the fallback image."""
    exporter_image: str
    """Likewise; empty where no monitoring is declared."""
    conf: str
    """The text of mosquitto.conf."""
    acl: str
    """The text of the ACL file."""
    stamps: Mapping[str, str]
    """What the host keeps of each login and of the rules, so that the next preview can compare."""
    reserved: bool
    """Whether mosquitto.conf has the reserved listener."""
    start_digest: str
    """The label of the container; another digest, another container."""
    publications: tuple[tuple[int, str], ...]
    """Ports of the host with their addresses, in Docker's order."""
    firewall: Choice | None
    """What the firewall's rules are made with; None where none are declared."""
    firewall_revision: str
    certificates_revision: str
    """Another revision, and rules or certificates are put in place again."""
    withdrawn: str
    """The change that the host took back, if there is one."""

    impact: Impact
    findings: tuple[Finding, ...]

    @property
    def broker(self) -> Broker:
        return self.settings.broker

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What stops a preview."""
        return of_severity("error", self.findings)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return of_severity("warning", self.findings)

    @property
    def notes(self) -> tuple[Finding, ...]:
        return of_severity("note", self.findings)

    @property
    def disconnected(self) -> tuple[str, ...]:
        """The logins whose clients are disconnected."""
        return self.impact.disconnected

    @property
    def active_logins(self) -> dict[str, str]:
        """The login that is handed out, by user."""
        return {login.user: login.name for login in logins(self.settings) if login.active}

    @property
    def generations(self) -> dict[str, str]:
        """The generation of each password that is drawn, by login."""
        users, health = self.settings.users, self.broker.health
        drawn = {
            login.name: login.generation
            for login in logins(self.settings)
            if users[login.user].password == "generated"  # noqa: S105 (a kind, no password)
        }
        return {**drawn, health.user: health.generation}

    @property
    def supplied_passwords(self) -> dict[str, str]:
        """The passwords that people chose, by user."""
        return required_secrets(self.settings, self.secrets, "supplied")

    @property
    def adopted_hashes(self) -> dict[str, str]:
        """The hashes of passwords that only clients know, by user."""
        return required_secrets(self.settings, self.secrets, "adopted")

    @property
    def supplied_certificates(self) -> dict[str, str]:
        """Each supplied certificate with its key, by listener."""
        return external_certificates(self.settings, self.secrets)

    @property
    def known_logins(self) -> dict[str, str]:
        """The active login of each user whose password is not adopted, by user."""
        users = self.settings.users
        return {
            user: login
            for user, login in self.active_logins.items()
            if users[user].password != "adopted"  # noqa: S105 (a kind, no password)
        }

    @property
    def misread_in_env_files(self) -> dict[str, tuple[str, ...]]:
        """The users whose password an env file can't hold."""
        return misread_in_env_files(self.settings, self.secrets)


def check_settings(
    settings: Settings, secrets: Mapping[str, Any], stack: str, now: datetime
) -> list[Finding]:
    """Return what the settings and secrets show without a look at the host."""
    wrong = secret_errors(settings, secrets, now)
    return [
        *wrong,
        *review_access(settings, stack),
        *([] if wrong else secret_warnings(settings, secrets, now)),
    ]


def make_plan(
    settings: Settings, secrets: Mapping[str, Any], facts: HostFacts, stack: str, now: datetime
) -> Plan:
    """
    Return the plan of a stack whose ``check_settings`` has no errors.

    *facts* answer ``host_requirements``, or are those of the last deployment.
    """
    broker = settings.broker
    required = host_requirements(settings, stack)
    image = facts.present_image(required.image, required.stand_in)
    reserved = reserves(broker, facts, image)
    digest = start_digest(broker, image, reserved=reserved)
    stamps = remembered(settings)
    expected = impact(broker.container, stack, stamps, digest, facts)
    return Plan(
        stack=stack,
        settings=settings,
        secrets=secrets,
        transport=transport(broker.host, broker.ssh_config),
        image=image,
        exporter_image=facts.present_image(required.exporter, required.exporter_stand_in),
        conf=render_conf(broker, reserved=reserved),
        acl=render_acl(settings),
        stamps=stamps,
        reserved=reserved,
        start_digest=digest,
        publications=tuple(publications(broker, facts)),
        firewall=choose(broker, facts) if is_declared(broker) else None,
        firewall_revision=revision(broker, facts),
        certificates_revision=certificates.revision(broker, facts),
        withdrawn=withdrawn(facts),
        impact=expected,
        findings=(
            *check_settings(settings, secrets, stack, now),
            *_host_findings(broker, required, facts, reserved=reserved),
            *impact_notes(broker.container, expected),
            *certificates.certificate_notes(broker, facts),
        ),
    )


def _host_findings(
    broker: Broker, required: HostRequirements, facts: HostFacts, *, reserved: bool
) -> list[Finding]:
    if not facts.looked_at:
        return []
    if wrong := host_errors(required, facts, broker.host):
        # Without Docker or root, what else was seen means nothing.
        return wrong
    return [
        *firewall_errors(broker, facts),
        *certificates.certificate_errors(broker, facts),
        *reserved_port_errors(broker, facts, reserved=reserved),
        *drift_warnings(broker, facts),
        *certificates.certificate_warnings(broker, facts),
    ]
