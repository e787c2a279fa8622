"""
Which Pulumi state manages a broker, according to the state and to the host.

The state has a random id. The host has a record of each broker: the id of the state that made it,
and the time of the last deployment. A state may change a broker only if both are the same, so a
state that was lost, copied or started anew can't replace the passwords of a running broker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Literal

from broker.findings import PROJECT, Finding, error, warning
from broker.host.facts import BY_HAND, HostFacts, OwnerRecord
from broker.host.layout import STATE_ROOT, folder_of
from broker.settings.broker_settings import Broker
from broker.settings.stack_settings import Settings

TAKE_OVER = "SENTIENT_MQTT_TAKE_OVER"
"""A variable: the container of another state's broker that this state is to manage from now on."""

NONE = "-"
"""In place of an id or a time: there is none."""

IDENTITY = "identity-id"
"""The name of the resource with the random id of the state."""

OWNER_RESOURCE = "identity-owner-"
"""The name of the resource of the host's record, before the name of the container."""

DEPLOYED_RESOURCE = "identity-deployed-"
"""Likewise, of the resource that records a completed deployment."""

OWNER_FILE = "owner"
"""In the host's folder of a broker: the record of its state."""

DEPLOYED_FILE = "deployed"
"""Beside it: the time of the last deployment that was completed."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A change that a state made to a host, as the state and the host record it."""

    time: str
    """UTC; later than that of every earlier deployment of the same broker."""
    previous: str
    """The last deployment in the state when this one began."""
    expected: str
    """The id and the deployment in the host's record when this one began."""
    configuration: str
    """A digest of the settings, without secrets."""
    writer: str
    """Who ran `up`, on which machine, with which state backend."""

    def as_shown(self) -> dict[str, str]:
        """Return the texts that a preview shows, and from which the state is read again."""
        return {
            "deployment": self.time,
            "previous": self.previous,
            "expected": self.expected,
            "configuration": self.configuration,
            "writer": self.writer,
        }

    @classmethod
    def of_shown(cls, shown: Mapping[str, str]) -> Deployment:
        return cls(
            time=shown.get("deployment", NONE),
            previous=shown.get("previous", NONE),
            expected=shown.get("expected", NONE),
            configuration=shown.get("configuration", ""),
            writer=shown.get("writer", ""),
        )


@dataclass(frozen=True, kw_only=True)
class StateRecord:
    """What a Pulumi state says about the brokers that it manages."""

    id: str = ""
    """The random id of the state; empty for a state of version 0.1."""
    deployments: Mapping[str, Deployment] = field(default_factory=dict)
    """The last deployment, by container."""
    brokers: frozenset[str] = frozenset()
    """The names of the broker's containers in the state."""
    passwords: frozenset[str] = frozenset()
    """The logins whose password is in the state."""
    empty: bool = True
    """Whether the state has no resource of a broker, not even a password."""

    @property
    def containers(self) -> frozenset[str]:
        return self.brokers | frozenset(self.deployments)

    @property
    def manages_nothing(self) -> bool:
        """Whether the state has nothing on a host; it may still have passwords."""
        return not self.containers

    def last(self, container: str) -> str:
        """Return the time of the last deployment of *container*."""
        known = self.deployments.get(container)
        return known.time if known else NONE


def configuration_digest(settings: Settings, stack: str, *more: str) -> str:
    """Return a digest that changes with the settings, which contain no secret."""
    text = "\n".join((stack, *more, settings.model_dump_json(by_alias=True)))
    return sha256(text.encode()).hexdigest()[:16]


def next_deployment(
    container: str,
    state: StateRecord,
    facts: HostFacts,
    *,
    configuration: str,
    writer: str,
    now: datetime,
) -> Deployment:
    """Return the deployment to record: the last one if nothing has changed since."""
    last, owner = state.deployments.get(container), facts.owner(container)
    # A record that is gone is written again as it was: drift.py detects the loss.
    agree = owner is None or (owner.state, owner.deployment) == (state.id, state.last(container))
    if last and last.configuration == configuration and agree:
        return last
    return Deployment(
        time=_later(
            now,
            *(known.time for known in state.deployments.values()),
            *([owner.deployment] if owner else []),
        ),
        previous=state.last(container),
        expected=f"{owner.state} {owner.deployment}" if owner else f"{NONE} {NONE}",
        configuration=configuration,
        writer=writer,
    )


def _later(now: datetime, *former: str) -> str:
    """Return *now*, or a second after the latest of *former* if the clock is behind that."""
    times = [now]
    for text in former:
        try:
            # NONE, and a record that somebody edited, are no times.
            times.append(datetime.fromisoformat(f"{text.removesuffix('Z')}+00:00"))
        except ValueError:
            continue
        times[-1] += timedelta(seconds=1)
    return f"{max(times):%Y-%m-%dT%H:%M:%SZ}"


def render_owner(broker: Broker, stack: str, state: str, deployment: Deployment) -> str:
    """Return the record that the host keeps, for people and for ``HostFacts.owner``."""
    folders = broker.folders
    lines = [
        "# The Pulumi state that manages this broker. Written by `up`: do not edit or delete it.",
        f"state {state}",
        f"deployment {deployment.time}",
        f"previous {deployment.previous}",
        f"stack {stack}",
        f"writer {deployment.writer}",
        *(f"folder {path}" for path in (folders.config, folders.data, folders.log)),
        *([f"archives {broker.backups.folder}"] if broker.backups else []),
        *(f"file {file.path}" for file in broker.env_files),
        *(f"port {port.port}" for port in broker.exposed_ports.values()),
    ]
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """The broker that is on the host was not made by this state as it is."""

    container: str
    what: str
    on_host: str
    in_state: str

    @property
    def refusal(self) -> Finding:
        return error(
            f"{PROJECT}:broker.container",
            f"{self.container!r}: {self.what}. Nothing was changed: without the passwords of that "
            f"state, clients would be locked out.\n"
            f"  On the host: {self.on_host}.\n"
            f"  This state: {self.in_state}",
            "Use that state: run this where it is, or import a copy of it (pulumi stack import). "
            "If it is lost, './brokerctl adopt' keeps the clients' passwords, and "
            "'./brokerctl up --take-over' makes this state the one that manages the broker "
            "(docs/how-to/incident-runbook.md). For a second broker, choose another "
            "broker.container, other folders and other ports.",
        )

    @property
    def not_removed(self) -> str:
        """The message of a `down` with this state."""
        return (
            f"container {self.container}: {self.what}. Nothing was removed.\n"
            f"  On the host: {self.on_host}.\n"
            f"  This state: {self.in_state}.\n"
            "  Fix: Remove it with that state. If that is lost: './brokerctl up --take-over' makes "
            "this state the one that manages the broker; then run `down` again"
        )

    def taken_over(self, lost: Iterable[str]) -> Finding:
        names = ", ".join(sorted(lost))
        locked_out = (
            f" New passwords are generated for {names}: clients that use the old ones are locked "
            "out."
            if names
            else ""
        )
        return warning(
            f"{PROJECT}:broker.container",
            f"{self.container!r}: this state takes the broker over from {self.on_host}. That state "
            f"can't change the broker any more.{locked_out}",
        )


def ownership_findings(
    broker: Broker,
    stack: str,
    state: StateRecord,
    facts: HostFacts,
    *,
    take_over: bool,
    generated: Iterable[str],
) -> list[Finding]:
    """
    Return errors if this state did not make what is on the host.

    *take_over*: another state's broker of the same name is accepted, with a warning. *generated*
    are the logins whose password the state generates.
    """
    found = disagreements(broker.container, stack, state, facts)
    conflicts = list(_conflicts(broker, state, facts))
    if take_over:
        lost = set(generated) - state.passwords
        return [*(disagreement.taken_over(lost) for disagreement in found), *conflicts]
    return [*(disagreement.refusal for disagreement in found), *conflicts]


