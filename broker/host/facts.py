"""
What a look at the host found: the one reader of what ``host/commands/probe.sh`` prints.

Each fact is a line ``KEY SUBJECT=VALUE``. The accessors of ``HostFacts`` give it a type; nothing
else knows keys or formats. What was not asked, or what a login that is not root can't see, is
None, an empty text or "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

RulesState = Literal["unknown", "never", "in-force", "missing", "changed"]
CertificateState = Literal["unknown", "ok", "due", "wrong"]

USABLE = ("", "ok")
"""A command that the host has, or that nobody asked after."""


@dataclass(frozen=True, kw_only=True)
class FirewallTools:
    """What rules can be made with. A state is ``ok``, ``absent``, or the reason of a refusal."""

    nft: str
    iptables: str
    ip6tables: str
    ufw: str
    """``active``, ``inactive`` or ``absent``."""
    ufw_for_ipv4_only: bool
    systemd: bool
    bridge_name_taken: bool
    """Whether the host has an interface of the bridge's name that is not the broker's."""

    @property
    def has_nft(self) -> bool:
        return self.nft in USABLE

    @property
    def has_ip6tables(self) -> bool:
        return self.ip6tables in USABLE


@dataclass(frozen=True, kw_only=True)
class FirewallRules:
    """Whether the rules are on the host as the last deployment left them."""

    state: RulesState
    revision: int = 1
    """How many times they were put in force."""
    clock: str = ""
    """The host's time, where they never were."""
    half_done: bool = False
    """Whether an ``up`` ended between the new rules and the end of those before."""
    lost_at_boot: bool = False
    """Whether the next start of the host would load no rules, though it has systemd."""


@dataclass(frozen=True, kw_only=True)
class CertificateFacts:
    """Whether a listener's certificate, or the CA of its clients, is as it should be."""

    state: CertificateState = "unknown"
    reason: str = ""
    """Why it is due; what is wrong, after the name of the setting."""

    @property
    def text(self) -> str:
        return f"{self.state} {self.reason}"


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """A regular file: mode, owner, time of the last change, size."""

    mode: str
    owner: str
    """``UID:GID``"""
    changed: int
    """Seconds since 1970."""
    size: int


@dataclass(frozen=True, kw_only=True)
class DiskSpace:
    """Bytes of a file system."""

    size: int
    free: int


