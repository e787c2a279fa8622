"""The folders and files on the host with their owners, and the script calls that create them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from broker.host.facts import HostFacts
from broker.host.probe_functions import Probe
from broker.host.script_calls import ScriptCall
from broker.host.script_functions import (
    ApplyConfiguration,
    AwaitReady,
    Database,
    DeleteFiles,
    EnvFile,
    Folders,
    FormerContainer,
    LogFile,
    MendContainer,
    PrepareReplacement,
    PutFiles,
)
from broker.mosquitto.acl_file import HEALTH_TOPIC
from broker.mosquitto.canary import NAME as CANARY
from broker.mosquitto.canary import canary_password, passwd_line
from broker.mosquitto.mosquitto_conf import CONFIG_DIR, DATA_DIR, LOG_DIR, TLS_DIR
from broker.settings.broker_settings import Broker
from broker.settings.file_settings import Owner

STATE_ROOT = "/etc/sentient-mqtt"
UNITS = "/etc/systemd/system"
ROOT = Owner(uid=0, gid=0)

CANARY_DIR = "canary"
"""Below the configuration folder: the login for the check after a change."""

CANARY_FILE = f"{CANARY_DIR}/mosquitto_pub"

LOGINS_FILE = "logins"
"""Below the configuration folder: the stamp of each login, which the next preview compares."""

HEALTH_DIR = "health"
"""Below the configuration folder: the login for the health check's ``mosquitto_sub``."""

# Owner and group are the broker's, and no other user may read: Mosquitto warns otherwise.
FOLDER_MODE = "0750"
FILE_MODE = "0600"

READY_SECONDS = 60

RELOAD_SECONDS = 60
"""How long a broker may not answer after a reload, while it hashes the password of every client.

About 45 clients with external passwords take 12 seconds (docs/explanation/decisions/0012).
"""


def folder_of(broker: Broker) -> str:
    """Return the host's folder for rules, scripts and the CA, outside the declared folders."""
    return f"{STATE_ROOT}/{broker.container}"


def lock_file(broker: Broker) -> str:
    """Return the file that prevents two changes of the configuration at the same time."""
    return f"/run/sentient-mqtt-{broker.container}.lock"


@dataclass(frozen=True, kw_only=True)
class HostFile:
    """A file on the host with its whole text."""

    path: str
    owner: Owner
    text: str
    mode: str = FILE_MODE

    def call(self, function: Literal["put", "env_file"] = "put") -> ScriptCall:
        """
        Return the call that installs the file, of ``host/lib/put_files.sh`` or
        ``host/commands/env_file.sh``.
        """
        call = PutFiles.put if function == "put" else EnvFile.env_file
        return call(self.path, mode=self.mode, owner=self.owner, text=self.text)


def folder_calls(broker: Broker, socket: str, image: str) -> list[ScriptCall]:
    """
    Return the calls of ``host/commands/folders.sh``; folders that a removal keeps come last.

    A container of *image* changes the owner of the data.

    Root owns the folders of configuration and log: the broker's user can read and write the files
    in them but not replace them. The broker owns the data folder, because it renames files there.
    """
    names = {**_names_in_config(broker), **written_names(broker)}
    return [
        Folders.broker(broker.container, socket=socket, image=image, seconds=broker.stop_grace),
        *(
            Folders.folder(
                kind,
                path,
                mode=FOLDER_MODE,
                uid=uid,
                gid=broker.owner.gid,
                names=names.get(path, ()),
            )
            for kind, path, uid in _folders(broker)
        ),
        log_file_call(broker),
    ]


def _folders(broker: Broker) -> tuple[tuple[Literal["ours", "kept"], str, int], ...]:
    folders = broker.folders
    return (
        ("ours", folders.config, 0),
        ("ours", f"{folders.config}/{HEALTH_DIR}", 0),
        ("ours", f"{folders.config}/{CANARY_DIR}", 0),
        ("kept", folders.data, broker.owner.uid),
        ("kept", folders.log, 0),
    )


def log_file_call(broker: Broker) -> ScriptCall:
    """Return the call of ``host/lib/log_file.sh``: the broker can't create the log file itself."""
    path = f"{broker.folders.log}/{broker.logging.file}"
    return LogFile.log_file(path, mode=FILE_MODE, owner=broker.owner)


def folder_probes(broker: Broker) -> Iterator[ScriptCall]:
    """Yield the calls of ``host/commands/probe.sh`` that inspect the folders."""
    names = {**_names_in_config(broker), **written_names(broker)}
    declared = (broker.folders.config, broker.folders.data, broker.folders.log)
    for _, path, uid in _folders(broker):
        if path in declared:
            yield Probe.folder(
                path, mode=FOLDER_MODE, uid=uid, gid=broker.owner.gid, names=names.get(path, ())
            )
    if broker.backups is not None:
        yield Probe.folder(
            broker.backups.folder, mode="0700", uid="archives", gid=0, names=NAMES_IN_BACKUPS
        )


