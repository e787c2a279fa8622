"""What one environment says about its broker, checked once and frozen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from broker.access.expectations import Expectation
from broker.access.topic_filters import check_filter
from broker.findings import PROJECT, Finding, render_findings
from broker.mosquitto import canary
from broker.settings.base_model import FROM_LIST, Name, SettingsModel, UserName, refused
from broker.settings.broker_settings import Broker
from broker.settings.error_message import error_finding
from broker.settings.users import Fleet, Guardrail, PatternRules, Role, User, second_login
from broker.settings.validators import check_user_name

__all__ = ["PROJECT", "GuardrailName", "Settings", "SettingsError"]


class SettingsError(ValueError):
    """A stack file that no broker could be built from; one line for each thing to fix."""

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
]


def _check_sentence(text: str) -> str:
    check_filter(Expectation.parse(text).filter)
    return text


class Settings(SettingsModel):
    """Everything that a stack file says under ``sentient-mqtt:``."""

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
        default={}, description="Guardrails that speak otherwise here, by name."
    )

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
            if not self.users[file.user].password_known:
                raise refused(
                    f"{key}.user",
                    file.user,
                    "has a password that only its clients know (adopted); rotate it first",
                )
            if file.listener is not None and file.listener not in self.broker.listeners:
                raise refused(
                    f"{key}.listener",
                    file.listener,
                    f"is not a listener; there are {', '.join(self.broker.listeners)}",
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
            raise refused(key, name, f"is not a user. {hint}")
        if not user.password_known:
            raise refused(
                key, name, "has a password that only its clients know (adopted); rotate it first"
            )
        return self

    @model_validator(mode="after")
    def _roles_agree(self) -> Self:
        for name, user in self.users.items():
            for index, use in enumerate(user.roles):
                key = f"users.{name}.roles[{index}]"
                role = self.roles.get(use.role)
                if role is None:
                    guess = get_close_matches(use.role, self.roles, n=1)
                    hint = f"Did you mean {guess[0]!r}?" if guess else "Declare it under 'roles'."
                    raise refused(key, use.role, f"is not a role. {hint}")
                if role.parameters != set(use.values):
                    wanted = ", ".join(sorted(role.parameters)) or "none"
                    raise refused(
                        key, dict(use.values), f"role {use.role!r} has the parameters: {wanted}"
                    )
        return self

    @model_validator(mode="after")
    def _two_names_one_set_of_rights(self) -> Self:
        patterns = self.patterns
        named = (*patterns.readwrite, *patterns.read, *patterns.write, *patterns.deny)
        for name, user in self.users.items():
            if user.rotation == "overlap" and any("%u" in each.split("/") for each in named):
                raise refused(
                    f"users.{name}.rotation",
                    "overlap",
                    "gives the user a second name, and 'patterns' with '%u' give rights to a name; "
                    "write the filters of these users out",
                )
            try:
                if user.rotation == "overlap":
                    check_user_name(second_login(name))
            except ValueError as wrong:
                raise refused(
                    f"users.{name}.rotation", "overlap", f"second login: {wrong}"
                ) from None
        return self

    @model_validator(mode="after")
    def _one_login_a_name(self) -> Self:
        owners = {name: f"users.{name}" for name in self.users}
        owners[self.broker.health.user] = "broker.health.user"
        others = [
            (f"users.{name}.rotation", second_login(name))
            for name, user in self.users.items()
            if user.rotation == "overlap"
        ]
        others += [
            (f"fleets.{kind}", each)
            for kind, fleet in self.fleets.items()
            for each in fleet.members
        ]
        for path, login in others:
            if login in owners:
                raise refused(path, login, f"is the name of {owners[login]} already")
            owners[login] = path
        for kind in self.fleets:
            if (name := f"fleet.{kind}") in owners:
                raise refused(
                    owners[name],
                    name,
                    f"so the output 'rotations' calls the fleet {kind!r}; choose another name",
                )
        if canary.NAME in owners:
            raise refused(
                owners[canary.NAME],
                canary.NAME,
                "is kept for the check that follows a change; choose another name",
            )
        return self

    @model_validator(mode="after")
    def _expectations_name_users(self) -> Self:
        users = {self.broker.health.user, *self.users}
        users |= {each for fleet in self.fleets.values() for each in fleet.admitted}
        for index, sentence in enumerate(self.expect):
            spoken = Expectation.parse(sentence)
            for each in (*((spoken.user,) if spoken.user else ()), *spoken.but):
                if each not in users:
                    guess = get_close_matches(each, users, n=1)
                    hint = f" Did you mean {guess[0]!r}?" if guess else ""
                    raise refused(f"expect[{index}]", sentence, f"{each!r} is no user.{hint}")
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
            found = (error_finding(project, detail) for detail in wrong.errors(include_url=False))
            raise SettingsError(dict.fromkeys(found)) from None
