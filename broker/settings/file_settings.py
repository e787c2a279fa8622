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
    refused,
)


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
