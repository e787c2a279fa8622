"""What one environment says about its broker, checked once and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from broker.part import Part, UserName, refused
from broker.refusal import refusal
from broker.site import Broker
from broker.users import User

PROJECT = "sentient-mqtt"


class SettingsError(ValueError):
    """A stack file that no broker could be built from; one line for each thing to mend."""


class Settings(Part):
    """Everything that a stack file says under ``sentient-mqtt:``."""

    broker: Broker = Field(description="The broker and its host.")
    users: dict[UserName, User] = Field(description="Who may log in, by name.")

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        if not self.users:
            raise refused(
                "users",
                {},
                "nobody could log in; declare at least one user, such as "
                '{sensor: {write: ["paragon/+/sensors/#"]}}',
            )
        if self.broker.health.user in self.users:
            raise refused(
                "broker.health.user",
                self.broker.health.user,
                "is a user of its own already; give the health check another name",
            )
        for index, file in enumerate(self.broker.env_files):
            key = f"broker.envFiles[{index}]"
            if file.user not in self.users:
                guess = get_close_matches(file.user, self.users, n=1)
                hint = f" Did you mean {guess[0]!r}?" if guess else ""
                raise refused(f"{key}.user", file.user, f"is not a user.{hint}")
            if file.listener is not None and file.listener not in self.broker.listeners:
                raise refused(
                    f"{key}.listener",
                    file.listener,
                    f"is not a listener; there are {', '.join(self.broker.listeners)}",
                )
        return self

    @classmethod
    def parse(cls, raw: Mapping[str, Any], project: str = PROJECT) -> Settings:
        """
        Read the values of a stack file's ``config:``, without their ``sentient-mqtt:``.

        Raises:
            SettingsError: one line for each thing to mend, naming its path, value, rule.

        """
        try:
            return cls.model_validate(raw)
        except ValidationError as wrong:
            lines = dict.fromkeys(
                refusal(project, each) for each in wrong.errors(include_url=False)
            )
            raise SettingsError("\n".join(lines)) from None
