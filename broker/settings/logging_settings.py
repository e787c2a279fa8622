"""Settings of the broker's log: what is logged, how much is kept, and when to report it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from broker.settings.base_model import FROM_LIST, FileName, SettingsModel, rule_error
from broker.settings.validators import check_log_size

LogType = Literal[
    "error", "warning", "notice", "information", "debug", "subscribe", "unsubscribe", "websockets"
]


class Logging(SettingsModel):
    """What the broker logs, and how much of the log is kept."""

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
            "refused` fail. Logins of the check itself are excluded, for up to one check "
            "per minute."
        ),
    )
    denied_per_hour: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description=(
            "Denied messages per hour above which `./brokerctl check` fails. Mosquitto "
            "logs them only with type `debug`."
        ),
    )

    @field_validator("types")
    @classmethod
    def _at_least_one(cls, types: tuple[LogType, ...]) -> tuple[LogType, ...]:
        if not types:
            raise rule_error("", [], "needs at least one type, such as 'error'")
        return types