NAMES_IN_BACKUPS = (
    *("*.tar.gz", "*.tar.gz.age", "*.tgz", "before-restore-*", ".lock", ".partial*", ".stage*"),
    *(".verified-*", ".drilled-*", ".filled-*"),
)
"""The only files that a folder may contain before it is used for archives."""


def file_names_in_config(broker: Broker) -> tuple[str, ...]:
    """Return the names of the files and folders of this program in the configuration folder."""
    files = broker.files
    return (
        *(files.conf, files.passwords, files.acl, LOGINS_FILE),
        *(HEALTH_DIR, CANARY_DIR, TLS_DIR),
    )


def _names_in_config(broker: Broker) -> dict[str, tuple[str, ...]]:
    """Return the names of a broker's files, as shell patterns, by configuration folder."""
    folder = broker.folders.config
    return {
        folder: (*file_names_in_config(broker), ".candidate", "*.sentient-mqtt-*"),
        f"{folder}/{HEALTH_DIR}": ("mosquitto_sub*",),
        f"{folder}/{CANARY_DIR}": ("mosquitto_pub*",),
    }


def written_names(broker: Broker) -> dict[str, tuple[str, ...]]:
    """Return the names of the files that broker and scripts write, as patterns, by folder."""
    log = broker.logging.file
    return {
        broker.folders.data: (
            *("mosquitto.db", "mosquitto.db.*", ".before-start", ".before-write", ".rehearsal"),
            *(".backup", ".backup-rehearsal", ".incoming"),
        ),
        broker.folders.log: (log, f"{log}.[0-9]*", f"{log}-[0-9]*"),
    }


def erase_calls(broker: Broker, socket: str, image: str) -> list[ScriptCall]:
    """Return the calls of ``delete_files.sh``; a container of *image* deletes the files."""
    return [
        DeleteFiles.erase(socket=socket, image=image),
        *(DeleteFiles.folder(path, names) for path, names in written_names(broker).items()),
    ]


def configuration_files(
    broker: Broker,
    *,
    conf: str,
    acl: str,
    passwd: str,
    health_password: str,
    seed: str,
    stamps: Mapping[str, str],
    revision: str = "1",
) -> list[HostFile]:
    """
    Return the files that the broker reads, in the order in which they are installed.

    The ACL comes before the passwords: a broker that starts between the two renames must not
    accept a new user without the user's rules (host/commands/apply_configuration.sh deletes removed
    users first). mosquitto.conf comes last, because it names the other files. *seed* is the seed of
    the salts; the canary's password is derived from it, from all texts, and from a *revision* other
    than 1: a broker that has read other files in between has to prove that it has read these again.
    """
    folder = broker.folders.config
    again = () if revision == "1" else (revision,)
    canary = canary_password(seed, conf, acl, passwd, health_password, *again)
    line = passwd_line(seed, canary, broker.passwords.iterations)
    texts = {
        broker.files.acl: acl,
        broker.files.passwords: passwd + line,
        f"{HEALTH_DIR}/mosquitto_sub": render_options(broker.health.user, health_password),
        CANARY_FILE: render_options(CANARY, canary),
        LOGINS_FILE: "".join(f"{name} {stamp}\n" for name, stamp in sorted(stamps.items())),
        broker.files.conf: conf,
    }
    return [
        HostFile(path=f"{folder}/{name}", owner=broker.owner, text=text)
        for name, text in texts.items()
    ]


def render_options(user: str, password: str) -> str:
    """Return the text of an options file for a client (mosquitto_sub(1), "Files")."""
    return f"-u {user}\n-P {password}\n"


def apply_calls(broker: Broker, socket: str, image: str, files: list[HostFile]) -> list[ScriptCall]:
    """Return the calls of put_files.sh and apply_configuration.sh."""
    _, listener = broker.mqtt_listener()
    return [
        ApplyConfiguration.lock(lock_file(broker)),
        ApplyConfiguration.reloaded_broker(
            broker.container,
            socket=socket,
            port=listener.port,
            folder=broker.folders.config,
            conf=broker.files.conf,
            passwords=broker.files.passwords,
            seconds=RELOAD_SECONDS,
        ),
        _rollback_call(broker, files),
        ApplyConfiguration.image(image),
        *(file.call() for file in files),
    ]


def _rollback_call(broker: Broker, files: list[HostFile]) -> ScriptCall:
    # After a rollback the canary has a different password, derived from that in the files.
    (options,) = (file.text for file in files if file.path.endswith(f"/{CANARY_FILE}"))
    password = canary_password(options, "retreat")
    return ApplyConfiguration.retreat(
        acl=broker.files.acl,
        logins=LOGINS_FILE,
        canary=CANARY_FILE,
        health_user=broker.health.user,
        text=passwd_line(options, password, broker.passwords.iterations)
        + render_options(CANARY, password),
    )


def database_call(broker: Broker, socket: str, image: str) -> ScriptCall:
    """Return the call of ``host/lib/database.sh``."""
    return Database.database(
        container=broker.container, socket=socket, image=image, folder=broker.folders.data
    )


