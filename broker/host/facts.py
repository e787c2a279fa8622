"""The host that runs Docker: how to reach it, and whether what was found there will do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from broker.findings import PROJECT, Finding, error

SSH_HOST = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z_][A-Za-z0-9_.-]*)@)?(?P<name>[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
UNIX_HOST = re.compile(r"unix://(?P<socket>/[^\s:]+)")
DEFAULT_SOCKET = "unix:///var/run/docker.sock"

PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ"),
    *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_TIME", "LC_NUMERIC"),
    # ssh: its agent, who asks on its behalf, Kerberos tickets, and where an agent may listen.
    *("SSH_AUTH_SOCK", "SSH_AGENT_PID", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "SSH_SK_PROVIDER"),
    *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS"),
    *("KRB5CCNAME", "XDG_RUNTIME_DIR"),
    # docker: not DOCKER_HOST and the like, since every call names the socket.
    *("DOCKER_CONFIG", "DOCKER_API_VERSION"),
)
"""The variables that a command for the host has, where the caller has them; it has no others."""

PROXIES = tuple(
    spelled
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
    for spelled in (name, name.lower())
)
"""Beside those, for what downloads something: apt, and a Docker daemon that is started here."""

WITHHELD = (
    *("PULUMI_CONFIG", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"),
    *("PULUMI_ACCESS_TOKEN", "PULUMI_BACKEND_URL"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AZURE_CLIENT_SECRET", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "ARM_CLIENT_SECRET"),
    *("GOOGLE_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN", "VAULT_TOKEN"),
)
"""
The secrets that Pulumi, its backends and its secrets providers read from the environment.

``clean_interpreter`` drops them like every variable outside of ``PASSED_ON``. They are named so
that they are empty in its shell already (components/host_command.py).
"""


def host_environment(environ: Mapping[str, str], *more: str) -> dict[str, str]:
    """
    Return the environment of a command for the host: what *environ* has of ``PASSED_ON``.

    *more*: variables beside those.
    """
    return {name: environ[name] for name in (*PASSED_ON, *more) if name in environ}


def clean_interpreter(interpreter: Iterable[str], *more: str) -> tuple[str, ...]:
    """
    Return *interpreter* behind a shell that replaces itself with it in a clean environment.

    pulumi-command gives its whole environment to what it starts. The text is the same on every
    machine, so no value of a variable is in it, and no preview differs for it.
    *more*: variables beside ``PASSED_ON``.
    """
    kept = " ".join(f'${{{name}+{name}="${name}"}}' for name in (*PASSED_ON, *more))
    return ("/bin/sh", "-c", f'exec env -i {kept} "$0" "$@"', *interpreter)


@dataclass(frozen=True, kw_only=True)
class Transport:
    """The one way in which both Docker's API and our commands reach the host."""

    host: str
    """``unix:///socket`` or ``ssh://[user@]name[:port]``: what the Docker provider is given."""

    interpreter: tuple[str, ...]
    """Runs a command line on the host, given as one more argument."""

    ssh_options: tuple[str, ...] = ()
    """For the Docker provider, whose ``ssh://`` starts the same OpenSSH client."""

    @property
    def remote(self) -> bool:
        return self.host.startswith("ssh://")

    @property
    def socket(self) -> str:
        """The Docker endpoint as the host itself sees it."""
        return DEFAULT_SOCKET if self.remote else self.host

    def argv(self, command: Iterable[str]) -> list[str]:
        """Return *command*, word by word, as an argv that runs it on the host."""
        return [*self.interpreter, shlex.join(command)]

    def script(
        self, action: str, *, become: str, image: str = "", network_admin: bool = False
    ) -> str:
        """
        Return the command line that runs a script from its stdin as root on the host.

        The line is all that an error message of pulumi-command can show: the script and the
        secrets in it are on stdin.

        *become* says what a login other than root does: ``sudo`` (without a password) or
        ``docker`` (a throw-away container of *image* with the host's root folder in it; whoever
        may talk to Docker is root already). ``nobody`` stays who it is.
        *network_admin*: that container is in the host's network, and may change its rules.
        """
        line = shlex.join(["exec", "sh", "-s", action])
        if become == "sudo":
            line = f'if [ "$(id -u)" -eq 0 ]; then {line}; else exec sudo -n sh -s {action}; fi'
        elif become == "docker":
            network = (
                ("--network", "host", "--cap-add", "NET_ADMIN")
                if network_admin
                else ("--network", "none")
            )
            container = shlex.join(
                (
                    *("docker", "-H", self.socket, "run", "--rm", "-i", *network),
                    *("--user", "0:0", "--volume", "/:/host", "--entrypoint", "/bin/sh", image),
                    *("-c", f"exec chroot /host sh -s {action}"),
                )
            )
            line = f'if [ "$(id -u)" -eq 0 ]; then {line}; else exec {container}; fi'
        # A login shell that is not POSIX sh (fish, csh) must only pass one word on.
        return f"exec sh -c {shlex.quote(line)}" if self.remote else line


