"""Settings of files on the host: folders, file names, owners and env files."""

from __future__ import annotations

from itertools import combinations
from pathlib import PurePosixPath
from typing import Self

from pydantic import Field, model_validator

from broker.settings.base_model import (
    AbsolutePath,
    FileName,
    Folder,
    SettingsModel,
    UserName,
    rule_error,
)


class Folders(SettingsModel):
    """The folders on the host that are mounted in the container."""

    config: Folder = Field(description="Mounted read-only at `/mosquitto/config`.")
    data: Folder = Field(
        description="Mounted at `/mosquitto/data`; kept when the broker is removed."
    )
    log: Folder = Field(description="Mounted at `/mosquitto/log`; kept when the broker is removed.")

    @model_validator(mode="after")
    def _not_nested(self) -> Self:
        folders = {"config": self.config, "data": self.data, "log": self.log}
        for (first_key, first), (second_key, second) in combinations(folders.items(), 2):
            first_path, second_path = PurePosixPath(first), PurePosixPath(second)
            if (
                first_path == second_path
                or first_path in second_path.parents
                or second_path in first_path.parents
            ):
                raise rule_error(
                    second_key,
                    second,
                    f"must be separate from {first_key!r} ({first}), neither in it nor above it: "
                    "a change of one folder would change the other",
                )
        return self


class Files(SettingsModel):
    """The names of the files in the configuration folder."""

    conf: FileName = Field(default="mosquitto.conf", description="Main configuration.")
    passwords: FileName = Field(default="mosquitto_passwd", description="User names and hashes.")
    acl: FileName = Field(default="mosquitto.acl", description="Access rules.")

    @model_validator(mode="after")
    def _different(self) -> Self:
        reserved = ("health", "canary", "logins", "tls")
        names = (self.conf, self.passwords, self.acl, *reserved)
        if len(set(names)) < len(names):
            raise rule_error(
                "",
                f"{self.conf}, {self.passwords}, {self.acl}",
                f"must be three different names, none of them {', '.join(map(repr, reserved))}",
            )
        return self


class Owner(SettingsModel):
    """Owner of files on the host, as numeric ids: names differ between host and image."""

    uid: int = Field(default=1883, ge=0, le=4_294_967_294, description="Numeric user id.")
    gid: int = Field(default=1883, ge=0, le=4_294_967_294, description="Numeric group id.")


class EnvFileOwner(Owner):
    """Owner of an env file; root by default, as Docker and systemd read env files as root."""

    uid: int = Field(default=0, ge=0, le=4_294_967_294, description="Numeric user id.")
    gid: int = Field(default=0, ge=0, le=4_294_967_294, description="Numeric group id.")


class EnvFile(SettingsModel):
    """A file on the host with the login that a service uses."""

    path: AbsolutePath = Field(description="Written with mode 0600.")
    user: UserName = Field(description="User whose login the file contains.")
    listener: str | None = Field(
        default=None,
        description=(
            "Listener in `MQTT_URL`; by default the first `mqtt` listener that is not on "
            "the loopback."
        ),
    )
    owner: EnvFileOwner = Field(default=EnvFileOwner(), description="Owner of the file.")
