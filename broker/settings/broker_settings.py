"""The broker and the host that it runs on, as the stack file says them."""

from __future__ import annotations

from itertools import combinations
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from broker.settings.base_model import (
    FROM_LIST,
    AbsolutePath,
    FileName,
    Folder,
    Generation,
    Name,
    SettingsModel,
    UserName,
    refused,
)
from broker.settings.exposed_port import ExposedPort
from broker.settings.monitoring_settings import Monitoring
from broker.settings.tls_settings import Tls
from broker.settings.validators import (
    check_address,
    check_container_name,
    check_docker_host,
    check_image,
    check_log_size,
    check_recipient,
    check_schedule,
)

# Below this many descriptors beside the clients' own there is no room for listeners, the
# database, the log and the health check's connection.
SPARE_FILES = 100
DEFAULT_SPARE_FILES = 240

RESERVED_PORTS = 11_883
"""The first port that the reserved listener takes where none is named."""

EXPORTER = "exporter"
"""What the exporter's port is called where listeners go by their names."""

LogType = Literal[
    "error", "warning", "notice", "information", "debug", "subscribe", "unsubscribe", "websockets"
]
Protocol = Literal["mqtt", "websockets"]


class Listener(ExposedPort):
    """A port that clients dial."""

    protocol: Protocol = Field(default="mqtt", description="`mqtt`, or `websockets` for browsers.")
    max_connections: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description=(
            "Maximum number of clients on this listener; `limits.maxConnections` by default."
        ),
    )
    tls: Tls | None = Field(default=None, description="Encrypted, with a certificate.")
    plain: bool = Field(
        default=False,
        description=(
            "Confirms that this listener is for clients without TLS, if another listener has TLS."
        ),
    )

    @model_validator(mode="after")
    def _plain_or_not(self) -> Self:
        if self.plain and self.tls is not None:
            raise refused("plain", self.plain, "a listener with tls is not; take one of them out")
        return self

    @property
    def scheme(self) -> str:
        """What a URL of this listener begins with."""
        plain = "mqtt" if self.protocol == "mqtt" else "ws"
        return f"{plain}s" if self.tls else plain


class Folders(SettingsModel):
    """The folders on the host that the container sees."""

    config: Folder = Field(description="Mounted read-only at `/mosquitto/config`.")
    data: Folder = Field(
        description="Mounted at `/mosquitto/data`; kept when the broker is removed."
    )
    log: Folder = Field(description="Mounted at `/mosquitto/log`; kept when the broker is removed.")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        folders = {"config": self.config, "data": self.data, "log": self.log}
        for (one, first), (two, second) in combinations(folders.items(), 2):
            inner, outer = PurePosixPath(first), PurePosixPath(second)
            if inner == outer or inner in outer.parents or outer in inner.parents:
                raise refused(
                    two,
                    second,
                    f"must be apart from {one!r} ({first}), not in it or around it: a change of "
                    "one would reach into the other",
                )
        return self


class Files(SettingsModel):
    """The names of the files in the configuration folder."""

    conf: FileName = Field(default="mosquitto.conf", description="Main configuration.")
    passwords: FileName = Field(default="mosquitto_passwd", description="User names and hashes.")
    acl: FileName = Field(default="mosquitto.acl", description="Access rules.")

    @model_validator(mode="after")
    def _different(self) -> Self:
        taken = ("health", "canary", "logins", "tls")
        names = (self.conf, self.passwords, self.acl, *taken)
        if len(set(names)) < len(names):
            raise refused(
                "",
                f"{self.conf}, {self.passwords}, {self.acl}",
                f"must be three different names, none of them {', '.join(map(repr, taken))}",
            )
        return self


class Owner(SettingsModel):
    """Whom files on the host belong to, in numbers: names differ between host and image."""

    uid: int = Field(default=1883, ge=0, le=4_294_967_294, description="Numeric user id.")
    gid: int = Field(default=1883, ge=0, le=4_294_967_294, description="Numeric group id.")


