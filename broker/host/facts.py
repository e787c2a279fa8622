"""
The facts about a host, parsed from the output of ``host/commands/probe.sh``.

Each fact is a line ``KEY SUBJECT=VALUE``. Only ``HostFacts`` knows keys and formats. A
fact is None, an empty text or "unknown" if it was not asked for, or if the login may not read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

BY_HAND = "made by hand"
"""In place of the stack of a container without a label of this program."""

RulesState = Literal["unknown", "never", "in-force", "missing", "changed"]
CertificateState = Literal["unknown", "ok", "due", "wrong"]

FIRST = "login -="
"""What the first line of every probe begins with."""

USABLE = ("", "ok")
"""States of a command that the host has, or that was not asked for."""


@dataclass(frozen=True, kw_only=True)
class FirewallTools:
    """The firewall commands. A state is ``ok``, ``absent``, or the error message of the command."""

    nft: str
    iptables: str
    ip6tables: str
    ufw: str
    """``active``, ``inactive`` or ``absent``."""
    ufw_for_ipv4_only: bool
    systemd: bool
    bridge_name_taken: bool
    """Whether another interface of the host has the name of the broker's bridge."""

    @property
    def has_nft(self) -> bool:
        return self.nft in USABLE

    @property
    def has_ip6tables(self) -> bool:
        return self.ip6tables in USABLE


@dataclass(frozen=True, kw_only=True)
class FirewallRules:
    """The state of the rules on the host, compared with the last deployment."""

    state: RulesState
    half_done: bool = False
    """Whether an ``up`` was interrupted before it removed the old rules."""
    lost_at_boot: bool = False
    """Whether the next start of the host loads no rules, although the host has systemd."""


@dataclass(frozen=True, kw_only=True)
class CertificateFacts:
    """The state of a listener's certificate, or of the CA of its clients."""

    state: CertificateState = "unknown"
    reason: str = ""
    """Why it is due; or the name of the setting, and what is wrong with it."""

    @property
    def text(self) -> str:
        return f"{self.state} {self.reason}"


@dataclass(frozen=True, kw_only=True)
class DaemonFacts:
    """What the Docker daemon does otherwise than by default."""

    remaps_users: bool
    """Whether uids of a container are other uids on the host (userns-remap)."""
    rootless: bool
    limits_memory: bool
    limits_swap: bool
    has_proxy: bool
    """Whether docker-proxy forwards the clients that the kernel's rules do not."""


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """A regular file on the host."""

    mode: str
    owner: str
    """``UID:GID``"""
    changed: int
    """The time of the last change, in seconds since 1970."""
    size: int


@dataclass(frozen=True, kw_only=True)
class DiskSpace:
    """Size and free space of a file system, in bytes."""

    size: int
    free: int


@dataclass(frozen=True, kw_only=True)
class PasswordLines:
    """The number of lines in the password file with and without a hash."""

    hashed: int
    other: int


@dataclass(frozen=True, kw_only=True)
class OwnerRecord:
    """The host's record of the Pulumi state that manages a broker (broker/host/ownership.py)."""

    container: str
    state: str
    """The random id of the state."""
    deployment: str
    """The time of the last deployment that began."""
    previous: str
    """The deployment before it, in the state that began it."""
    completed: bool
    """Whether the last deployment was completed."""
    stack: str
    writer: str
    folders: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()

    @property
    def described(self) -> str:
        begun = "deployed last" if self.completed else "begun and not completed"
        time = f"{self.deployment}, by {self.writer}"
        return f"stack {self.stack!r}, state {self.state}, {begun}: {time}"


@dataclass(frozen=True, kw_only=True)
class BrokerOnHost:
    """A container of a broker of this program, of any stack, running or not."""

    container: str
    stack: str
    ports: tuple[str, ...]
    folders: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """The output of ``host/commands/probe.sh``: its lines ``KEY SUBJECT=VALUE``, parsed."""

    facts: Mapping[tuple[str, str], str]

    looked_at: bool = True
    """Whether the host was probed; if not, the facts are those of the last deployment, if any."""

    printed_before: str = ""
    """The first line that something else, such as the login shell, printed before the facts."""

    @classmethod
    def parse(cls, text: str) -> HostFacts:
        facts: dict[tuple[str, str], str] = {}
        before, first, _ = text.partition(FIRST)
        printed = before.strip().split("\n")[0][:80] if first else ""
        # Not splitlines(): a file name may contain a character that it treats as a line end.
        for line in text.rstrip("\n").split("\n"):
            key, _, rest = line.partition(" ")
            subject, _, value = rest.partition("=")
            facts[key, subject] = value
        return cls(facts=facts, printed_before=printed)

    def line(self, key: str, subject: str = "-") -> str:
        """Return the raw value of a fact; for this class, and for tests of the script."""
        return self.facts.get((key, subject), "")

    def lines(self, key: str) -> dict[str, str]:
        """Return the raw values of all facts with *key*, by subject."""
        return {subject: value for (name, subject), value in self.facts.items() if name == key}

    @property
    def complete(self) -> bool:
        """Whether the probe finished."""
        return self.line("probe") == "done"

    @property
    def login(self) -> str:
        """The user who ran the probe on the host."""
        return self.line("login")

    @property
    def cannot_be_root(self) -> bool:
        return self.line("root") == "no"

    @property
    def docker(self) -> str:
        """``ok``, ``absent``, or the error message of the docker command."""
        return self.line("docker")

    @property
    def dialled(self) -> str:
        """``ok``, or how the provider's way to Docker over ssh ends."""
        return self.line("dialled")

    @property
    def daemon(self) -> DaemonFacts:
        return DaemonFacts(
            remaps_users=self.line("daemon", "userns") == "yes",
            rootless=self.line("daemon", "rootless") == "yes",
            limits_memory=self.line("daemon", "memory") != "no",
            limits_swap=self.line("daemon", "swap") != "no",
            has_proxy=self.line("daemon", "proxy") != "no",
        )

    @property
    def lacks_openssl(self) -> bool:
        return self.line("openssl") == "absent"

    @property
    def now(self) -> int | None:
        """The host's time, in seconds since 1970."""
        return _number(self.line("now"))

    def explain_incomplete(self, host: str, exit_code: int, stderr: str) -> str:
        """Return an error message for a probe of *host* that ended before its last question."""
        message = stderr.strip()
        if not message:
            last = " ".join(list(self.facts)[-1]).strip() if self.facts else ""
            message = f"no message; its last answer was {last!r}" if last else "no message"
        return f"host {host}: the probe failed (exit {exit_code}): {message}"

    # The broker's container.

    def present_image(self, name: str, pattern: str) -> str:
        """Return the image to run: *name*, or the fallback image if only that is present."""
        fallback = self.line("standin", pattern) if pattern else ""
        return fallback if self.line("image", name) != "present" and fallback else name

    def container_owner(self, container: str) -> str | None:
        """Return the stack that created the container; None if there is no container."""
        owner = self.line("container", container)
        return owner if owner not in ("", "none") else None

    def has_foreign_network(self, name: str) -> bool:
        """Return whether there is a network of this name that another program created."""
        return self.line("network", name) == "other"

    def start_digest(self, container: str) -> str:
        """Return the label of the container with the digest of its start settings."""
        return self.line("configuration", container)

    def published_addresses(self, container: str) -> list[str]:
        """Return the addresses of the container's ports, in Docker's order."""
        return self.line("published", container).split()

    def network_id(self, container: str) -> str:
        """Return the id of the container's own network; empty on another network."""
        return self.line("networkid", container)

    def container_state(self, container: str) -> str:
        """Return Docker's state, such as ``running``; ``absent`` if there is no container."""
        return self.line("state", container)

    def restarts(self, container: str) -> str:
        """Return how many times Docker restarted the container."""
        return self.line("restarts", container)

    def health(self, container: str) -> str:
        """Return Docker's state of the health check, such as ``healthy``."""
        return self.line("health", container)

    def seconds_up(self, container: str) -> float | None:
        """Return for how many seconds the container has been running."""
        try:
            started = datetime.fromisoformat(self.line("started", container)[:19] + "+00:00")
        except ValueError:
            return None
        return None if self.now is None else self.now - started.timestamp()

    @property
    def stamps(self) -> dict[str, str]:
        """The stamp of each login in the broker's password file, and of its rules."""
        return self.lines("known")

    def deployed_before(self, container: str) -> bool:
        """Return whether there was an ``up`` before: the container exists, or its files do."""
        return self.container_owner(container) is not None or bool(self.stamps)

    # What differs from the last deployment (broker/host/drift.py).

    @property
    def differing(self) -> list[tuple[str, str, str]]:
        """What differs: component, path, and a text such as ``was removed``."""
        found = dict(self.lines("differs"))
        for key, value in self.lines("shared").items():
            digest, _, changed = value.partition(" ")
            seen = self.file_digest(key.partition(":")[2])
            if key not in found and seen and seen != digest:
                found[key] = f"has other content ({changed})"
        return [(*key.partition(":")[::2], what) for key, what in found.items()]

    @property
    def without_record(self) -> list[str]:
        """The components without a record of a deployment."""
        return [name for name, state in self.lines("applied").items() if state.startswith("never")]

    def replacement_label(self, component: str) -> str:
        """Return the recorded label ``sentient-mqtt.revision``; empty if there was none."""
        return self.line("label", component)

    def present_label(self, container: str) -> str:
        """Return the label ``sentient-mqtt.revision`` of the container; empty without one."""
        label = self.line("revision", container)
        return label if label.isdecimal() else ""

    def applied(self, component: str) -> str:
        """Return the revision of the component, or ``never TIME``; empty if not asked for."""
        return self.line("applied", component)

    # The Pulumi state that manages a broker.

    @property
    def owners(self) -> dict[str, OwnerRecord]:
        """The host's record of each broker that was deployed there, by container."""
        records: dict[str, dict[str, list[str]]] = {}
        for subject, line in self.lines("owner").items():
            word, _, value = line.partition(" ")
            records.setdefault(subject.partition(":")[0], {}).setdefault(word, []).append(value)
        return {
            name: _owner(name, record)
            for name, record in records.items()
            # Otherwise it was emptied or edited by hand, and says nothing.
            if "state" in record and "deployment" in record
        }

    def owner(self, container: str) -> OwnerRecord | None:
        """Return the host's record of the broker; None if it has none."""
        return self.owners.get(container)

    @property
    def brokers(self) -> dict[str, BrokerOnHost]:
        """The containers of all brokers that this program made on the host, by name."""
        return {name: _broker(name, line) for name, line in self.lines("broker").items()}

    def without_other_brokers(self, container: str) -> dict[tuple[str, str], str]:
        """Return the raw facts without the records and containers of other brokers."""
        return {
            (key, subject): _in_order(value) if key == "broker" else value
            for (key, subject), value in self.facts.items()
            if key not in ("owner", "broker") or subject.partition(":")[0] == container
        }

    # Conflicts.

    def port_user(self, port: int) -> str:
        """Return what else uses the port; empty if the port is free or used by this broker."""
        user = self.line("port", str(port))
        return "" if user in ("free", "ours") else user

    def lacks_address(self, address: str) -> bool:
        """Return whether nothing on the host can listen on the address."""
        return self.line("address", address) == "absent"

    @property
    def most_open_files(self) -> int | None:
        """The highest limit of open files that a process on the host can have."""
        return _number(self.line("limit", "open_files"))

    def wrong_architecture(self, image: str) -> str:
        """Return the architectures of image and host if the host can't run the image."""
        return self.line("architecture", image)

    def folder_problem(self, path: str) -> str:
        """Return why the broker can't use the folder; empty if it can."""
        return _unless_ok(self.line("folder", path))

    def env_file_problem(self, path: str) -> str:
        """Return why the env file can't be written; empty if it can."""
        return _unless_ok(self.line("envfile", path))

    def env_file_stack(self, path: str) -> str:
        """Return the stack that wrote the env file, if it is not this one."""
        return self.line("envfile", path).partition(" was written by stack ")[2]

    # Firewall.

    @property
    def firewall(self) -> FirewallTools:
        return FirewallTools(
            nft=self.line("firewall", "nft"),
            iptables=self.line("firewall", "iptables"),
            ip6tables=self.line("firewall", "ip6tables"),
            ufw=self.line("firewall", "ufw"),
            ufw_for_ipv4_only=self.line("firewall", "ufw-ipv6") == "no",
            systemd=self.line("firewall", "systemd") != "no",
            bridge_name_taken=self.line("firewall", "interface") == "taken",
        )

    def rules(self, container: str) -> FirewallRules:
        return FirewallRules(
            state=cast(RulesState, self.line("rules", container) or "unknown"),
            half_done=self.line("left", container) == "yes",
            lost_at_boot=self.line("boot", container) == "no",
        )

    # Certificates.

    def certificate(self, listener: str) -> CertificateFacts:
        return self._certificate("certificate", listener)

    def client_ca(self, listener: str) -> CertificateFacts:
        return self._certificate("clientca", listener)

    def _certificate(self, key: str, listener: str) -> CertificateFacts:
        state, _, reason = self.line(key, listener).partition(" ")
        return CertificateFacts(state=cast(CertificateState, state or "unknown"), reason=reason)

    def certificate_ends(self, listener: str) -> str:
        """Return when a given certificate expires, in openssl's format, if that is soon."""
        return self.line("ends", listener)

    def certificate_names(self, listener: str) -> list[str]:
        """Return the host names and IP addresses of a given certificate."""
        return self.line("names", listener).split()

    def ca_ends(self, container: str) -> str:
        """Return when the stack's own CA expires, in openssl's format, if that is soon."""
        return self.line("authority", container).removeprefix("ends ")

    # Files, folders and archives, from observe.sh.

    def file(self, path: str) -> FileFacts | None:
        """Return mode, owner, time and size; None if the file is absent or was not readable."""
        fields = self.line("file", path).split()
        if len(fields) != 5:  # noqa: PLR2004 (mode, owner, group, time, size)
            return None
        mode, uid, gid, changed, size = fields
        return FileFacts(mode=mode, owner=f"{uid}:{gid}", changed=int(changed), size=int(size))

    def file_asked(self, path: str) -> bool:
        """Return whether the file was checked."""
        return bool(self.line("file", path))

    def file_absent(self, path: str) -> bool:
        return self.line("file", path) == "absent"

    def file_digest(self, path: str) -> str:
        """Return the SHA-256 of the file."""
        return self.line("digest", path)

    def blocks_digest(self, path: str) -> str:
        """Return the digest of the file's blocks, independent of their order."""
        return self.line("blocks", path)

    def folder_owner(self, path: str) -> str:
        """Return ``UID:GID``, or ``absent``."""
        return self.line("owner", path)

    def disk_space(self, path: str) -> DiskSpace | None:
        fields = self.line("space", path).split()
        if len(fields) != 2:  # noqa: PLR2004 (size and free space, in KiB)
            return None
        size, free = (1024 * int(kib) for kib in fields)
        return DiskSpace(size=size, free=free)

    @property
    def password_lines(self) -> PasswordLines | None:
        counts = self.line("passwords").split()
        if len(counts) < 2:  # noqa: PLR2004 (two numbers)
            return None
        return PasswordLines(hashed=int(counts[0]), other=int(counts[1]))

    @property
    def backups_asked(self) -> bool:
        return bool(self.line("backup", "asked"))

    def backup_note(self, kind: Literal["verified", "drilled", "filled"]) -> str:
        """Return the note that a script wrote beside the archives (see backup_archives.py)."""
        return self.line("backup", kind)

    def archive_present(self, kind: Literal["verified", "drilled", "filled"]) -> bool:
        """Return whether the archive that the note names still exists."""
        return self.line("there", kind) == "yes"


