"""
Decide what a deployment does, from settings, secrets, host facts, stack name and time.

There are two steps, because the settings determine which facts the host is asked for:
``check_settings`` needs no host, and ``make_plan`` needs the facts that ``host_requirements`` asks
for. Neither reads a file, asks a clock or draws a random number.
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
from broker.firewall.drift import drift_warnings as firewall_warnings
from broker.firewall.drift import revision as firewall_revision
from broker.host import drift
from broker.host.docker_daemon import daemon_errors, daemon_warnings
from broker.host.facts import HostFacts
from broker.host.layout import published_ports
from broker.host.ownership import (
    Deployment,
    StateRecord,
    accepted_stacks,
    configuration_digest,
    next_deployment,
    ownership_findings,
)
from broker.host.requirements import HostRequirements, host_errors, host_requirements
from broker.host.script_calls import Record
from broker.host.transport import Transport, transport
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.impact import Impact, impact, impact_notes, remembered, withdrawn
from broker.mosquitto.mosquitto_conf import render_conf
from broker.mosquitto.reload_or_replace import reserved_port_errors, reserves, start_digest
from broker.mosquitto.websocket_limits import websocket_warnings
from broker.settings.broker_settings import Broker
from broker.settings.stack_settings import Settings
from broker.tls import certificates


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the components deploy, and the findings that a preview shows."""

    stack: str
    settings: Settings
    secrets: Mapping[str, Any] = field(repr=False)
    """The secrets of the stack file, decrypted."""
    transport: Transport

    image: str
    """The broker's image: the declared one, or the fallback image."""
    exporter_image: str
    """The exporter's image, declared or fallback; empty if no monitoring is declared."""
    conf: str
    """The text of mosquitto.conf."""
    acl: str
    """The text of the ACL file."""
    stamps: Mapping[str, str]
    """A digest of each login and one of the rules; the next preview compares them."""
    reserved: bool
    """Whether mosquitto.conf has the reserved listener."""
    start_digest: str
    """A label of the container; a different digest replaces the container."""
    swap_limited: bool
    """Whether the host can limit the container's swap."""
    published_ports: tuple[tuple[int, str], ...]
    """The published ports with their addresses, in Docker's order."""
    firewall: Choice | None
    """The firewall backend; None if no firewall is declared."""
    revisions: Mapping[str, str]
    """How many times each component was applied; a different number applies it again."""
    labels: Mapping[str, str]
    """By component, a label whose change replaces a container or network that was changed by hand;
    empty for none."""
    withdrawn: str
    """The stamp of the change that the host rolled back; empty if there is none."""
    deployment: Deployment
    """What the state and the host record of this run; that of the last one if nothing changed."""

    network_to_import: str
    """The id of the network of a broker that this state takes over; empty otherwise."""

    impact: Impact
    findings: tuple[Finding, ...]

    @property
    def broker(self) -> Broker:
        return self.settings.broker

    def record(self, component: str) -> Record:
        """Return what the host remembers of a component."""
        return Record(
            container=self.broker.container,
            component=component,
            revision=self.revisions[component],
        )

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that stop a preview."""
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
        """The login that clients are to use, by user."""
        return {login.user: login.name for login in logins(self.settings) if login.active}

    @property
    def generations(self) -> dict[str, str]:
        """The generation of each generated password, by login."""
        health = self.broker.health
        return {**_generated(self.settings), health.user: health.generation}

    @property
    def external_passwords(self) -> dict[str, str]:
        """The passwords that come from the stack file, by user."""
        return required_secrets(self.settings, self.secrets, "supplied")

    @property
    def adopted_hashes(self) -> dict[str, str]:
        """The hashes of adopted passwords, which only the clients know, by user."""
        return required_secrets(self.settings, self.secrets, "adopted")

    @property
    def external_certificates(self) -> dict[str, str]:
        """Each certificate from the stack file with its key, by listener."""
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
        """The users whose password no env file can represent."""
        return misread_in_env_files(self.settings, self.secrets)


def check_settings(
    settings: Settings, secrets: Mapping[str, Any], stack: str, now: datetime
) -> list[Finding]:
    """Return the findings that need no host facts."""
    errors = secret_errors(settings, secrets, now)
    return [
        *errors,
        *review_access(settings, stack),
        *websocket_warnings(settings.broker),
        *([] if errors else secret_warnings(settings, secrets, now)),
    ]


def make_plan(
    settings: Settings,
    secrets: Mapping[str, Any],
    facts: HostFacts,
    stack: str,
    now: datetime,
    *,
    state: StateRecord,
    writer: str = "",
    take_over: str = "",
) -> Plan:
    """
    Return the plan of a stack whose ``check_settings`` has no errors.

    *facts* are the answers to ``host_requirements``, or the facts of the last deployment. *state*
    is what the state says about its brokers, *writer* who runs this, and *take_over* the container
    of another state's broker that this state is to manage from now on.
    """
    broker = settings.broker
    required = host_requirements(settings, stack)
    image = facts.present_image(required.image, required.fallback_image)
    reserved = reserves(broker, facts, image)
    digest = start_digest(broker, image, reserved=reserved)
    stamps = remembered(settings)
    members = frozenset(name for fleet in settings.fleets.values() for name in fleet.admitted)
    expected = impact(
        broker.container,
        stack,
        stamps,
        digest,
        facts,
        members=members,
        again=drift.CONFIGURATION in drift.changed_components(facts),
        restart=certificates.repair_restarts(facts),
        unknown=required.logins_file
        in {difference.subject for difference in drift.differences(facts)},
        replaced=drift.must_replace(drift.CONTAINER, facts),
    )
    return Plan(
        stack=stack,
        settings=settings,
        secrets=secrets,
        transport=transport(broker.host, broker.ssh_config),
        image=image,
        exporter_image=facts.present_image(required.exporter, required.exporter_fallback_image),
        conf=render_conf(broker, reserved=reserved),
        acl=render_acl(settings),
        stamps=stamps,
        reserved=reserved,
        start_digest=digest,
        swap_limited=facts.daemon.limits_swap,
        published_ports=tuple(published_ports(broker, facts)),
        firewall=choose(broker, facts) if is_declared(broker) else None,
        revisions=revisions(broker, facts),
        labels=labels(broker, facts),
        withdrawn=withdrawn(facts),
        deployment=next_deployment(
            broker.container,
            state,
            facts,
            configuration=configuration_digest(settings, stack, image, digest),
            writer=writer,
            now=now,
        ),
        network_to_import=(
            facts.network_id(broker.container)
            if take_over == broker.container and broker.container not in state.brokers
            else ""
        ),
        impact=expected,
        findings=(
            *check_settings(settings, secrets, stack, now),
            *_host_findings(
                settings,
                required,
                facts,
                state,
                reserved=reserved,
                take_over=take_over == broker.container,
                starts=expected.action == "replace",
            ),
            *impact_notes(broker.container, expected),
            *certificates.certificate_notes(broker, facts),
        ),
    )


def revisions(broker: Broker, facts: HostFacts) -> dict[str, str]:
    """Return the revision of each component (broker/host/drift.py)."""
    container = broker.container
    found = {name: drift.revision(name, facts, container) for name in drift.components(broker)}
    if is_declared(broker):
        found[drift.FIREWALL] = firewall_revision(broker, facts)
    if broker.tls_listeners:
        found[drift.CERTIFICATES] = certificates.revision(broker, facts)
    return found


def labels(broker: Broker, facts: HostFacts) -> dict[str, str]:
    """Return the label of each container, and of the network (broker/host/drift.py)."""
    found = {
        component: drift.replacement_label(component, facts, broker.container)
        for component in drift.CONTAINERS
    }
    return {**found, drift.NETWORK: drift.network_label(facts)}


def _host_findings(
    settings: Settings,
    required: HostRequirements,
    facts: HostFacts,
    state: StateRecord,
    *,
    reserved: bool,
    take_over: bool,
    starts: bool,
) -> list[Finding]:
    if not facts.looked_at:
        return []
    broker, stack = settings.broker, required.stack
    ownership = ownership_findings(
        broker, stack, state, facts, take_over=take_over, generated=_generated(settings)
    )
    accepted = accepted_stacks(broker.container, stack, state, facts, take_over=take_over)
    errors = host_errors(required, facts, broker.host, accepted, starts=starts)
    if errors or of_severity("error", ownership):
        # Without Docker or root, the other facts are meaningless.
        return [*ownership, *errors]
    return [
        *ownership,
        *daemon_errors(broker, facts),
        *firewall_errors(broker, facts),
        *certificates.certificate_errors(broker, facts),
        *reserved_port_errors(broker, facts, reserved=reserved),
        *daemon_warnings(broker, facts),
        *drift.drift_warnings(facts, broker.container),
        *firewall_warnings(broker, facts),
        *certificates.certificate_warnings(broker, facts),
    ]


def _generated(settings: Settings) -> dict[str, str]:
    """Return the generation of each generated password of a user, by login."""
    return {
        login.name: login.generation
        for login in logins(settings)
        if settings.users[login.user].password == "generated"  # noqa: S105 (a kind, no password)
    }