class Limits(SettingsModel):
    """What a client, or all of them, may use of the broker."""

    max_connections: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description=(
            "Maximum number of clients per listener. Mosquitto 2.0 does not count "
            "WebSocket clients, and no clients after a reload: then `openFiles` is the "
            "limit."
        ),
    )
    max_queued_messages: int = Field(
        default=1000, ge=1, le=10_000_000, description="QoS 1 and 2 messages queued for a client."
    )
    max_inflight_messages: int = Field(
        default=20, ge=1, le=65_535, description="QoS 1 and 2 messages in flight to a client."
    )
    max_packet_size: int = Field(
        default=2_000_000, ge=20, le=268_435_456, description="Largest MQTT packet, in bytes."
    )
    open_files: int | None = Field(
        default=None,
        ge=64,
        le=1_048_576,
        description="File descriptors of the container, so clients in all; "
        f"`maxConnections` + {DEFAULT_SPARE_FILES} where not given.",
    )

    memory: int = Field(
        default=2048, ge=64, le=1_048_576, description="Memory of the container, in MiB; no swap."
    )
    processes: int = Field(
        default=64, ge=16, le=4096, description="Processes and threads of the container."
    )

    @model_validator(mode="after")
    def _files_for_every_client(self) -> Self:
        least = self.max_connections + SPARE_FILES
        if self.open_files is not None and self.open_files < least:
            raise refused(
                "openFiles",
                self.open_files,
                f"must be at least {least}: a descriptor for each of the "
                f"{self.max_connections} connections and {SPARE_FILES} for the broker itself",
            )
        return self

    @property
    def descriptors(self) -> int:
        return self.open_files or self.max_connections + DEFAULT_SPARE_FILES


class Persistence(SettingsModel):
    """When what the broker knows is written to disk; what is newer is lost in a crash."""

    autosave_interval: int = Field(
        default=300, ge=1, le=86_400, description="Seconds, or changes with `autosaveOnChanges`."
    )
    autosave_on_changes: bool = Field(
        default=False, description="Count changes instead of seconds."
    )
    one_way: bool = Field(
        default=False,
        description=(
            "Accept a new image even if the previous one cannot read the database that it writes."
        ),
    )


class Logging(SettingsModel):
    """What is logged, and how much of it is kept."""

    types: Annotated[tuple[LogType, ...], FROM_LIST] = Field(
        default=("error", "warning", "notice", "information"),
        description="Mosquitto's `log_type`s.",
    )
    file: FileName = Field(default="mosquitto.log", description="Name in the log folder.")
    max_size: Annotated[str, AfterValidator(check_log_size)] = Field(
        default="10m",
        description="Size at which Docker rotates its own log; see `keep`.",
    )
    max_files: int = Field(
        default=5, ge=1, le=100, description="Number of files of its own log that Docker keeps."
    )
    keep: int = Field(
        default=14,
        ge=1,
        le=3650,
        description=(
            "Rotated files of the log folder that logrotate keeps, if the host has "
            "logrotate: one per day, and one more when the log is larger than `maxSize`."
        ),
    )
    refused_per_hour: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description=(
            "Refused logins per hour above which `./brokerctl check` and `./brokerctl "
            "refused` fail. Logins of the check itself do not count, for one check per "
            "minute."
        ),
    )
    denied_per_hour: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description=(
            "Denied messages per hour above which `./brokerctl check` fails. They are in "
            "the log only with type `debug`."
        ),
    )

    @field_validator("types")
    @classmethod
    def _some(cls, types: tuple[LogType, ...]) -> tuple[LogType, ...]:
        if not types:
            raise refused("", [], "needs at least one type, such as 'error'")
        return types


class Health(SettingsModel):
    """The check that logs in, as a user who may read one topic and nothing else."""

    user: UserName = Field(default="healthcheck", description="User name of the health check.")
    generation: Generation = Field(
        default="1", description="Change it to rotate the health check's password."
    )
    interval: int = Field(default=30, ge=1, le=3600, description="Seconds between checks.")
    timeout: int = Field(default=5, ge=2, le=300, description="Seconds a check may take.")
    retries: int = Field(default=3, ge=1, le=100, description="Failures before 'unhealthy'.")
    port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Port on the container's loopback (the host's with `network: host`) on which "
        "the broker is asked whether it obeys a change; no client can fill it. The first free one "
        f"from {RESERVED_PORTS} where not given.",
    )


class Passwords(SettingsModel):
    """How passwords are drawn and hashed. Changing a length or alphabet rotates all of them."""

    length: int = Field(default=32, ge=16, le=128, description="Number of characters.")
    special: bool = Field(
        default=False, description="Include punctuation; letters and digits only by default."
    )
    iterations: int = Field(
        default=101,
        ge=1,
        le=1_000_000,
        description="PBKDF2 iterations, computed on every CONNECT in the broker's single thread.",
    )
    supplied_iterations: int = Field(
        default=210_000,
        ge=10_000,
        le=1_000_000,
        description="PBKDF2 iterations of supplied passwords.",
    )
    max_age_days: int | None = Field(
        default=None, ge=1, le=3650, description="A preview warns of a password older than this."
    )


class EnvFileOwner(Owner):
    """Root where nothing is said: Docker and systemd read env files before they drop privileges."""

    uid: int = Field(default=0, ge=0, le=4_294_967_294, description="Numeric user id.")
    gid: int = Field(default=0, ge=0, le=4_294_967_294, description="Numeric group id.")


