"""Who may log in and what that opens, as the stack file says it."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from broker.part import Generation, OneLine, Part, TopicFilters


class User(Part):
    """Someone with a password, and what the password opens."""

    description: OneLine | None = Field(default=None, description="A comment in the ACL file.")
    readwrite: TopicFilters = Field(default=(), description="May receive and publish.")
    read: TopicFilters = Field(default=(), description="May receive.")
    write: TopicFilters = Field(default=(), description="May publish.")
    generation: Generation = Field(default="1", description="Change it to rotate the password.")

    @field_validator("generation", mode="before")
    @classmethod
    def _number_or_name(cls, raw: Any) -> Any:
        return str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw
