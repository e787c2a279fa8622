"""What a stack needs of its host, and whether the host has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from broker.credentials.env_files import env_file_mark
from broker.findings import PROJECT, Finding, error
from broker.firewall.backend import is_declared, short_name
from broker.host import drift
from broker.host.facts import BY_HAND, HostFacts
from broker.host.layout import LOGINS_FILE, STATE_ROOT, folder_probes
from broker.host.probe_functions import Drift, Probe
from broker.host.script_calls import ScriptCall, assemble, render_stdin
from broker.host.transport import DEFAULT_SOCKET, Transport
from broker.mosquitto.impact import remembered
from broker.mosquitto.mosquitto_conf import CONFIG_DIR
from broker.settings.stack_settings import Settings
from broker.tls.certificates import certificate_probes

FALLBACK_IMAGE = "localhost/mosquitto-from-debian:*-trixie"
"""The image that ``images/`` builds if no registry can be reached. No registry has it."""
EXPORTER_FALLBACK_IMAGE = "localhost/mqtt2prometheus-from-debian:*-trixie"


@dataclass(frozen=True, kw_only=True)
class HostRequirements:
    """The requirements of a stack that a probe of the host can check."""

    stack: str
    container: str
    image: str
    fallback_image: str
    """A Docker pattern of images that may replace *image*; empty if none may."""
    exporter: str = ""
    """The exporter's image; empty if no exporter is declared."""
    exporter_fallback_image: str = ""
    """As *fallback_image*, for the exporter."""
    ports: Mapping[str, int]
    """By path in the stack file."""
    addresses: Mapping[str, IPv4Address | IPv6Address] = field(default_factory=dict)
    """The addresses to listen on, other than all and loopback, by path in the stack file."""
    open_files: int = 0
    """The container's limit of open files."""
    reserved_port: int = 0
    """The port of the reserved listener if it is on the host; checked by reload_or_replace.py."""
    folders: Mapping[str, str]
    """By path in the stack file."""
    folder_probes: tuple[ScriptCall, ...] = ()
    """The calls of probe.sh that inspect the folders (broker/host/layout.py)."""
    env_files: Mapping[str, str]
    """By path in the stack file."""
    become: str
    logins_file: str = ""
    """The file on the host with the stamps of the broker's logins."""
    logins: Mapping[str, str] = field(default_factory=dict)
    """The stamp of each login, by name, and of the rules (broker/mosquitto/impact.py)."""
    network: str = ""
    """The bridge of the container's own network; empty on the host's network."""
    bridge: str = ""
    """The bridge of the broker's network; empty if no firewall is declared."""
    certificates: tuple[ScriptCall, ...] = ()
    """The calls of probe.sh that inspect the certificates (broker/tls/certificates.py)."""
    components: tuple[str, ...] = ()
    """The components that have a record on the host (broker/host/drift.py)."""


def host_requirements(settings: Settings, stack: str) -> HostRequirements:
    """Return the requirements of *stack*, by path in the stack file."""
    broker = settings.broker
    exporter = broker.monitoring.image if broker.monitoring else ""
    return HostRequirements(
        stack=stack,
        container=broker.container,
        image=broker.image,
        fallback_image=FALLBACK_IMAGE if broker.allow_stand_in else "",
        exporter=exporter,
        exporter_fallback_image=(
            EXPORTER_FALLBACK_IMAGE if exporter and broker.allow_stand_in else ""
        ),
        ports={
            f"broker.{broker.port_path(name)}.port": listener.port
            for name, listener in broker.exposed_ports.items()
        },
        addresses={
            f"broker.{broker.port_path(name)}.bindAddress": port.bound
            for name, port in broker.exposed_ports.items()
            if not (port.bound.is_unspecified or port.bound.is_loopback)
        },
        open_files=broker.limits.descriptors,
        reserved_port=broker.reserved_port if broker.network == "host" else 0,
        folders={
            "broker.folders.config": broker.folders.config,
            "broker.folders.data": broker.folders.data,
            "broker.folders.log": broker.folders.log,
            **({"broker.backups.folder": broker.backups.folder} if broker.backups else {}),
        },
        folder_probes=tuple(folder_probes(broker)),
        env_files={
            f"broker.envFiles[{index}].path": file.path
            for index, file in enumerate(broker.env_files)
        },
        become=broker.become,
        logins_file=f"{broker.folders.config}/{LOGINS_FILE}",
        logins=remembered(settings),
        network=short_name(broker.container) if broker.network == "published" else "",
        bridge=short_name(broker.container) if is_declared(broker) else "",
        certificates=tuple(certificate_probes(broker)),
        components=tuple(drift.components(broker)),
    )


