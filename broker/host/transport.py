"""Reach the host that runs Docker: locally, or with the OpenSSH client."""

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
    # ssh: agent, askpass program, Kerberos tickets, and the folder of an agent's socket.
    *("SSH_AUTH_SOCK", "SSH_AGENT_PID", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "SSH_SK_PROVIDER"),
    *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS"),
    *("KRB5CCNAME", "XDG_RUNTIME_DIR"),
    # docker: without DOCKER_HOST and similar variables, because every call names the socket.
    *("DOCKER_CONFIG", "DOCKER_API_VERSION"),
)
"""The only variables that a command for the host inherits."""

PROXIES = tuple(
    variable
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
    for variable in (name, name.lower())
)
"""Additional variables for commands that download: apt, and a Docker daemon started here."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def without_proxy_on_loopback(environ: Mapping[str, str]) -> dict[str, str]:
    """
    Return the variables that keep connections to this machine away from a declared proxy.

    Pulumi's parts talk to one another through gRPC on the loopback, and gRPC obeys ``http_proxy``.
    """
    if not any(environ.get(name) for name in (*PROXIES, "grpc_proxy") if "no_" not in name.lower()):
        return {}
    found: dict[str, str] = {}
    for name in ("no_proxy", "NO_PROXY"):
        given = environ.get(name) or environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        hosts = [host.strip() for host in given.split(",") if host.strip()]
        missing = [] if "*" in hosts else [host for host in LOOPBACK if host not in hosts]
        found[name] = ",".join([*hosts, *missing])
    return found


WITHHELD = (
    *("PULUMI_CONFIG", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"),
    *("PULUMI_ACCESS_TOKEN", "PULUMI_BACKEND_URL"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AZURE_CLIENT_SECRET", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "ARM_CLIENT_SECRET"),
    *("GOOGLE_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN", "VAULT_TOKEN"),
)
"""
The secrets that Pulumi, its backends and its secrets providers read from the environment.

``clean_interpreter`` drops every variable that is not in ``PASSED_ON``. These are also set to an
empty text in the environment of its shell (components/host_command.py).
"""


def host_environment(environ: Mapping[str, str], *more: str) -> dict[str, str]:
    """
    Return the environment of a command for the host: the ``PASSED_ON`` variables in *environ*.

    *more*: names of additional variables.
    """
    return {name: environ[name] for name in (*PASSED_ON, *more) if name in environ}


def clean_interpreter(interpreter: Iterable[str], *more: str) -> tuple[str, ...]:
    """
    Return a command that runs *interpreter* in a clean environment.

    pulumi-command passes its whole environment to the processes that it starts. The command
    contains names of variables and no values, so it is the same on every machine.
    *more*: variables beside ``PASSED_ON``.
    """
    variables = " ".join(f'${{{name}+{name}="${name}"}}' for name in (*PASSED_ON, *more))
    return ("/bin/sh", "-c", f'exec env -i {variables} "$0" "$@"', *interpreter)


@dataclass(frozen=True, kw_only=True)
class Transport:
    """How Docker's API and the commands of this program reach the host."""

    host: str
    """``unix:///socket`` or ``ssh://[user@]name[:port]``, as the Docker provider expects it."""

    interpreter: tuple[str, ...]
    """A command that runs its last argument, a command line, on the host."""

    ssh_options: tuple[str, ...] = ()
    """For the Docker provider, which starts the same OpenSSH client for ``ssh://``."""

    @property
    def remote(self) -> bool:
        return self.host.startswith("ssh://")

    @property
    def socket(self) -> str:
        """The Docker endpoint as the host itself sees it."""
        return DEFAULT_SOCKET if self.remote else self.host

    def argv(self, command: Iterable[str]) -> list[str]:
        """Return the argv that runs *command*, given word by word, on the host."""
        return [*self.interpreter, shlex.join(command)]

    def script(
        self, action: str, *, become: str, image: str = "", network_admin: bool = False
    ) -> str:
        """
        Return the command line that runs a script from its stdin as root on the host.

        An error message of pulumi-command can show this line. It contains no secret: the script
        and its secrets are on stdin.

        *become* is how a login other than root becomes root: ``sudo`` (without a password) or
        ``docker`` (a temporary container of *image* that mounts the host's root folder; access to
        Docker is equivalent to root). ``nobody`` keeps the login.
        *network_admin*: the container is in the host's network and may change its firewall rules.
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
        # As one word, because the login shell may not be a POSIX shell (fish, csh).
        return f"exec sh -c {shlex.quote(line)}" if self.remote else line


def transport(host: str, ssh_config: str | None = None) -> Transport:
    """
    Return the transport for a ``host`` setting.

    ``BatchMode`` makes the OpenSSH client fail instead of asking about an unknown host key or a
    password.
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


# Messages of the OpenSSH client, and their explanations.
_SSH_ERRORS = (
    (
        re.compile(r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED"),
        "its host key differs from the one in known_hosts, or is not in known_hosts. Compare the "
        "fingerprint with the host's, then accept the key once by hand: ssh {host}",
    ),
    (
        re.compile(r"Permission denied|Too many authentication failures"),
        "it rejected the login. Load your key (ssh-add), or name it in ~/.ssh/config",
    ),
    (
        re.compile(
            r"Connection refused|timed out|No route to host|Network is unreachable"
            r"|Could not resolve|Connection closed|Connection reset"
        ),
        "it can't be reached. Check the address and the port, and that sshd runs there",
    ),
)


def explain_ssh(host: str, stderr: str) -> str:
    """Return an error message with the cause and a fix, from the OpenSSH client's stderr."""
    last = stderr.strip().splitlines()[-1] if stderr.strip() else "no message"
    for pattern, meaning in _SSH_ERRORS:
        if pattern.search(stderr):
            return f"host {host}: {meaning.format(host=host)}. (ssh says: {last})"
    return f"host {host}: the OpenSSH client failed. (ssh says: {last})"


def explain_start(host: str, program: str, failure: OSError) -> str:
    """Return an error message if *program*, which connects to *host*, could not be started."""
    if isinstance(failure, FileNotFoundError) and program == "ssh":
        return (
            f"host {host}: the OpenSSH client is not installed here "
            "(Debian, Ubuntu: apt-get install openssh-client)."
        )
    return f"host {host}: {program} can't be started here: {failure.strerror or failure}."