class EnvFile(SettingsModel):
    """A file on the host from which a service reads how to log in."""

    path: AbsolutePath = Field(description="Written with mode 0600.")
    user: UserName = Field(description="User whose login the file contains.")
    listener: str | None = Field(
        default=None,
        description=(
            "Listener in `MQTT_URL`; by default the first `mqtt` listener that is not on "
            "the loopback."
        ),
    )
    owner: EnvFileOwner = Field(default=EnvFileOwner(), description="Whom the file belongs to.")


class Firewall(SettingsModel):
    """What enforces the listeners' ``allowFrom`` on the host."""

    backend: Literal["auto", "nftables", "iptables", "ufw", "none"] = Field(
        default="auto",
        description=(
            "`nftables`, `iptables`, or `ufw` (ufw's rules, and rules that published "
            "ports obey); `auto` uses ufw if it is active, otherwise nftables if "
            "available, otherwise iptables."
        ),
    )


class Backups(SettingsModel):
    """Where archives of the broker's database and files go, and how many there are."""

    folder: Folder = Field(description="Folder on the host; owned by root, mode 0700.")
    schedule: Annotated[str, AfterValidator(check_schedule)] | None = Field(
        default="30 3 * * *",
        description=(
            "When the host makes a backup: cron's five fields, in the host's time; "
            "`null`: by hand only."
        ),
    )
    keep: int = Field(
        default=14,
        ge=1,
        le=10_000,
        description=(
            "Number of archives to keep; older ones are deleted after a newer one is complete."
        ),
    )
    recipient: Annotated[str, AfterValidator(check_recipient)] | None = Field(
        default=None,
        description=(
            "Public key of age(1), `age1...`: only its identity opens the archives. The "
            "host needs age."
        ),
    )


