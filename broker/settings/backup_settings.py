"""Settings of backups: folder, schedule, number and encryption of the archives."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from broker.settings.base_model import Folder, SettingsModel
from broker.settings.validators import check_recipient, check_schedule


class Backups(SettingsModel):
    """Archives of the broker's database and files: location, schedule, number, encryption."""

    folder: Folder = Field(description="Folder on the host; owned by root, mode 0700.")
    schedule: Annotated[str, AfterValidator(check_schedule)] | None = Field(
        default="30 3 * * *",
        description=(
            "When the host makes a backup: five cron fields, in the time zone of the host; "
            "`null`: only with `./brokerctl backup create`."
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
            "Public key of age(1), `age1...`, with which archives are encrypted; only its identity "
            "decrypts them. The host needs age."
        ),
    )