def disagreements(
    container: str, stack: str, state: StateRecord, facts: HostFacts
) -> list[Disagreement]:
    """Return what this state did not make, of *container* and of what the state deployed."""
    return [
        disagreement
        for name in sorted({container, *state.deployments})
        if (disagreement := _disagreement(name, stack, state, facts))
    ]


def left_behind(
    container: str, stack: str, state: StateRecord, facts: HostFacts
) -> list[Disagreement]:
    """Return what is on the host, for a state that manages nothing and can't remove it."""
    if found := disagreements(container, stack, state, facts):
        return found
    owner, label = facts.owner(container), facts.container_owner(container)
    if owner is None and label in (None, BY_HAND):
        return []
    return [
        Disagreement(
            container=container,
            what="the last `up` was interrupted, so this state does not know the broker yet. Run "
            "`up` first",
            on_host=owner.described if owner else f"stack {label!r}",
            in_state=_describe(stack, state, container),
        )
    ]


def accepted_stacks(
    container: str, stack: str, state: StateRecord, facts: HostFacts, *, take_over: bool
) -> frozenset[str]:
    """
    Return the stacks whose container and env files on the host are this state's.

    After a `pulumi stack rename` or a take-over, that is another one than *stack*, too.
    """
    owner, label = facts.owner(container), facts.container_owner(container)
    made_here = owner.state == state.id if owner else container in state.brokers
    if not (take_over or made_here):
        return frozenset({stack})
    labels = {label} if label and label != BY_HAND else set()
    return frozenset({stack, *labels, *([owner.stack] if owner else [])})


def _disagreement(
    container: str, stack: str, state: StateRecord, facts: HostFacts
) -> Disagreement | None:
    """Return what is wrong if the host says that another state, or a later one, made the broker."""
    owner = facts.owner(container)
    if owner is None:
        return _unrecorded(container, stack, state, facts)
    last = state.last(container)
    if owner.state != state.id:
        what = "another Pulumi state manages this broker"
    elif last == owner.deployment or (last == owner.previous and not owner.completed):
        return None  # The second: an `up` ended before Pulumi wrote the state.
    elif NONE not in (last, owner.deployment) and last > owner.deployment:
        return None  # The host's folder was restored from a backup, or the broker moves back.
    else:
        what = "this state is an older copy of the one that manages this broker"
    return Disagreement(
        container=container,
        what=what,
        on_host=owner.described,
        in_state=_describe(stack, state, container),
    )


def _unrecorded(
    container: str, stack: str, state: StateRecord, facts: HostFacts
) -> Disagreement | None:
    """Return what is wrong if there is a broker without a record, and it is not in the state."""
    label = facts.container_owner(container)
    if label is None or label == BY_HAND or container in state.brokers:
        return None  # The last: version 0.1 made it, and this `up` records it.
    if label == stack and not state.id and not state.empty:
        return None  # Likewise, after an `up` that was killed before Pulumi wrote the state.
    return Disagreement(
        container=container,
        what="a broker of this name exists already, and this state did not make it",
        on_host=f"stack {label!r}, with a state that has not recorded itself (version 0.1)",
        in_state=_describe(stack, state, container),
    )


def _describe(stack: str, state: StateRecord, container: str) -> str:
    if state.empty:
        return f"stack {stack!r}, an empty state"
    if not state.id:
        return f"stack {stack!r}, which has not recorded itself on a host yet"
    last = state.last(container)
    time = "never" if last == NONE else last
    return f"stack {stack!r}, state {state.id}, deployed last: {time}"


# Folders, files and ports of other brokers on the same host.


@dataclass(frozen=True)
class _Place:
    path: str
    kind: Literal["folder", "archives", "file"]