class Broker(SettingsModel):
    """The broker of one stack."""

    host: Annotated[str, AfterValidator(check_docker_host)] = Field(
        default="unix:///var/run/docker.sock",
        description="Where Docker is: `unix:///...` or `ssh://user@host[:port]`.",
    )
    ssh_config: AbsolutePath | None = Field(
        default=None, description="OpenSSH client configuration; `~/.ssh/config` otherwise."
    )
    become: Literal["sudo", "docker"] = Field(
        default="sudo",
        description=(
            "How a login other than root writes files of another owner: `sudo` without a "
            "password, or `docker`, through a temporary container."
        ),
    )
    address: Annotated[str, AfterValidator(check_address)] = Field(
        description="Host name or IP address that clients connect to."
    )
    container: Annotated[str, AfterValidator(check_container_name)] = Field(
        description="Name of the container."
    )
    image: Annotated[str, AfterValidator(check_image)] = Field(
        default="eclipse-mosquitto:2.0.22", description="Image, with a tag or digest."
    )
    allow_stand_in: bool = Field(
        default=False,
        description=(
            "Run a fallback image built from Debian's packages if `image` cannot be pulled."
        ),
    )
    restart: Literal["no", "on-failure", "always", "unless-stopped"] = Field(
        default="unless-stopped", description="Docker's restart policy."
    )
    check_after_up: bool = Field(
        default=False,
        description=(
            "`./brokerctl up` ends with `./brokerctl check`, and fails if the check fails."
        ),
    )
    stop_grace: int = Field(
        default=30,
        ge=1,
        le=600,
        description="Seconds that the broker has to save its database before it is killed.",
    )
    owner: Owner = Field(
        default=Owner(), description="Whom the broker runs as and its files belong to."
    )
    folders: Folders = Field(description="Folders on the host.")
    files: Files = Field(default=Files(), description="Names in the configuration folder.")
    network: Literal["published", "host"] = Field(
        default="published",
        description=(
            "`published`: a network of its own, with ports published by Docker; `host`: "
            "the host's network."
        ),
    )
    listeners: dict[Name, Listener] = Field(min_length=1, description="By name.")
    firewall: Firewall = Field(default=Firewall(), description="Enforces `allowFrom`.")
    limits: Limits = Field(default=Limits(), description="Tuning.")
    persistence: Persistence = Field(default=Persistence(), description="The database.")
    logging: Logging = Field(default=Logging(), description="Logs.")
    health: Health = Field(default=Health(), description="The container's health check.")
    backups: Backups | None = Field(default=None, description="Made by the host; none if absent.")
    monitoring: Monitoring | None = Field(
        default=None, description="For Prometheus; none if absent."
    )
    passwords: Passwords = Field(default=Passwords(), description="Generated passwords.")
    env_files: Annotated[tuple[EnvFile, ...], FROM_LIST] = Field(
        default=(), description="Env files on the host."
    )

    @model_validator(mode="after")
    def _one_listener_a_port(self) -> Self:
        seen: dict[int, str] = {}
        if self.monitoring is not None and EXPORTER in self.listeners:
            raise refused(
                f"listeners.{EXPORTER}",
                self.listeners[EXPORTER].port,
                "is the name of what 'monitoring' makes; give the listener another",
            )
        for name, gate in self.gates.items():
            if gate.port in seen:
                raise refused(
                    f"{self.path_of(name)}.port",
                    gate.port,
                    f"is the port of listener {seen[gate.port]!r} already; choose another",
                )
            seen[gate.port] = name
        if self.health.port in seen:
            raise refused(
                "health.port",
                self.health.port,
                f"is the port of {seen[self.health.port]!r} already, and the reserved listener "
                "needs one of its own; choose another, or take it out for the first free one",
            )
        if not any(each.scheme == "mqtt" for each in self.listeners.values()):
            raise refused(
                "listeners",
                list(self.listeners),
                "one listener must have protocol 'mqtt' and no tls: the health check uses it. "
                "Where others are to use TLS alone, bind it to 127.0.0.1",
            )
        return self

    @model_validator(mode="after")
    def _version_that_is_kept_to(self) -> Self:
        # libwebsockets, in 2.0, goes on speaking 1.2: tests/integration/test_mosquitto_tls.py.
        tag = self.image.partition("@")[0].rpartition("/")[2].partition(":")[2]
        for name, each in self.listeners.items():
            newest = each.tls is not None and each.tls.minimum_version == "1.3"
            if newest and each.protocol == "websockets" and tag.startswith("2.0"):
                raise refused(
                    f"listeners.{name}.tls.minimumVersion",
                    "1.3",
                    "the WebSockets of Mosquitto 2.0 speak 1.2 whatever is set; take an image of "
                    "2.1, or say '1.2'",
                )
        return self

    @model_validator(mode="after")
    def _backups_apart(self) -> Self:
        if self.backups is None:
            return self
        place = PurePosixPath(self.backups.folder)
        for each in (self.folders.config, self.folders.data, self.folders.log):
            folder = PurePosixPath(each)
            if place == folder or folder in place.parents or place in folder.parents:
                raise refused(
                    "backups.folder",
                    self.backups.folder,
                    f"must be apart from {each}, which the container sees; best on another disk",
                )
        return self

    @model_validator(mode="after")
    def _one_writer_a_file(self) -> Self:
        paths = [each.path for each in self.env_files]
        folders = (self.folders.config, self.folders.data, self.folders.log)
        for index, path in enumerate(paths):
            key = f"envFiles[{index}].path"
            if path in paths[:index]:
                rule = "is written by another entry already; give each its own file"
            elif any(PurePosixPath(each) in PurePosixPath(path).parents for each in folders):
                rule = "lies in a folder that the container sees; put it elsewhere"
            else:
                continue
            raise refused(key, path, rule)
        return self

    @property
    def gates(self) -> dict[str, ExposedPort]:
        """Whatever answers on a port of the host: the listeners, and the exporter."""
        exporter = {} if self.monitoring is None else {EXPORTER: self.monitoring}
        return {**self.listeners, **exporter}

    @property
    def reserved_port(self) -> int:
        """The port of the listener that is kept free for questions about a change."""
        taken = {each.port for each in self.gates.values()}
        return self.health.port or next(
            port for port in range(RESERVED_PORTS, 65_536) if port not in taken
        )

    def path_of(self, gate: str) -> str:
        """Return where below ``broker`` the gate of that name is declared."""
        return f"listeners.{gate}" if gate in self.listeners else "monitoring"

    @property
    def inside(self) -> str:
        """The address at which the container itself reaches its plain listener."""
        _, listener = self.mqtt_listener()
        if self.network == "published" or listener.bound.is_unspecified:
            return "127.0.0.1"
        return listener.bind_address

    def mqtt_listener(self) -> tuple[str, Listener]:
        """Return the first listener that speaks MQTT without TLS, with its name."""
        return next(each for each in self.listeners.items() if each[1].scheme == "mqtt")

    def dialled_listener(self) -> Listener:
        """Return the first MQTT listener that others can reach; the first one where none is."""
        mqtt = [each for each in self.listeners.values() if each.protocol == "mqtt"]
        return next((each for each in mqtt if not each.bound.is_loopback), mqtt[0])

    def password_listener(self) -> Listener:
        """Return the first MQTT listener that takes a password; others' reach before loopback's."""
        _, plain = self.mqtt_listener()
        taking = [
            each
            for each in self.listeners.values()
            if each.protocol == "mqtt" and not (each.tls and each.tls.clients_named)
        ]
        return next((each for each in taking if not each.bound.is_loopback), plain)

    @property
    def tls_listeners(self) -> dict[str, Listener]:
        return {name: each for name, each in self.listeners.items() if each.tls is not None}
