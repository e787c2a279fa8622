"""The settings of a stack file, and the rules between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from broker.access.expectations import Expectation
from broker.access.topic_filters import check_filter
from broker.findings import PROJECT, Finding, render_findings
from broker.mosquitto import canary
from broker.settings.base_model import FROM_LIST, Name, SettingsModel, UserName, rule_error
from broker.settings.broker_settings import Broker
from broker.settings.error_message import error_finding
from broker.settings.users import Fleet, Guardrail, PatternRules, Role, User, second_login
from broker.settings.validators import check_user_name

__all__ = ["PROJECT", "GuardrailName", "Settings", "SettingsError"]


class SettingsError(ValueError):
    """An invalid stack file; one line per error."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(render_findings(self.findings))


GuardrailName = Literal[
    "oneAdmin",
    "systemTopics",
    "idleUser",
    "deviceCommands",
    "strayFilter",
    "sameName",
    "needlessReadwrite",
    "openListener",
    "plainListener",
    "emptyLevel",
    "clientId",
]


def _check_sentence(text: str) -> str:
    check_filter(Expectation.parse(text).filter)
    return text


class Settings(SettingsModel):
    """All settings of a stack file, the keys below ``sentient-mqtt:``."""

    broker: Broker = Field(description="The broker and its host.")
    users: dict[UserName, User] = Field(description="Who may log in, by name.")
    roles: dict[Name, Role] = Field(default={}, description="Sets of filters, by name.")
    patterns: PatternRules = Field(default=PatternRules(), description="Rules for everybody.")
    fleets: dict[Name, Fleet] = Field(default={}, description="Controllers, by kind.")
    topics: dict[Name, Annotated[str, AfterValidator(check_filter)]] = Field(
        default={},
        description=(
            "Branches of the topic tree, by name. No device may write the branch `commands`."
        ),
    )
    expect: Annotated[tuple[Annotated[str, AfterValidator(_check_sentence)], ...], FROM_LIST] = (
        Field(default=(), description="Statements about access that must stay true.")
    )
    guardrails: dict[GuardrailName, Guardrail] = Field(
        default={}, description="Guardrails with another level than the default, by name."
    )

    @model_validator(mode="after")
    def _names_are_declared(self) -> Self:
        if not self.users:
            raise rule_error(
                "users",
                {},
                "no user is declared, so nobody can log in; declare one, such as "
                '{sensor: {write: ["paragon/+/sensors/#"]}}',
            )
        if self.broker.health.user in self.users:
            raise rule_error(
                "broker.health.user",
                self.broker.health.user,
                "is the name of a user already; give the health check another name",
            )
        for index, file in enumerate(self.broker.env_files):
            key = f"broker.envFiles[{index}]"
            if file.user not in self.users:
                guess = get_close_matches(file.user, self.users, n=1)
                hint = f" Did you mean {guess[0]!r}?" if guess else ""
                raise rule_error(f"{key}.user", file.user, f"is not a user.{hint}")
            if not self.users[file.user].password_known:
                raise rule_error(
                    f"{key}.user",
                    file.user,
                    "has an adopted password, of which only the hash is known; rotate it first",
                )
            if file.listener is not None and file.listener not in self.broker.listeners:
                raise rule_error(
                    f"{key}.listener",
                    file.listener,
                    f"is not a listener; declared are: {', '.join(self.broker.listeners)}",
                )
        return self

    @model_validator(mode="after")
    def _exporter_can_log_in(self) -> Self:
        if self.broker.monitoring is None:
            return self
        key, name = "broker.monitoring.user", self.broker.monitoring.user
        user = self.users.get(name)
        if user is None:
            guess = get_close_matches(name, self.users, n=1)
            hint = f"Did you mean {guess[0]!r}?" if guess else "Declare it under 'users'."
            raise rule_error(key, name, f"is not a user. {hint}")
        if not user.password_known:
            raise rule_error(
                key,
                name,
                "has an adopted password, of which only the hash is known; rotate it first",
            )
        return self

    @model_validator(mode="after")
    def _roles_are_declared(self) -> Self:
        for name, user in self.users.items():
            for index, use in enumerate(user.roles):
                key = f"users.{name}.roles[{index}]"
                role = self.roles.get(use.role)
                if role is None:
                    guess = get_close_matches(use.role, self.roles, n=1)
                    hint = f"Did you mean {guess[0]!r}?" if guess else "Declare it under 'roles'."
                    raise rule_error(key, use.role, f"is not a role. {hint}")
                if role.parameters != set(use.values):
                    parameters = ", ".join(sorted(role.parameters)) or "none"
                    raise rule_error(
                        key, dict(use.values), f"role {use.role!r} has the parameters: {parameters}"
                    )
        return self

    @model_validator(mode="after")
    def _second_login_has_the_same_access(self) -> Self:
        patterns = self.patterns
        filters = (*patterns.readwrite, *patterns.read, *patterns.write, *patterns.deny)
        by_user_name = any("%u" in filter_.split("/") for filter_ in filters)
        for name, user in self.users.items():
            if user.rotation == "overlap" and by_user_name:
                raise rule_error(
                    f"users.{name}.rotation",
                    "overlap",
                    "adds a second login with another name, and 'patterns' with '%u' grant access "
                    "by name; declare these filters under the user instead",
                )
            try:
                if user.rotation == "overlap":
                    check_user_name(second_login(name))
            except ValueError as error:
                raise rule_error(
                    f"users.{name}.rotation", "overlap", f"second login: {error}"
                ) from None
        return self

    @model_validator(mode="after")
    def _login_names_differ(self) -> Self:
        owners = {name: f"users.{name}" for name in self.users}
        owners[self.broker.health.user] = "broker.health.user"
        others = [
            (f"users.{name}.rotation", second_login(name))
            for name, user in self.users.items()
            if user.rotation == "overlap"
        ]
        others += [
            (f"fleets.{kind}", member)
            for kind, fleet in self.fleets.items()
            for member in fleet.members
        ]
        for path, login in others:
            if login in owners:
                raise rule_error(path, login, f"is the name of {owners[login]} already")
            owners[login] = path
        for kind in self.fleets:
            if (name := f"fleet.{kind}") in owners:
                raise rule_error(
                    owners[name],
                    name,
                    f"is the name of the fleet {kind!r} in the output 'rotations'; choose another "
                    "name",
                )
        if canary.NAME in owners:
            raise rule_error(
                owners[canary.NAME],
                canary.NAME,
                "is reserved for the check that follows a change; choose another name",
            )
        return self

    @model_validator(mode="after")
    def _expectations_name_users(self) -> Self:
        users = {self.broker.health.user, *self.users}
        users |= {member for fleet in self.fleets.values() for member in fleet.admitted}
        for index, sentence in enumerate(self.expect):
            expectation = Expectation.parse(sentence)
            named = (expectation.user,) if expectation.user else expectation.but
            for name in named:
                if name not in users:
                    guess = get_close_matches(name, users, n=1)
                    hint = f" Did you mean {guess[0]!r}?" if guess else ""
                    raise rule_error(f"expect[{index}]", sentence, f"{name!r} is not a user.{hint}")
        return self

    @classmethod
    def parse(cls, raw: Mapping[str, Any], project: str = PROJECT) -> Settings:
        """
        Parse the ``config:`` of a stack file, given without the prefix ``sentient-mqtt:``.

        Raises:
            SettingsError: one line per error: path, value, rule.

        """
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            findings = (
                error_finding(project, detail) for detail in error.errors(include_url=False)
            )
            raise SettingsError(dict.fromkeys(findings)) from None
