"""Settings of the broker and of the host on which it runs."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from broker.settings.backup_settings import Backups
from broker.settings.base_model import (
    FROM_LIST,
    AbsolutePath,
    Generation,
    Name,
    SettingsModel,
    UserName,
    rule_error,
)
from broker.settings.exposed_port import ExposedPort
from broker.settings.file_settings import EnvFile, Files, Folders, Owner
from broker.settings.limit_settings import Limits
from broker.settings.listener_settings import Listener
from broker.settings.logging_settings import Logging
from broker.settings.monitoring_settings import Monitoring
from broker.settings.password_settings import Passwords
from broker.settings.validators import (
    check_address,
    check_container_name,
    check_docker_host,
    check_image,
)

FIRST_RESERVED_PORT = 11_883
"""The reserved listener takes the first free port from here, unless ``health.port`` is set."""

EXPORTER = "exporter"
"""Name of the exporter's port among the names of the listeners."""


class Persistence(SettingsModel):
    """When the broker saves its database; a crash loses later changes."""

    autosave_interval: int = Field(
        default=300,
        ge=1,
        le=86_400,
        description="Seconds between saves, or changes with `autosaveOnChanges`.",
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


class Health(SettingsModel):
    """The container's health check: it logs in as a user that may read one topic."""

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
        description="Port of the reserved listener, through which an `up` verifies a change even "
        "if clients take up all other connections. It is on the container's loopback, or on the "
        f"host's with `network: host`. By default the first free port from {FIRST_RESERVED_PORT}.",
    )


class Firewall(SettingsModel):
    """The firewall that enforces ``allowFrom`` on the host."""

    backend: Literal["auto", "nftables", "iptables", "ufw", "none"] = Field(
        default="auto",
        description=(
            "`nftables`, `iptables`, or `ufw` (rules of ufw, and rules for the ports that "
            "Docker publishes); `auto` uses ufw if it is active, otherwise nftables if "
            "available, otherwise iptables."
        ),
    )