@dataclass(frozen=True, kw_only=True)
class PasswordLines:
    """How many lines of the password file are a login with a hash, and how many are not."""

    hashed: int
    other: int


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What ``host/commands/probe.sh`` found: its lines ``KEY SUBJECT=VALUE``, parsed."""

    facts: Mapping[tuple[str, str], str]

    looked_at: bool = True
    """Whether the host was asked; else the facts are those of the last deployment, if any."""

    @classmethod
    def parse(cls, text: str) -> HostFacts:
        facts: dict[tuple[str, str], str] = {}
        # Not splitlines(): a file's name may hold what that takes for the end of a line.
        for line in text.rstrip("\n").split("\n"):
            key, _, rest = line.partition(" ")
            subject, _, value = rest.partition("=")
            facts[key, subject] = value
        return cls(facts=facts)

    def line(self, key: str, subject: str = "-") -> str:
        """Return what the script printed, as it is: for this class, and tests of the script."""
        return self.facts.get((key, subject), "")

    def lines(self, key: str) -> dict[str, str]:
        """Return what the script printed under *key*, by subject; likewise."""
        return {subject: value for (word, subject), value in self.facts.items() if word == key}

    @property
    def complete(self) -> bool:
        """Whether the look came to its end."""
        return self.line("probe") == "done"

    @property
    def login(self) -> str:
        """The user as whom the host was asked."""
        return self.line("login")

    @property
    def cannot_be_root(self) -> bool:
        return self.line("root") == "no"

    @property
    def docker(self) -> str:
        """``ok``, ``absent``, or what the docker command says."""
        return self.line("docker")

    @property
    def lacks_openssl(self) -> bool:
        return self.line("openssl") == "absent"

    @property
    def now(self) -> int | None:
        """The host's time, in seconds since 1970."""
        return _number(self.line("now"))

    # The broker's container.

    def present_image(self, name: str, pattern: str) -> str:
        """Return the image to run: *name*, or the fallback image where only that is there."""
        fallback = self.line("standin", pattern) if pattern else ""
        return fallback if self.line("image", name) != "present" and fallback else name

    def container_owner(self, container: str) -> str | None:
        """Return the stack that made the container; None where there is none."""
        owner = self.line("container", container)
        return owner if owner not in ("", "none") else None

    def start_digest(self, container: str) -> str:
        """Return the label of the container that says what it was started with."""
        return self.line("configuration", container)

    def published_addresses(self, container: str) -> list[str]:
        """Return the addresses of the container's ports, in Docker's order."""
        return self.line("published", container).split()

    def container_state(self, container: str) -> str:
        """Return Docker's word for it, such as ``running``; ``absent`` where there is none."""
        return self.line("state", container)

    def restarts(self, container: str) -> str:
        """Return how many times Docker started it again."""
        return self.line("restarts", container)

    def health(self, container: str) -> str:
        """Return Docker's word for the health check, such as ``healthy``."""
        return self.line("health", container)

    def seconds_up(self, container: str) -> float | None:
        """Return for how long the container has been up."""
        try:
            started = datetime.fromisoformat(self.line("started", container)[:19] + "+00:00")
        except ValueError:
            return None
        return None if self.now is None else self.now - started.timestamp()

    @property
    def stamps(self) -> dict[str, str]:
        """The stamp of each login that the broker knows, and of its rules."""
        return self.lines("known")

    def been_up(self, container: str) -> bool:
        """Return whether there was an ``up`` before: the container is there, or what it reads."""
        return self.container_owner(container) is not None or bool(self.stamps)

    # What is in the way.

    def port_user(self, port: int) -> str:
        """Return what else has the port; nothing where it is free or the broker's."""
        user = self.line("port", str(port))
        return "" if user in ("free", "ours") else user

    def folder_problem(self, path: str) -> str:
        """Return why the broker can't have the folder."""
        return _unless_ok(self.line("folder", path))

    def env_file_problem(self, path: str) -> str:
        """Return why the env file can't be written."""
        return _unless_ok(self.line("envfile", path))

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
        state, _, number = self.line("rules", container).partition(" ")
        revision = _number(number)
        return FirewallRules(
            state=cast(RulesState, state or "unknown"),
            revision=1 if state == "never" or revision is None else revision,
            clock=number if state == "never" else "",
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
        """Return when a given certificate ends, as openssl says it, where that is soon."""
        return self.line("ends", listener)

    def ca_ends(self, container: str) -> str:
        """Return when the stack's own CA ends, as openssl says it, where that is soon."""
        return self.line("authority", container).removeprefix("ends ")

    def certificates_revision(self, container: str) -> int | None:
        """Return how many times certificates were put in place; None where they never were."""
        return _number(self.line("certificates", container))

    def certificates_never(self, container: str) -> str:
        """Return the host's time where certificates were never put in place."""
        word, _, clock = self.line("certificates", container).partition(" ")
        return clock if word == "never" else ""

    # Files, folders and archives, which observe.sh looks at.

    def file(self, path: str) -> FileFacts | None:
        """Return what was seen of the file; None where it is absent or nobody could look."""
        parts = self.line("file", path).split()
        if len(parts) != 5:  # noqa: PLR2004 (mode, owner, group, time, size)
            return None
        mode, uid, gid, changed, size = parts
        return FileFacts(mode=mode, owner=f"{uid}:{gid}", changed=int(changed), size=int(size))

    def file_asked(self, path: str) -> bool:
        """Return whether anybody could look at the file."""
        return bool(self.line("file", path))

    def file_absent(self, path: str) -> bool:
        return self.line("file", path) == "absent"

    def file_digest(self, path: str) -> str:
        """Return the SHA-256 of the file."""
        return self.line("digest", path)

    def blocks_digest(self, path: str) -> str:
        """Return the digest of the file's blocks, whatever their order."""
        return self.line("blocks", path)

    def folder_owner(self, path: str) -> str:
        """Return ``UID:GID``, or ``absent``."""
        return self.line("owner", path)

    def disk_space(self, path: str) -> DiskSpace | None:
        words = self.line("space", path).split()
        if len(words) != 2:  # noqa: PLR2004 (size and what is free, in KiB)
            return None
        size, free = (1024 * int(word) for word in words)
        return DiskSpace(size=size, free=free)

    @property
    def password_lines(self) -> PasswordLines | None:
        words = self.line("passwords").split()
        if len(words) < 2:  # noqa: PLR2004 (two numbers)
            return None
        return PasswordLines(hashed=int(words[0]), other=int(words[1]))

    @property
    def backups_asked(self) -> bool:
        return bool(self.line("backup", "asked"))

    def backup_note(self, kind: Literal["verified", "drilled", "filled"]) -> str:
        """Return what a script left beside the archives (``Note`` in backup_archives.py)."""
        return self.line("backup", kind)

    def archive_present(self, kind: Literal["verified", "drilled", "filled"]) -> bool:
        """Return whether the archive of that note is still there."""
        return self.line("there", kind) == "yes"


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _unless_ok(state: str) -> str:
    return "" if state == "ok" else state