def probe_calls(
    required: HostRequirements, transport: Transport, read: Callable[[str], str]
) -> list[ScriptCall]:
    """Return the calls of ``host/commands/probe.sh``; *read* returns a script by its name."""
    stack, container = required.stack, required.container
    fallback_images = (required.fallback_image, required.exporter_fallback_image)
    calls = [Probe.host(transport.socket), Probe.daemon_options()]
    calls += [Probe.dialled()] if transport.remote else []
    calls += [Probe.image(image) for image in (required.image, required.exporter) if image]
    calls += [Probe.standin(pattern) for pattern in fallback_images if pattern]
    calls += _owner_calls(required)
    if required.network:
        calls.append(Probe.network(container, bridge=required.network))
    calls += [Probe.address(address) for address in dict.fromkeys(required.addresses.values())]
    calls.append(Probe.open_files())
    calls.append(
        Probe.logins(
            required.logins_file,
            container=container,
            path_in_container=f"{CONFIG_DIR}/{LOGINS_FILE}",
        )
    )
    calls += [Probe.port(port, stack=stack) for port in required.ports.values()]
    calls += required.folder_probes
    if required.reserved_port:
        calls.append(Probe.port(required.reserved_port, stack=stack))
    mark = env_file_mark(stack)
    calls += [Probe.envfile(path, mark=mark) for path in required.env_files.values()]
    if required.bridge:
        calls.append(Probe.firewall(container=container, short_name=required.bridge))
    return [*calls, *required.certificates, _drift_call(required, read, transport)]


def _owner_calls(required: HostRequirements) -> list[ScriptCall]:
    container = required.container
    config_folder = required.folders.get("broker.folders.config", "")
    return [
        Probe.container(container, config_folder=config_folder, stack=required.stack),
        Probe.owners(STATE_ROOT, container=container),
    ]


def owner_probe_calls(required: HostRequirements, transport: Transport) -> list[ScriptCall]:
    """Return the calls of ``host/commands/probe.sh`` that tell which state made the broker."""
    return [Probe.host(transport.socket), *_owner_calls(required)]


def firewall_probe_calls(
    required: HostRequirements, transport: Transport, read: Callable[[str], str]
) -> list[ScriptCall]:
    """Return the calls of ``host/commands/probe.sh`` for the firewall's rules only."""
    images = (required.image, required.fallback_image)
    return [
        Probe.host(transport.socket),
        Probe.image(images[0]),
        *(Probe.standin(image) for image in images[1:] if image),
        Probe.firewall(container=required.container, short_name=required.bridge),
        _drift_call(required, read, transport),
    ]


def _drift_call(
    required: HostRequirements, read: Callable[[str], str], transport: Transport
) -> ScriptCall:
    containers = [name for name in required.components if name in drift.CONTAINERS]
    calls = [
        Drift.compare(required.container, required.components),
        Drift.containers(
            socket=transport.socket, container=required.container, components=containers
        ),
    ]
    if required.bridge:
        calls.append(Drift.rules(container=required.container, short_name=required.bridge))
    return Probe.applied(render_stdin(assemble((Drift.script,), read), calls))


def host_errors(
    required: HostRequirements,
    facts: HostFacts,
    host: str,
    accepted: frozenset[str] = frozenset(),
    *,
    starts: bool = True,
) -> list[Finding]:
    """
    Return an error for each requirement that the host does not meet.

    *accepted* are other stacks whose env files this one may overwrite (``accepted_stacks``).
    *starts*: whether the container will be created. An address that has disappeared does not stop
    the revocation of a user.
    """
    if facts.printed_before:
        return [
            error(
                f"host {host}",
                f"its login shell prints {facts.printed_before!r} on stdout, also for a command, "
                "and the Docker provider would take that for Docker's answer",
                "Print only in interactive shells: begin that user's ~/.bashrc with "
                "`case $- in *i*) ;; *) return ;; esac`.",
            )
        ]
    if facts.docker == "absent":
        return [
            error(
                f"host {host}",
                "the docker command is missing",
                "Install Docker on that host (Debian, Ubuntu: apt-get install docker.io).",
            )
        ]
    if facts.docker != "ok":
        return [
            error(
                f"host {host}",
                f"Docker doesn't answer: {facts.docker}",
                f"Start the daemon, or add the user {facts.login!r} to the group that may "
                "use it (usermod -aG docker ...).",
            )
        ]
    if facts.dialled not in ("", "ok"):
        return [
            error(
                f"host {host}",
                f"'docker system dial-stdio', through which the Docker provider reaches "
                f"{DEFAULT_SOCKET}, {facts.dialled}",
                "Unset DOCKER_HOST there for a login without a terminal, or run `docker context "
                "use default`.",
            )
        ]
    return [
        *_without_root(required, facts, host),
        *_foreign_container(required, facts),
        *_foreign_network(required, facts),
        *_cannot_start(required, facts, starts=starts),
        *_conflicts(required, facts, accepted),
    ]


