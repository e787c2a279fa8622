"""Settings of the broker and of the host on which it runs."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from broker.settings.backup_settings import Backups
from broker.settings.base_model import (
    FROM_LIST,
    AbsolutePath,
    Generation,
    Name,
    SettingsModel,
    UserName,
    refused,
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

RESERVED_PORTS = 11_883
"""The first port that the reserved listener takes where none is named."""

EXPORTER = "exporter"
"""What the exporter's port is called where listeners go by their names."""


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
        # libwebsockets, in 2.0, goes on speaking 1.2: tests/accepted/test_mosquitto_tls.py.
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
