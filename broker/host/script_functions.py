"""
The functions of the scripts that change the host, with typed arguments.

There is a class for each script and a method for each function of it that this program calls, so a
wrong argument is a type error. The prerequisites of a script are in its lines ``# needs: NAME.sh``,
which ``assemble`` follows. The functions of scripts that only read are in probe_functions.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from broker.host.script_calls import ScriptCall
from broker.host.scripts import HostScript
from broker.settings.file_settings import Owner


def _file_call(function: str, path: str, mode: str, owner: Owner, text: str) -> ScriptCall:
    return ScriptCall.of(function, path, mode, owner.uid, owner.gid, text=text)


def _yes_or_no(value: bool) -> str:  # noqa: FBT001 (how the scripts write a boolean)
    return "yes" if value else "no"


class PutFiles:
    """Install files, all of them or none."""

    script = HostScript.PUT_FILES

    @staticmethod
    def put(path: str, *, mode: str, owner: Owner, text: str) -> ScriptCall:
        return _file_call("put", path, mode, owner, text)


class ClaimHost:
    """Record on the host which Pulumi state manages the broker."""

    script = HostScript.CLAIM_HOST

    @staticmethod
    def claim(*, state: str, deployment: str, expected: str) -> ScriptCall:
        """Set what the record is to say, and as *expected* the two words that it says now."""
        return ScriptCall.of("claim", state, deployment, *expected.split(" ", 1))


class CompleteDeployment:
    """Record on the host that a deployment is complete."""

    script = HostScript.COMPLETE_DEPLOYMENT

    @staticmethod
    def complete(record: str, *, state: str, deployment: str) -> ScriptCall:
        return ScriptCall.of("complete", record, state, deployment)


class LogFile:
    """Create the broker's log file."""

    script = "lib/log_file.sh"

    @staticmethod
    def log_file(path: str, *, mode: str, owner: Owner) -> ScriptCall:
        return ScriptCall.of("log_file", path, mode, owner.uid, owner.gid)


class Database:
    """Read and replace the broker's database."""

    script = "lib/database.sh"

    @staticmethod
    def database(*, container: str, socket: str, image: str, folder: str) -> ScriptCall:
        return ScriptCall.of("database", container, socket, image, folder)


class FormerContainer:
    """Keep a copy of a container while it is replaced."""

    script = "lib/former_container.sh"

    @staticmethod
    def former(*, restart: str, conf: str) -> ScriptCall:
        """Set the restart policy of the container, and the path of its mosquitto.conf."""
        return ScriptCall.of("former", restart, conf)


class MendContainer:
    """Correct what can be corrected of a container without replacing it."""

    script = "lib/mend_container.sh"

    @staticmethod
    def created(
        *,
        socket: str,
        name: str,
        identity: str,
        network: str,
        restart: str,
        memory: int,
        processes: int | None,
    ) -> ScriptCall:
        """Set the container as Pulumi created it; *network* is empty on the host's."""
        limit = "" if processes is None else str(processes)
        return ScriptCall.of("created", socket, name, identity, network, restart, memory, limit)


class Archive:
    """Read and write archives of backups."""

    script = "lib/archive.sh"

    @staticmethod
    def backups(
        folder: str, *, config_folder: str, stack: str, keep: int, recipient: str
    ) -> ScriptCall:
        """Set the folder of the archives; *recipient* is empty for plain archives."""
        return ScriptCall.of("backups", folder, config_folder, stack, keep, recipient)

    @staticmethod
    def identity(text: str) -> ScriptCall:
        return ScriptCall.of("identity", text=text)


class ApplyConfiguration:
    """Install the configuration files and reload the broker."""

    script = HostScript.APPLY_CONFIGURATION

    @staticmethod
    def lock(path: str) -> ScriptCall:
        return ScriptCall.of("lock", path)

    @staticmethod
    def broker(container: str, *, socket: str, port: int, folder: str, conf: str) -> ScriptCall:
        """Set the broker, for a script that does not wait for a reload."""
        return ScriptCall.of("broker", container, socket, port, folder, conf)

    @staticmethod
    def reloaded_broker(
        container: str,
        *,
        socket: str,
        port: int,
        folder: str,
        conf: str,
        passwords: str,
        seconds: int,
    ) -> ScriptCall:
        """Set the broker, its password file, and the time that a reload may take."""
        return ScriptCall.of("broker", container, socket, port, folder, conf, passwords, seconds)

    @staticmethod
    def retreat(*, acl: str, logins: str, canary: str, health_user: str, text: str) -> ScriptCall:
        """Set what a rollback installs: file names, and the login of the canary after it."""
        return ScriptCall.of("retreat", acl, logins, canary, health_user, text=text)

    @staticmethod
    def image(name: str) -> ScriptCall:
        return ScriptCall.of("image", name)