def _cannot_start(
    required: HostRequirements, facts: HostFacts, *, starts: bool
) -> Iterator[Finding]:
    """Yield an error for each setting with which Docker could not start the container."""
    published = () if starts else facts.published_addresses(required.container)
    for path, address in required.addresses.items():
        if facts.lacks_address(str(address)) and str(address) not in published:
            yield error(
                f"{PROJECT}:{path}",
                f"{str(address)!r}: the host has no such address, so Docker can't start the "
                "container",
                "Use an address of the host (ip address), or 0.0.0.0 for all of them.",
            )
    most = facts.most_open_files
    if most is not None and required.open_files > most:
        yield error(
            f"{PROJECT}:broker.limits.openFiles",
            f"{required.open_files}: a process on the host can have at most {most} open files",
            f"Lower it or broker.limits.maxConnections, or raise the host's limit (sysctl -w "
            f"fs.nr_open={required.open_files}).",
        )
    images = {"broker.image": required.image, "broker.monitoring.image": required.exporter}
    for path, image in images.items():
        if wrong := facts.wrong_architecture(image):
            yield error(
                f"{PROJECT}:{path}",
                f"{image!r}: the image on the host is built for another processor ({wrong})",
                f"Remove it (docker image rm {image}) and pull the one for the host.",
            )


def _conflicts(
    required: HostRequirements, facts: HostFacts, accepted: frozenset[str]
) -> Iterator[Finding]:
    """Yield an error for each port, folder and env file that the stack cannot use."""
    # What this stack made and somebody changed since is not a conflict: an `up` repairs it.
    repaired = {difference.subject for difference in drift.differences(facts)}
    ports = {
        path: (str(port), facts.port_user(port))
        for path, port in required.ports.items()
        if facts.port_user(port) not in _own_containers(required, facts)
    }
    folders = {
        path: (repr(folder), facts.folder_problem(folder))
        for path, folder in required.folders.items()
        if folder not in repaired
    }
    env_files = {
        path: (repr(file), facts.env_file_problem(file))
        for path, file in required.env_files.items()
        if file not in repaired and facts.env_file_stack(file) not in accepted
    }
    for resources, message, fix in (
        (
            ports,
            "this port is in use on the host by {}",
            "Stop that program or container, or choose another port.",
        ),
        (folders, "{}", "Choose another folder, or correct this one first."),
        (
            env_files,
            "{}",
            "Move the file away, or choose another path: an existing file is overwritten only if "
            "this stack wrote it.",
        ),
    ):
        for path, (value, problem) in resources.items():
            if problem:
                yield error(f"{PROJECT}:{path}", f"{value}: {message.format(problem)}", fix)


def _without_root(required: HostRequirements, facts: HostFacts, host: str) -> list[Finding]:
    login = facts.login
    if required.become != "sudo" or not facts.cannot_be_root:
        return []
    return [
        error(
            f"host {host}",
            f"the user {login!r} is not root and 'sudo -n' fails. Root is needed to create folders "
            "and files of uid 1883",
            f"Allow it in sudoers ({login} ALL=(root) NOPASSWD: ALL), or set broker.become to "
            "'docker'.",
        )
    ]


def _own_containers(required: HostRequirements, facts: HostFacts) -> set[str]:
    """
    Return how the probe names this broker's own containers if their label is another stack's.

    ownership.py decides whether this state may replace them.
    """
    if facts.container_owner(required.container) in (None, BY_HAND):
        return set()
    return {f"container {required.container}", f"container {required.container}-exporter"}


def _foreign_container(required: HostRequirements, facts: HostFacts) -> list[Finding]:
    name = required.container
    if facts.container_owner(name) != BY_HAND:
        return []  # None, or one of this program: ownership.py decides.
    return [
        error(
            f"{PROJECT}:broker.container",
            f"{name!r}: a container of this name exists already, and this stack did not create it "
            f"({BY_HAND})",
            f"Rename or remove it (docker rename {name} {name}-old), or choose another name.",
        )
    ]


def _foreign_network(required: HostRequirements, facts: HostFacts) -> list[Finding]:
    name = required.container
    if not required.network or not facts.has_foreign_network(name):
        return []
    return [
        error(
            f"{PROJECT}:broker.container",
            f"{name!r}: a Docker network of this name exists already, and this program did not "
            "create it; the container's own network would have the same name",
            f"Remove it (docker network rm {name}), or choose another name.",
        )
    ]