def _owner(container: str, record: Mapping[str, list[str]]) -> OwnerRecord:
    first = {word: values[0] for word, values in record.items()}
    deployment = first["deployment"]
    return OwnerRecord(
        container=container,
        state=first["state"],
        deployment=deployment,
        previous=first.get("previous", "-"),
        completed=first.get("deployed", "") == deployment,
        stack=first.get("stack", ""),
        writer=first.get("writer", "somebody"),
        folders=tuple(record.get("folder", ())),
        archives=tuple(record.get("archives", ())),
        files=tuple(record.get("file", ())),
        ports=tuple(record.get("port", ())),
    )


def _broker(container: str, line: str) -> BrokerOnHost:
    stack, ports, folders = (*line.split(";", 2), "", "")[:3]
    return BrokerOnHost(
        container=container,
        stack=stack,
        ports=tuple(ports.split()),
        folders=tuple(folders.split(",")) if folders else (),
    )


def _in_order(broker: str) -> str:
    """Return ``STACK;PORTS;MOUNTS`` with sorted mounts, because Docker lists them in any order."""
    rest, _, mounts = broker.rpartition(";")
    return f"{rest};{','.join(sorted(mounts.split(',')))}"


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _unless_ok(state: str) -> str:
    return "" if state == "ok" else state