def transport(host: str, ssh_config: str | None = None) -> Transport:
    """
    Return the transport that a ``host`` setting stands for.

    ``BatchMode`` keeps the OpenSSH client from asking: an unknown host key or a missing
    password is an error, never a question that nobody sees.
    """
    found = SSH_HOST.fullmatch(host)
    if found is None:
        return Transport(host=host, interpreter=("/bin/sh", "-c"))
    options = ["-oBatchMode=yes", "-oConnectTimeout=10"]
    if ssh_config is not None:
        options = ["-F", ssh_config, *options]
    destination = [*(["-l", found["user"]] if found["user"] else [])]
    destination += [*(["-p", found["port"]] if found["port"] else []), found["name"].strip("[]")]
    return Transport(
        host=host,
        interpreter=("ssh", "-T", *options, *destination),
        ssh_options=tuple(options),
    )


@dataclass(frozen=True, kw_only=True)
class HostRequirements:
    """What a stack needs of its host, as far as a look at the host can tell."""

    stack: str
    container: str
    image: str
    stand_in: str
    """Images that may take the place of *image*, as a pattern of Docker's; none where empty."""
    exporter: str = ""
    """The exporter's image; empty where none is declared."""
    exporter_stand_in: str = ""
    """As *stand_in*, for the exporter."""
    ports: Mapping[str, int]
    """By path in the stack file."""
    reserved_port: int = 0
    """The reserved listener's, where it is on the host; asked for, and judged by needs.py."""
    folders: Mapping[str, str]
    """By path in the stack file."""
    folder_looks: tuple[tuple[str, ...], ...] = ()
    """The calls that look at them (broker/host/layout.py)."""
    env_files: Mapping[str, str]
    """By path in the stack file."""
    become: str
    logins_file: str = ""
    """Where the host keeps the stamps of the logins that its broker knows."""
    logins: Mapping[str, str] = field(default_factory=dict)
    """The stamp of each login, by name, and of the rules (broker/mosquitto/impact.py)."""
    bridge: str = ""
    """Of the broker's own network; empty where no firewall is declared."""
    certificates: tuple[tuple[str, ...], ...] = ()
    """The calls that look at them (broker/tls/certificates.py)."""


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What ``host/commands/probe.sh`` found: its lines ``KEY SUBJECT=VALUE``, parsed."""

    facts: Mapping[tuple[str, str], str]

    looked_at: bool = True
    """Whether the host was asked; else the facts are those of the last deployment, if any."""

    def get(self, key: str, subject: str = "-") -> str:
        return self.facts.get((key, subject), "")

    def all(self, key: str) -> dict[str, str]:
        return {subject: value for (each, subject), value in self.facts.items() if each == key}

    def been_up(self, container: str) -> bool:
        """Return whether there was an ``up`` before: the container is there, or what it reads."""
        return self.get("container", container) not in ("", "none") or bool(self.all("known"))

    @classmethod
    def parse(cls, text: str) -> HostFacts:
        facts: dict[tuple[str, str], str] = {}
        # Not splitlines(): a file's name may hold what that takes for the end of a line.
        for line in text.rstrip("\n").split("\n"):
            key, _, rest = line.partition(" ")
            subject, _, value = rest.partition("=")
            facts[key, subject] = value
        return cls(facts=facts)

    def present_image(self, name: str, pattern: str) -> str:
        """Return the image to run: *name*, or what stands in where only that is there."""
        stand_in = self.get("standin", pattern) if pattern else ""
        return stand_in if self.get("image", name) != "present" and stand_in else name


def host_errors(wanted: HostRequirements, seen: HostFacts, host: str) -> list[Finding]:
    """Return an error for each thing that would make an ``up`` fail half-way."""
    if seen.get("docker") == "absent":
        return [
            error(
                f"host {host}",
                "the docker command is not there",
                "Install Docker on that host (Debian, Ubuntu: apt-get install docker.io).",
            )
        ]
    if seen.get("docker") != "ok":
        return [
            error(
                f"host {host}",
                f"Docker doesn't answer: {seen.get('docker')}",
                f"Start the daemon, or add the user {seen.get('login')!r} to the group that may "
                "use it (usermod -aG docker ...).",
            )
        ]
    return [
        *_without_root(wanted, seen, host),
        *_foreign_container(wanted, seen),
        *(
            error(
                f"{PROJECT}:{path}",
                f"{port}: that port is in use on the host by {taken}",
                "Stop it, or choose another port.",
            )
            for path, port in wanted.ports.items()
            if (taken := seen.get("port", str(port))) not in ("", "free", "ours")
        ),
        *(
            error(
                f"{PROJECT}:{path}",
                f"{folder!r}: {state}",
                "Choose another folder, or mend that one first.",
            )
            for path, folder in wanted.folders.items()
            if (state := seen.get("folder", folder)) not in ("", "ok")
        ),
        *(
            error(
                f"{PROJECT}:{path}",
                f"{file!r}: {state}",
                "Move it away, or choose another path: a file that somebody else wrote is never "
                "overwritten.",
            )
            for path, file in wanted.env_files.items()
            if (state := seen.get("envfile", file)) not in ("", "ok")
        ),
    ]


def _without_root(wanted: HostRequirements, seen: HostFacts, host: str) -> list[Finding]:
    login = seen.get("login")
    if wanted.become != "sudo" or seen.get("root") != "no":
        return []
    return [
        error(
            f"host {host}",
            f"the user {login!r} is not root and 'sudo -n' is refused. Folders and files of uid "
            "1883 need root",
            f"Allow it in sudoers ({login} ALL=(root) NOPASSWD: ALL), or set broker.become to "
            "'docker'.",
        )
    ]


def _foreign_container(wanted: HostRequirements, seen: HostFacts) -> list[Finding]:
    name, owner = wanted.container, seen.get("container", wanted.container)
    if owner in ("", "none", wanted.stack):
        return []
    return [
        error(
            f"{PROJECT}:broker.container",
            f"{name!r}: a container of that name is there already and this stack did not make it "
            f"({owner})",
            f"Rename or remove it (docker rename {name} {name}-old), or choose another name.",
        )
    ]


# What the OpenSSH client says on stderr, and what it means for the person who reads it.
_SSH_COMPLAINTS = (
    (
        re.compile(r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED"),
        "its host key is not the one in known_hosts, or is not known yet. Compare the "
        "fingerprint with the host's, then accept it once by hand: ssh {host}",
    ),
    (
        re.compile(r"Permission denied|Too many authentication failures"),
        "it refused the login. Load your key (ssh-add), or name it in ~/.ssh/config",
    ),
    (
        re.compile(
            r"Connection refused|timed out|No route to host|Network is unreachable"
            r"|Could not resolve|Connection closed|Connection reset"
        ),
        "it can't be reached. Check the address, the port and that sshd runs there",
    ),
)


def explain_ssh(host: str, stderr: str) -> str:
    """Return what went wrong between here and *host*, from the OpenSSH client's own words."""
    last = stderr.strip().splitlines()[-1] if stderr.strip() else "no message"
    for pattern, meaning in _SSH_COMPLAINTS:
        if pattern.search(stderr):
            return f"host {host}: {meaning.format(host=host)}. (ssh says: {last})"
    return f"host {host}: the OpenSSH client failed. (ssh says: {last})"


def explain_start(host: str, program: str, wrong: OSError) -> str:
    """Return why *program*, the first word of the way to *host*, could not be started here."""
    if isinstance(wrong, FileNotFoundError) and program == "ssh":
        return (
            f"host {host}: the OpenSSH client is not installed here "
            "(Debian, Ubuntu: apt-get install openssh-client)."
        )
    return f"host {host}: {program} can't be started here: {wrong.strerror or wrong}."