@dataclass(frozen=True, kw_only=True)
class _Other:
    """Another broker on the host: by its record, or by its container if it has no record."""

    container: str
    described: str
    places: tuple[_Place, ...]
    ports: tuple[str, ...]
    exists: bool = True
    """Whether there is a container. A record that was left behind reserves folders, not ports."""


def _others(broker: Broker, state: StateRecord, facts: HostFacts) -> Iterator[_Other]:
    for owner in facts.owners.values():
        if owner.container != broker.container and owner.state != state.id:
            yield _Other(
                container=owner.container,
                described=owner.described,
                places=_places(owner),
                ports=owner.ports,
                exists=owner.container in facts.brokers,
            )
    for there in facts.brokers.values():
        # The stopped copy of a broker is that broker (host/lib/former_container.sh).
        name = there.container.removesuffix("-former")
        if name not in {broker.container, *facts.owners, *state.brokers}:
            yield _Other(
                container=there.container,
                described=f"stack {there.stack!r}",
                places=tuple(_Place(path, "folder") for path in there.folders),
                ports=there.ports,
            )


def _conflicts(broker: Broker, state: StateRecord, facts: HostFacts) -> Iterator[Finding]:
    """Yield an error for each folder, file and port that another broker on the host uses."""
    others = tuple(_others(broker, state, facts))
    for path, place in _declared(broker):
        for other in others:
            if taken := next((it for it in other.places if _overlap(place, it)), None):
                yield error(
                    f"{PROJECT}:{path}",
                    f"{place.path!r}: broker {other.container!r} on this host uses "
                    f"{taken.path!r} ({other.described})",
                    "Choose another path: two brokers would change each other's files. If that "
                    f"broker is gone for good: rm -r {STATE_ROOT}/{other.container}",
                )
                break
    for name, exposed in broker.exposed_ports.items():
        for other in others:
            if (
                other.exists
                and str(exposed.port) in other.ports
                # requirements.py reports a port that is in use now.
                and not facts.port_user(exposed.port)
            ):
                yield error(
                    f"{PROJECT}:broker.{broker.port_path(name)}.port",
                    f"'{exposed.port}': this is a port of broker {other.container!r} on this host "
                    f"({other.described})",
                    "Choose another port, or remove that broker (./brokerctl down).",
                )
                break


def _declared(broker: Broker) -> Iterator[tuple[str, _Place]]:
    """Yield the path in the stack file and the place, for all that the broker has on the host."""
    folders = broker.folders
    yield "broker.folders.config", _Place(folders.config, "folder")
    yield "broker.folders.data", _Place(folders.data, "folder")
    yield "broker.folders.log", _Place(folders.log, "folder")
    if broker.backups is not None:
        yield "broker.backups.folder", _Place(broker.backups.folder, "archives")
    for index, file in enumerate(broker.env_files):
        yield f"broker.envFiles[{index}].path", _Place(file.path, "file")


def _places(owner: OwnerRecord) -> tuple[_Place, ...]:
    return (
        *(_Place(path, "folder") for path in owner.folders),
        *(_Place(path, "archives") for path in owner.archives),
        *(_Place(path, "file") for path in owner.files),
    )


def _overlap(one: _Place, other: _Place) -> bool:
    """Return whether both are the same place or one is in the other."""
    if one.kind == other.kind == "archives":
        return False  # Archives have the container's name, and a lock in the folder.
    first, second = PurePosixPath(one.path), PurePosixPath(other.path)
    return first.is_relative_to(second) or second.is_relative_to(first)


def owner_file(broker: Broker) -> str:
    """Return the path of the record on the host."""
    return f"{folder_of(broker)}/{OWNER_FILE}"


def deployed_file(broker: Broker) -> str:
    """Return the path of the time of the last completed deployment on the host."""
    return f"{folder_of(broker)}/{DEPLOYED_FILE}"