def guard_call(broker: Broker, digest: str) -> ScriptCall:
    """
    Return the call of ``host/commands/prepare_replacement.sh`` about the database.

    *digest* is the label of the new container.
    """
    return PrepareReplacement.guard(digest, one_way=broker.persistence.one_way)


def guard_calls(broker: Broker, socket: str, image: str, digest: str) -> list[ScriptCall]:
    """Return the calls of ``host/commands/prepare_replacement.sh`` before a replacement."""
    return [
        database_call(broker, socket, image),
        guard_call(broker, digest),
        _former_call(broker),
        PrepareReplacement.rehearse_start(
            "host" if broker.network == "host" else broker.container, rehearsal_options(broker)
        ),
    ]


def rehearsal_options(broker: Broker) -> list[str]:
    """
    Return options of `docker create` with which the container is rehearsed before it is replaced.

    They are those of components/container.py without name, ports, labels and health check, and the
    folders are read-only: two brokers must never write one database.
    """
    folders, limits, logging = broker.folders, broker.limits, broker.logging
    mounts = ((folders.config, CONFIG_DIR), (folders.data, DATA_DIR), (folders.log, LOG_DIR))
    return [
        f"--user={broker.owner.uid}:{broker.owner.gid}",
        *("--read-only", "--init", "--cap-drop=ALL", "--security-opt=no-new-privileges:true"),
        *(f"--env={variable}" for variable in health_environment()),
        *(f"--volume={path}:{inside}:ro" for path, inside in mounts),
        f"--ulimit=nofile={limits.descriptors}:{limits.descriptors}",
        f"--memory={limits.memory}m",
        f"--memory-swap={limits.memory}m",
        "--stop-signal=SIGTERM",
        f"--stop-timeout={broker.stop_grace}",
        "--log-driver=json-file",
        f"--log-opt=max-size={logging.max_size}",
        f"--log-opt=max-file={logging.max_files}",
    ]


def bring_back_calls(broker: Broker, socket: str, image: str) -> list[ScriptCall]:
    """Return the calls of ``host/commands/bring_back.sh``."""
    return [
        database_call(broker, socket, image),
        _former_call(broker),
    ]


def _former_call(broker: Broker) -> ScriptCall:
    conf = f"{broker.folders.config}/{broker.files.conf}"
    return FormerContainer.former(restart=broker.restart, conf=conf)


def published_ports(broker: Broker, facts: HostFacts) -> list[tuple[int, str]]:
    """
    Return the ports with the addresses on which Docker publishes them.

    For Docker `::` is IPv6 only, so it becomes two addresses. They are in the order that Docker
    reports for the running container, because a different order would replace the container, and
    Docker 20.10 reports them reversed.
    """
    both = ["0.0.0.0", "::"]  # noqa: S104 (what `::` means in a stack file)
    reported = facts.published_addresses(broker.container)
    if set(both) <= set(reported):
        both.sort(key=reported.index)
    return [
        (listener.port, address)
        for listener in sorted(broker.listeners.values(), key=lambda listener: listener.port)
        for address in (both if listener.bind_address == "::" else [listener.bind_address])
    ]


def ports_on_host(broker: Broker, *, reserved: bool) -> list[int]:
    """Return the ports on which the broker listens, if it is in the host's network."""
    on_loopback = [broker.reserved_port] if reserved and broker.network == "host" else []
    return [*(listener.port for listener in broker.listeners.values()), *on_loopback]


def ready_call(broker: Broker) -> ScriptCall:
    """Return the call of ``host/commands/await_ready.sh`` about the broker."""
    _, listener = broker.mqtt_listener()
    return AwaitReady.broker(
        broker.address_in_container,
        port=listener.port,
        seconds=READY_SECONDS,
        processes=broker.limits.processes,
    )


def ready_calls(broker: Broker, socket: str, image: str, identity: str) -> list[ScriptCall]:
    """Return the calls of ``host/commands/await_ready.sh`` for the container with that id."""
    return [
        *bring_back_calls(broker, socket, image),
        MendContainer.created(
            socket=socket,
            name=broker.container,
            identity=identity,
            network=broker.container if broker.network == "published" else "",
            restart=broker.restart,
            memory=broker.limits.memory,
            processes=broker.limits.processes,
        ),
        ready_call(broker),
    ]


def health_environment() -> list[str]:
    """Return the container's environment: the folder of the options file, and no secret."""
    return [f"XDG_CONFIG_HOME={CONFIG_DIR}/{HEALTH_DIR}"]


def health_test(broker: Broker) -> list[str]:
    """Return Docker's ``HEALTHCHECK`` command: log in and receive one message."""
    _, listener = broker.mqtt_listener()
    wait = str(max(1, broker.health.timeout - 1))
    return [
        *("CMD", "mosquitto_sub", "-h", broker.address_in_container, "-p", str(listener.port)),
        *("-t", HEALTH_TOPIC, "-C", "1", "-W", wait, "-I", "health-"),
    ]