class AwaitReady:
    """Wait until the broker answers."""

    script = HostScript.AWAIT_READY

    @staticmethod
    def broker(address: str, *, port: int, seconds: int, processes: int) -> ScriptCall:
        return ScriptCall.of("broker", address, port, seconds, processes)


class Backup:
    """Make a backup."""

    script = HostScript.BACKUP

    @staticmethod
    def password_file(name: str) -> ScriptCall:
        return ScriptCall.of("password_file", name)


class PrepareReplacement:
    """Check that the new container can read the database of the former one."""

    script = HostScript.PREPARE_REPLACEMENT

    @staticmethod
    def guard(digest: str, *, one_way: bool) -> ScriptCall:
        return ScriptCall.of("guard", digest, _yes_or_no(one_way))

    @staticmethod
    def rehearse_start(network: str, options: Iterable[str]) -> ScriptCall:
        """Set the *options* of `docker create` for the next container; they have no line break."""
        return ScriptCall.of("rehearse_start", network, *options)

    @staticmethod
    def take_over(*, stack: str, config_folder: str, seconds: int) -> ScriptCall:
        """Stop and remove the container afterwards, within *seconds*."""
        return ScriptCall.of("take_over", stack, config_folder, seconds)


class Certificates:
    """Issue and install the certificates of the listeners."""

    script = HostScript.CERTIFICATES

    @staticmethod
    def certificates(folder: str, *, owner: Owner, grace: int) -> ScriptCall:
        return ScriptCall.of("certificates", folder, owner.uid, owner.gid, grace)

    @staticmethod
    def authority() -> ScriptCall:
        return ScriptCall.of("authority")

    @staticmethod
    def own(
        name: str, *, address: str, port: int, days: int, renew_before: int, subject_names: str
    ) -> ScriptCall:
        return ScriptCall.of("own", name, address, port, days, renew_before, subject_names)

    @staticmethod
    def given(
        name: str, *, address: str, port: int, certificate: str, key: str, ca: str
    ) -> ScriptCall:
        return ScriptCall.of("given", name, address, port, certificate, key, ca)

    @staticmethod
    def supplied(name: str, *, address: str, port: int, text: str) -> ScriptCall:
        return ScriptCall.of("supplied", name, address, port, text=text)

    @staticmethod
    def clients(name: str, *, ca: str) -> ScriptCall:
        """Set the CA of the clients of a listener; empty for the stack's own."""
        return ScriptCall.of("clients", name, ca)


class DeleteFiles:
    """Delete the files that the broker wrote."""

    script = HostScript.DELETE_FILES

    @staticmethod
    def erase(*, socket: str, image: str) -> ScriptCall:
        return ScriptCall.of("erase", socket, image)

    @staticmethod
    def folder(path: str, patterns: Iterable[str]) -> ScriptCall:
        return ScriptCall.of("folder", path, *patterns)


class EnvFile:
    """Write an env file."""

    script = HostScript.ENV_FILE

    @staticmethod
    def env_file(path: str, *, mode: str, owner: Owner, text: str) -> ScriptCall:
        return _file_call("env_file", path, mode, owner, text)


class Firewall:
    """Apply the firewall rules."""

    script = HostScript.FIREWALL

    @staticmethod
    def firewall(
        *,
        backend: Literal["nftables", "iptables", "ufw"],
        rules: Literal["nftables", "iptables"],
        container: str,
        short_name: str,
        unit: str,
    ) -> ScriptCall:
        return ScriptCall.of("firewall", backend, rules, container, short_name, unit)

    @staticmethod
    def unit(path: str, *, mode: str, owner: Owner, text: str) -> ScriptCall:
        return _file_call("unit", path, mode, owner, text)

    @staticmethod
    def ufw_rule(rule: str) -> ScriptCall:
        return ScriptCall.of("ufw_rule", *rule.split())


class Folders:
    """Create the folders of the broker."""

    script = HostScript.FOLDERS

    @staticmethod
    def broker(container: str, *, socket: str, image: str, seconds: int) -> ScriptCall:
        """Name the container that is stopped before its data folder gets another owner."""
        return ScriptCall.of("broker", container, socket, image, seconds)

    @staticmethod
    def folder(
        kind: Literal["ours", "kept"],
        path: str,
        *,
        mode: str,
        uid: int,
        gid: int,
        names: Iterable[str],
    ) -> ScriptCall:
        """Create a folder; a removal deletes ``ours``. *names* are patterns of allowed files."""
        return ScriptCall.of("folder", kind, path, mode, uid, gid, *names)


