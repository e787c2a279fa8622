"""Settings of backups: folder, schedule, number and encryption of the archives."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from broker.settings.base_model import Folder, SettingsModel
from broker.settings.validators import check_recipient, check_schedule


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
