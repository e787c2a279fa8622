"""How the host that runs Docker is reached: locally, or with the OpenSSH client."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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