class Leftovers:
    """Report what a removed broker left on its host."""

    script = HostScript.LEFTOVERS

    @staticmethod
    def removed(*, socket: str, image: str) -> ScriptCall:
        return ScriptCall.of("removed", socket, image)

    @staticmethod
    def container(name: str) -> ScriptCall:
        return ScriptCall.of("container", name)

    @staticmethod
    def network(name: str) -> ScriptCall:
        return ScriptCall.of("network", name)

    @staticmethod
    def file(path: str) -> ScriptCall:
        return ScriptCall.of("file", path)

    @staticmethod
    def env_file(path: str, *, mark: str) -> ScriptCall:
        """Report the file if its first line is *mark*."""
        return ScriptCall.of("env_file", path, mark)

    @staticmethod
    def rules(container: str, *, short_name: str) -> ScriptCall:
        return ScriptCall.of("rules", container, short_name)


class Logrotate:
    """Install the file for logrotate."""

    script = HostScript.LOGROTATE

    @staticmethod
    def rotated(log: str, path: str, *, mode: str, owner: Owner, text: str) -> ScriptCall:
        return ScriptCall.of("rotated", log, path, mode, owner.uid, owner.gid, text=text)


class NodeExporterMetrics:
    """Write the metrics for node_exporter."""

    script = HostScript.NODE_EXPORTER_METRICS

    @staticmethod
    def textfile(file: str, *, container: str, image: str) -> ScriptCall:
        return ScriptCall.of("textfile", file, container, image)

    @staticmethod
    def limits(*, clients: int, refused: int) -> ScriptCall:
        return ScriptCall.of("limits", clients, refused)

    @staticmethod
    def container(*, socket: str, name: str) -> ScriptCall:
        return ScriptCall.of("container", socket, name)

    @staticmethod
    def log(path: str, *, memory: str) -> ScriptCall:
        """Count lines of the log at *path* in the container; *memory* is a file on the host."""
        return ScriptCall.of("log", path, memory)

    @staticmethod
    def backups(folder: str, *, seconds: int, container: str) -> ScriptCall:
        return ScriptCall.of("backups", folder, seconds, container)

    @staticmethod
    def certificate(listener: str, *, path: str) -> ScriptCall:
        return ScriptCall.of("certificate", listener, path)


class PasswordAges:
    """Remember since when each password has its generation."""

    script = HostScript.PASSWORD_AGES

    @staticmethod
    def generations(text: str) -> ScriptCall:
        return ScriptCall.of("generations", text=text)


class RemoveOrphan:
    """Remove a container without data, or a network, that Pulumi is about to create."""

    script = HostScript.REMOVE_ORPHAN

    @staticmethod
    def container(*, socket: str, name: str, stack: str, folder: str) -> ScriptCall:
        return ScriptCall.of("orphan_container", socket, name, stack, folder)

    @staticmethod
    def network(*, socket: str, name: str, bridge: str) -> ScriptCall:
        return ScriptCall.of("orphan_network", socket, name, bridge)


class Restart:
    """Restart the broker."""

    script = HostScript.RESTART

    @staticmethod
    def restart(*, seconds: int) -> ScriptCall:
        return ScriptCall.of("restart", seconds)


class Restore:
    """Restore a backup."""

    script = HostScript.RESTORE

    @staticmethod
    def restore(*, seconds: int, foreign: bool) -> ScriptCall:
        return ScriptCall.of("restore", seconds, _yes_or_no(foreign))


class Schedule:
    """Install a scheduled script."""

    script = HostScript.SCHEDULE

    @staticmethod
    def schedule(name: str, *, setting: str, command: str) -> ScriptCall:
        return ScriptCall.of("schedule", name, setting, command)

    @staticmethod
    def written(path: str, *, socket: str, image: str) -> ScriptCall:
        return ScriptCall.of("written", path, socket, image)

    @staticmethod
    def unit(path: str, *, mode: str, owner: Owner, text: str) -> ScriptCall:
        return _file_call("unit", path, mode, owner, text)

    @staticmethod
    def cron(path: str, *, mode: str, owner: Owner, text: str) -> ScriptCall:
        return _file_call("cron", path, mode, owner, text)


class SignCertificate:
    """Sign a client's request."""

    script = HostScript.SIGN_CERTIFICATE

    @staticmethod
    def sign(folder: str, *, days: int, request: str) -> ScriptCall:
        return ScriptCall.of("sign", folder, days, text=request)


class VerifyBackup:
    """Verify an archive in a separate broker."""

    script = HostScript.VERIFY_BACKUP

    @staticmethod
    def archive(path: str) -> ScriptCall:
        return ScriptCall.of("archive", path)

    @staticmethod
    def files(*, passwords: str, acl: str, options: str) -> ScriptCall:
        return ScriptCall.of("files", passwords, acl, options)