class Broker(SettingsModel):
    """The broker of one stack, its container and its host."""

    host: Annotated[str, AfterValidator(check_docker_host)] = Field(
        default="unix:///var/run/docker.sock",
        description="Address of the Docker daemon: `unix:///...` or `ssh://user@host[:port]`.",
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
        default=Owner(), description="User and group of the broker's process and files."
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
    listeners: dict[Name, Listener] = Field(
        min_length=1,
        description=(
            "By name. Where one is chosen (health check, env files, commands), the first by name "
            "that fits."
        ),
    )
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
    def _ports_differ(self) -> Self:
        names_by_port: dict[int, str] = {}
        if self.monitoring is not None and EXPORTER in self.listeners:
            raise rule_error(
                f"listeners.{EXPORTER}",
                self.listeners[EXPORTER].port,
                "is reserved for the exporter of 'monitoring'; rename the listener",
            )
        for name, exposed in self.exposed_ports.items():
            if exposed.port in names_by_port:
                raise rule_error(
                    f"{self.port_path(name)}.port",
                    exposed.port,
                    f"is the port of listener {names_by_port[exposed.port]!r} already; choose "
                    "another",
                )
            names_by_port[exposed.port] = name
        if self.health.port in names_by_port:
            raise rule_error(
                "health.port",
                self.health.port,
                f"is the port of {names_by_port[self.health.port]!r} already, and the reserved "
                "listener needs its own; choose another, or remove the key for the first free one",
            )
        if not any(listener.scheme == "mqtt" for listener in self.listeners.values()):
            raise rule_error(
                "listeners",
                list(self.listeners),
                "one listener must have protocol 'mqtt' and no tls: the health check uses it. "
                "To require TLS of all other clients, bind that listener to 127.0.0.1",
            )
        return self

    @model_validator(mode="after")
    def _minimum_version_is_enforced(self) -> Self:
        # libwebsockets in 2.0 accepts TLS 1.2 regardless: tests/integration/test_mosquitto_tls.py.
        for name, listener in self.listeners.items():
            newest = listener.tls is not None and listener.tls.minimum_version == "1.3"
            if newest and listener.protocol == "websockets" and self.is_2_0:
                raise rule_error(
                    f"listeners.{name}.tls.minimumVersion",
                    "1.3",
                    "WebSocket listeners of Mosquitto 2.0 accept TLS 1.2 regardless; use an image "
                    "of 2.1, or set '1.2'",
                )
        return self

    @model_validator(mode="after")
    def _backups_outside_the_container(self) -> Self:
        if self.backups is None:
            return self
        archives = PurePosixPath(self.backups.folder)
        for mounted in (self.folders.config, self.folders.data, self.folders.log):
            folder = PurePosixPath(mounted)
            if archives == folder or folder in archives.parents or archives in folder.parents:
                raise rule_error(
                    "backups.folder",
                    self.backups.folder,
                    f"must be separate from {mounted}, which is mounted in the container; choose "
                    "a folder outside it, preferably on another disk",
                )
        return self

    @field_validator("listeners")
    @classmethod
    def _listeners_by_name(cls, listeners: dict[str, Listener]) -> dict[str, Listener]:
        """
        Sort the listeners by name, as Pulumi passes them to the program.

        The first one that fits is the one of the health check, of env files and of commands.
        """
        return dict(sorted(listeners.items()))

    @model_validator(mode="after")
    def _env_file_paths_differ(self) -> Self:
        paths = [file.path for file in self.env_files]
        folders = (self.folders.config, self.folders.data, self.folders.log)
        for index, path in enumerate(paths):
            key = f"envFiles[{index}].path"
            if path in paths[:index]:
                rule = "is the path of another entry already; give each entry its own file"
            elif any(PurePosixPath(folder) in PurePosixPath(path).parents for folder in folders):
                rule = "is in a folder that is mounted in the container; choose another folder"
            else:
                continue
            raise rule_error(key, path, rule)
        return self

    @property
    def is_2_0(self) -> bool:
        """Whether the image's tag is one of the release line 2.0."""
        tag = self.image.partition("@")[0].rpartition("/")[2].partition(":")[2]
        return tag.startswith("2.0")

    @property
    def exposed_ports(self) -> dict[str, ExposedPort]:
        """The listeners and, if there is one, the exporter, by name."""
        exporter = {} if self.monitoring is None else {EXPORTER: self.monitoring}
        return {**self.listeners, **exporter}

    @property
    def reserved_port(self) -> int:
        """The port of the listener through which a change is verified."""
        taken = {exposed.port for exposed in self.exposed_ports.values()}
        return self.health.port or next(
            port for port in range(FIRST_RESERVED_PORT, 65_536) if port not in taken
        )

    def port_path(self, name: str) -> str:
        """Return the path, relative to ``broker``, of a name of ``exposed_ports``."""
        return f"listeners.{name}" if name in self.listeners else "monitoring"

    @property
    def address_in_container(self) -> str:
        """The address of the plain MQTT listener as the container itself reaches it."""
        _, listener = self.mqtt_listener()
        if self.network == "published" or listener.bound.is_unspecified:
            return "127.0.0.1"
        return listener.bind_address

    def mqtt_listener(self) -> tuple[str, Listener]:
        """Return name and settings of the first MQTT listener without TLS."""
        return next(
            (name, listener)
            for name, listener in self.listeners.items()
            if listener.scheme == "mqtt"
        )

    def dialled_listener(self) -> Listener:
        """Return the first MQTT listener that is not on the loopback, or the first one."""
        mqtt = [listener for listener in self.listeners.values() if listener.protocol == "mqtt"]
        return next((listener for listener in mqtt if not listener.bound.is_loopback), mqtt[0])

    def password_listener(self) -> Listener:
        """
        Return the first MQTT listener to which a password alone gives access.

        A listener on the loopback is returned only if there is no other.
        """
        _, plain = self.mqtt_listener()
        candidates = [
            listener
            for listener in self.listeners.values()
            if listener.protocol == "mqtt"
            and not (listener.tls and listener.tls.requires_client_certificate)
        ]
        return next((listener for listener in candidates if not listener.bound.is_loopback), plain)

    @property
    def tls_listeners(self) -> dict[str, Listener]:
        return {
            name: listener for name, listener in self.listeners.items() if listener.tls is not None
        }
