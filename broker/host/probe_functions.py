"""
The functions of the scripts that read from the host, with typed arguments.

See script_functions.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from broker.host.script_calls import ScriptCall
from broker.host.scripts import HostScript


class Observe:
    """Print facts for the checks."""

    script = HostScript.OBSERVE

    @staticmethod
    def broker(container: str) -> ScriptCall:
        return ScriptCall.of("broker", container)

    @staticmethod
    def file(path: str) -> ScriptCall:
        return ScriptCall.of("file", path)

    @staticmethod
    def owner(folder: str) -> ScriptCall:
        return ScriptCall.of("owner", folder)

    @staticmethod
    def space(folder: str) -> ScriptCall:
        return ScriptCall.of("space", folder)

    @staticmethod
    def digest(path: str) -> ScriptCall:
        return ScriptCall.of("digest", path)

    @staticmethod
    def passwords(path: str) -> ScriptCall:
        return ScriptCall.of("passwords", path)

    @staticmethod
    def blocks(path: str) -> ScriptCall:
        return ScriptCall.of("blocks", path)

    @staticmethod
    def backups(folder: str, *, container: str) -> ScriptCall:
        return ScriptCall.of("backups", folder, container)


class Probe:
    """Print facts about the host."""

    script = HostScript.PROBE

    @staticmethod
    def host(socket: str) -> ScriptCall:
        return ScriptCall.of("host", socket)

    @staticmethod
    def dialled() -> ScriptCall:
        return ScriptCall.of("dialled")

    @staticmethod
    def daemon_options() -> ScriptCall:
        return ScriptCall.of("daemon_options")

    @staticmethod
    def image(name: str) -> ScriptCall:
        return ScriptCall.of("image", name)

    @staticmethod
    def standin(pattern: str) -> ScriptCall:
        return ScriptCall.of("standin", pattern)

    @staticmethod
    def container(name: str, *, config_folder: str, stack: str) -> ScriptCall:
        return ScriptCall.of("container", name, config_folder, stack)

    @staticmethod
    def address(address: IPv4Address | IPv6Address) -> ScriptCall:
        hexadecimal = address.packed.hex() if isinstance(address, IPv6Address) else ""
        return ScriptCall.of("address", str(address), hexadecimal)

    @staticmethod
    def network(name: str, *, bridge: str) -> ScriptCall:
        return ScriptCall.of("network", name, bridge)

    @staticmethod
    def open_files() -> ScriptCall:
        return ScriptCall.of("open_files")

    @staticmethod
    def owners(folder: str, *, container: str) -> ScriptCall:
        """Read the records of all brokers below *folder*, and the containers of all brokers."""
        return ScriptCall.of("owners", folder, container)

    @staticmethod
    def logins(path: str, *, container: str, path_in_container: str) -> ScriptCall:
        return ScriptCall.of("logins", path, container, path_in_container)

    @staticmethod
    def port(number: int, *, stack: str) -> ScriptCall:
        return ScriptCall.of("port", number, stack)

    @staticmethod
    def folder(
        path: str,
        *,
        mode: str,
        uid: int | Literal["archives"],
        gid: int,
        names: Iterable[str],
    ) -> ScriptCall:
        return ScriptCall.of("folder", path, mode, uid, gid, *names)

    @staticmethod
    def envfile(path: str, *, mark: str) -> ScriptCall:
        return ScriptCall.of("envfile", path, mark)

    @staticmethod
    def firewall(*, container: str, short_name: str) -> ScriptCall:
        return ScriptCall.of("firewall", container, short_name)

    @staticmethod
    def certificates(*, container: str, folder: str) -> ScriptCall:
        return ScriptCall.of("certificates", container, folder)

    @staticmethod
    def certificate(
        name: str, *, path: str, renew_before: int, certificate: str, key: str, ca: str
    ) -> ScriptCall:
        """Inspect a listener's certificate at *path*; the others are empty for the own CA."""
        return ScriptCall.of("certificate", name, path, renew_before, certificate, key, ca)

    @staticmethod
    def client_ca(name: str, *, ca: str, path: str) -> ScriptCall:
        """Inspect the CA of clients at *path*; *ca* is empty for the stack's own."""
        return ScriptCall.of("client_ca", name, ca, path)

    @staticmethod
    def applied(text: str) -> ScriptCall:
        """Compare the host with its records; *text* is ``drift.sh`` with its calls."""
        return ScriptCall.of("applied", text=text)


class Drift:
    """Compare the host with what the last `up` applied."""

    script = HostScript.DRIFT

    @staticmethod
    def compare(container: str, components: Iterable[str]) -> ScriptCall:
        return ScriptCall.of("compare", container, *components)

    @staticmethod
    def containers(*, socket: str, container: str, components: Iterable[str]) -> ScriptCall:
        return ScriptCall.of("containers", socket, container, *components)

    @staticmethod
    def rules(*, container: str, short_name: str) -> ScriptCall:
        return ScriptCall.of("rules", container, short_name)


class ReadLog:
    """Print the broker's log."""

    script = HostScript.READ_LOG

    @staticmethod
    def sightings(path: str, *, minutes: int, size: int, socket: str, image: str) -> ScriptCall:
        return ScriptCall.of("sightings", path, minutes, size, socket, image)
