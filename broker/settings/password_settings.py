"""Settings of passwords: how they are generated and hashed, and when they are too old."""

from __future__ import annotations

from pydantic import Field

from broker.settings.base_model import SettingsModel


class Passwords(SettingsModel):
    """How passwords are generated and hashed. A changed length or alphabet rotates all of them."""

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
        description="PBKDF2 iterations of passwords from the secret `passwords`.",
    )
    max_age_days: int | None = Field(
        default=None, ge=1, le=3650, description="A preview warns of a password older than this."
    )
