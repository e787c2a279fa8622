"""
Detect what differs on the host from what the last deployment applied.

Each host command records what it applied under the name of a component (host/lib/applied.sh), with
a revision. The probe compares the record with the host (host/commands/drift.sh). Pulumi runs a
command only if its inputs change; the revision is one of them, and it rises if something differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from broker.findings import Finding, warning
from broker.firewall.backend import is_declared
from broker.host.facts import HostFacts
from broker.settings.broker_settings import Broker

OWNER = "owner"
DEPLOYED = "deployed"
FOLDERS = "folders"
CONFIGURATION = "configuration"
CERTIFICATES = "certificates"
FIREWALL = "firewall"
LOGROTATE = "logrotate"
BACKUPS = "backups"
METRICS = "metrics"
EXPORTER = "exporter"
CONTAINER = "container"
EXPORTER_CONTAINER = "exporter-container"
NETWORK = "network"
"""The names of the components with a record on the host; see ``env_file`` for env files."""

CONTAINERS = (CONTAINER, EXPORTER_CONTAINER)

MENDED = frozenset({"name", "state", "networks", "restart", "memory", "swap", "pids"})
"""
The properties of a container that can be corrected without replacing it
(host/lib/mend_container.sh). The others are fixed when a container is created.
"""

FOLLOWERS: Mapping[str, tuple[str, ...]] = {
    # The broker opens its log again at a reload, and reads its files through its folder.
    FOLDERS: (CONFIGURATION,),
    CERTIFICATES: (CONFIGURATION,),
}
"""The components that are applied again with another one."""


def env_file(path: str) -> str:
    """Return the name of the component of an env file."""
    return f"env-file-{sha256(path.encode()).hexdigest()[:12]}"


def components(broker: Broker) -> Iterator[str]:
    """Yield the names of the components of a stack."""
    yield from (OWNER, DEPLOYED, FOLDERS, LOGROTATE, CONFIGURATION, CONTAINER)
    if broker.tls_listeners:
        yield CERTIFICATES
    if is_declared(broker):
        yield FIREWALL
    for file in broker.env_files:
        yield env_file(file.path)
    if broker.backups is not None and broker.backups.schedule is not None:
        yield BACKUPS
    if broker.monitoring is not None:
        yield from (EXPORTER, EXPORTER_CONTAINER)
        if broker.monitoring.textfile is not None:
            yield METRICS


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An object on the host that is not as the last deployment left it."""

    component: str
    subject: str
    """A path, or the name of a unit."""
    what: str
    """Such as ``was removed``."""

    @property
    def key(self) -> str:
        """The property of a container, such as ``restart``; empty for the whole of it."""
        return self.subject.partition(": ")[2]

    @property
    def text(self) -> str:
        return f"{self.subject} {self.what}"

    @property
    def of_content(self) -> bool:
        """Whether the object may have had another content; not if only mode or owner differ."""
        return not self.what.startswith(("has mode", "belongs to"))


def differences(facts: HostFacts) -> list[Difference]:
    """Return what differs, in the order of the records."""
    return [
        Difference(component=component, subject=subject, what=what)
        for component, subject, what in facts.differing
    ]


def lost_records(facts: HostFacts, container: str) -> list[str]:
    """Return the components without a record, if there was an `up` that should have made it."""
    return facts.without_record if facts.deployed_before(container) else []


def changed_components(facts: HostFacts) -> set[str]:
    """Return the components to apply again: those that differ, and their followers."""
    changed = {difference.component for difference in differences(facts)}
    return changed.union(*(FOLLOWERS.get(component, ()) for component in changed))


def revision(component: str, facts: HostFacts, container: str, *, changed: bool = False) -> str:
    """
    Return how many times the component was applied; a new number applies it again.

    *changed*: apply it again for a reason that is not in its record.
    """
    state, _, clock = facts.applied(component).partition(" ")
    if state == "never":
        # The host's clock, because it differs from every number before the loss.
        return clock if facts.deployed_before(container) else "1"
    if not state.isdecimal():
        return "1"
    again = changed or component in changed_components(facts)
    return str(int(state) + 1 if again else int(state))


def must_replace(component: str, facts: HostFacts) -> bool:
    """Return whether a container differs in what only another container can correct."""
    return any(
        difference.component == component and difference.key not in MENDED
        for difference in differences(facts)
    )


def network_lost(facts: HostFacts) -> bool:
    """Return whether the broker's network is not the one that was created."""
    return any(
        difference.component == CONTAINER and difference.key == NETWORK
        for difference in differences(facts)
    )


def replacement_label(component: str, facts: HostFacts, container: str) -> str:
    """
    Return the label of a container that changes if it must be replaced because of the host.

    Pulumi replaces a container only if an input changes. There is no label, an empty text, until
    the first such replacement. It exceeds both the recorded one and that of a container that
    somebody else created with the same labels.
    """
    recorded = facts.replacement_label(component)
    present = facts.present_label(container) if component == CONTAINER else ""
    if must_replace(component, facts):
        return str(max(int(label or 1) for label in (recorded, present)) + 1)
    state, _, clock = facts.applied(component).partition(" ")
    if state.isdecimal():
        return recorded
    if not state:
        return present
    lost = component == CONTAINER and facts.container_owner(container) is None
    # Without a record and a container, any other label than the one in the state will do.
    return clock if lost and facts.deployed_before(container) else present


def network_label(facts: HostFacts) -> str:
    """Return the label of the broker's network, as ``replacement_label``."""
    recorded = facts.replacement_label(NETWORK)
    return str(int(recorded or 1) + 1) if network_lost(facts) else recorded


REPAIR = "This `pulumi up` applies the declared state again."
MOST = 20
"""The largest number of warnings about single objects."""


def drift_warnings(facts: HostFacts, container: str) -> list[Finding]:
    """Return a warning for each object that differs, and one for lost records."""
    if not facts.looked_at:
        return []
    found = differences(facts)
    warnings = [
        warning("", f"Changed on the host since the last `pulumi up`: {difference.text}", REPAIR)
        for difference in found[:MOST]
    ]
    if found[MOST:]:
        warnings.append(
            warning("", f"{len(found) - MOST:,} more objects changed on the host", REPAIR)
        )
    if lost := lost_records(facts, container):
        warnings.append(warning("", _lost(lost), "This `pulumi up` applies them again."))
    return warnings


def _lost(components: Iterable[str]) -> str:
    return (
        "The host has no record of what the last `pulumi up` applied, so a change there is not "
        f"detected: {', '.join(components)}"
    )


def drift_lines(facts: HostFacts, container: str) -> list[str]:
    """Return a line per object that differs, and one for lost records."""
    lost = lost_records(facts, container)
    return [
        *(difference.text for difference in differences(facts)),
        *([_lost(lost)] if lost else []),
    ]
