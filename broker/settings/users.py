"""Settings of users, roles, patterns, fleets and guardrails."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from broker.access.topic_filters import check_filter
from broker.settings.base_model import (
    FROM_LIST,
    Generation,
    OneLine,
    SettingsModel,
    UserName,
    rule_error,
)
from broker.settings.validators import check_user_name

PARAMETER = re.compile(r"\{([^{}]*)\}")
"""A parameter in a filter of a role, such as ``{room}``."""

Direction = Literal["read", "write"]
MAX_MEMBERS = 100_000
"""Maximum number of members of one fleet."""


def _check_template(text: str) -> str:
    for name in PARAMETER.findall(text):
        if not re.fullmatch(r"[a-z][A-Za-z0-9]*", name):
            raise ValueError(f"{{{name}}}: a parameter is letters and digits, such as {{room}}")
    check_filter(PARAMETER.sub("x", text))
    return text


def _check_parameter_value(text: str) -> str:
    if not text or any(character in text for character in "/+#{}%"):
        raise ValueError(
            "a parameter's value is text within a level; it must not contain '/', '+', '#', '%', "
            "'{' or '}'"
        )
    return check_filter(text)


def _check_pattern(text: str) -> str:
    check_filter(text)
    levels = text.split("/")
    for variable in ("%u", "%c"):
        if any(variable in level and level != variable for level in levels):
            raise ValueError(
                f"{variable!r} must be a whole level: Mosquitto 2.1 does not replace it elsewhere"
            )
    return text


def _check_member_filter(text: str) -> str:
    if "%u" not in _check_pattern(text).split("/"):
        raise ValueError(
            "must contain the level '%u', the member's name: the ACL file has no groups, so "
            "without it the rule would apply to every user"
        )
    return text


def _check_literal(text: str) -> str:
    if "%u" in text or "%c" in text:
        raise ValueError("'%u' and '%c' are variables, valid in 'patterns' and 'fleets' only")
    return check_filter(text)


Templates = Annotated[tuple[Annotated[str, AfterValidator(_check_template)], ...], FROM_LIST]
Patterns = Annotated[tuple[Annotated[str, AfterValidator(_check_pattern)], ...], FROM_LIST]
MemberFilters = Annotated[
    tuple[Annotated[str, AfterValidator(_check_member_filter)], ...], FROM_LIST
]
UserFilters = Annotated[tuple[Annotated[str, AfterValidator(_check_literal)], ...], FROM_LIST]
ParameterValue = Annotated[str, AfterValidator(_check_parameter_value)]
Directions = Annotated[tuple[Direction, ...], FROM_LIST]


class RoleUse(SettingsModel):
    """A role that a user has, with the values of its parameters."""

    role: str = Field(description="Name of the role.")
    values: dict[str, ParameterValue] = Field(default={}, alias="with", description="Parameters.")


def _role_use(raw: Any) -> Any:
    """Convert the short forms ``monitor`` and ``{controller: {room: clockwork}}``."""
    if isinstance(raw, str):
        return {"role": raw}
    if isinstance(raw, Mapping) and len(raw) == 1 and "role" not in raw:
        ((name, values),) = raw.items()
        return {"role": name, "with": values}
    return raw


class User(SettingsModel):
    """A user with a password, and the access that it has."""

    description: OneLine | None = Field(default=None, description="A comment in the ACL file.")
    readwrite: UserFilters = Field(default=(), description="May receive and publish.")
    read: UserFilters = Field(default=(), description="May receive.")
    write: UserFilters = Field(default=(), description="May publish.")
    deny: UserFilters = Field(
        default=(),
        description="May neither receive nor publish; has precedence over every other rule.",
    )
    roles: Annotated[tuple[Annotated[RoleUse, BeforeValidator(_role_use)], ...], FROM_LIST] = Field(
        default=(), description="Roles: a name, or `{name: {parameter: value}}`."
    )
    device: bool = Field(
        default=False, description="The user is a controller: guardrails are stricter."
    )
    uses: Directions = Field(
        default=(), description="`read` or `write`, if the user does only one of them."
    )
    generation: Generation = Field(default="1", description="Change it to rotate the password.")
    password: Literal["generated", "supplied", "adopted"] = Field(
        default="generated",
        description="`supplied`: in the secret `passwords`; `adopted`: its hash is in `hashes`.",
    )
    rotation: Literal["immediate", "overlap"] = Field(
        default="immediate",
        description=(
            "`overlap`: after a rotation the previous login stays valid until the next rotation."
        ),
    )
    previous: Literal["keep", "revoke"] = Field(
        default="keep", description="With `overlap`: `revoke` ends the previous login."
    )

    @property
    def password_known(self) -> bool:
        """Whether the password can be shown: of an adopted one, only the hash is known."""
        return self.password in ("generated", "supplied")

    @model_validator(mode="after")
    def _overlap_has_numbers(self) -> Self:
        if self.rotation == "overlap" and not re.fullmatch(r"[1-9][0-9]*", self.generation):
            raise rule_error(
                "generation",
                self.generation,
                "must be a whole number from 1 with rotation 'overlap': odd numbers use one login, "
                "even numbers the other",
            )
        if self.rotation == "overlap" and self.password in ("supplied", "adopted"):
            raise rule_error(
                "rotation",
                self.rotation,
                f"requires generated passwords, and this one is {self.password}",
            )
        if self.rotation == "immediate" and self.previous == "revoke":
            raise rule_error("previous", self.previous, "requires rotation 'overlap'")
        return self


def second_login(user: str) -> str:
    """Return the name of the second login of a user with ``rotation: overlap``."""
    return f"{user}-green"


class Role(SettingsModel):
    """A named set of filters, with ``{parameters}`` whose values each user sets."""

    description: OneLine | None = Field(default=None, description="Purpose of the role.")
    readwrite: Templates = Field(default=(), description="May receive and publish.")
    read: Templates = Field(default=(), description="May receive.")
    write: Templates = Field(default=(), description="May publish.")
    deny: Templates = Field(default=(), description="May neither receive nor publish.")

    @property
    def parameters(self) -> set[str]:
        filters = (*self.readwrite, *self.read, *self.write, *self.deny)
        return {name for filter_ in filters for name in PARAMETER.findall(filter_)}


class PatternRules(SettingsModel):
    """Rules for all users, with the levels ``%u`` (user name) and ``%c`` (client id)."""

    readwrite: Patterns = Field(default=(), description="May receive and publish.")
    read: Patterns = Field(default=(), description="May receive.")
    write: Patterns = Field(default=(), description="May publish.")
    deny: Patterns = Field(
        default=(),
        description=("May neither receive nor publish; a user's own rules have precedence."),
    )


class Member(SettingsModel):
    """Settings of a single member of a fleet."""

    generation: Generation | None = Field(
        default=None, description="Change it to rotate the password of this member only."
    )
    revoked: bool = Field(default=False, description="The member can no longer log in.")


class Fleet(SettingsModel):
    """Controllers with the same rules, in which the level ``%u`` is the member's name."""

    description: OneLine | None = Field(default=None, description="A comment in the ACL file.")
    names: Annotated[tuple[UserName, ...], FROM_LIST] = Field(
        default=(), description="Names of the members."
    )
    count: int | None = Field(
        default=None,
        ge=1,
        le=MAX_MEMBERS,
        description="Number of members, named `prefix` followed by 001, 002, ...",
    )
    prefix: Annotated[str, AfterValidator(check_user_name)] | None = Field(
        default=None, description="With `count`: prefix of the names."
    )
    readwrite: MemberFilters = Field(default=(), description="May receive and publish.")
    read: MemberFilters = Field(default=(), description="May receive.")
    write: MemberFilters = Field(default=(), description="May publish.")
    generation: Generation = Field(default="1", description="Change it to rotate all passwords.")
    overrides: dict[UserName, Member] = Field(
        default={}, description="Members that are rotated alone, or revoked, by name."
    )

    @model_validator(mode="after")
    def _valid_members(self) -> Self:
        if bool(self.names) == (self.count is not None):
            raise rule_error("", self.count, "needs either 'names' or 'count' with 'prefix'")
        if (self.count is not None) != (self.prefix is not None):
            raise rule_error(
                "prefix", self.prefix, "requires 'count', and 'count' requires 'prefix'"
            )
        if len(self.names) > MAX_MEMBERS:
            raise rule_error("names", len(self.names), f"must be at most {MAX_MEMBERS:,}")
        if self.prefix is not None:
            try:
                check_user_name(self.members[-1])
            except ValueError as error:
                raise rule_error("prefix", self.prefix, f"{error}; shorten it") from None
        duplicates = sorted(name for name, count in Counter(self.names).items() if count > 1)
        if duplicates:
            raise rule_error("names", duplicates[0], "is listed twice")
        members = set(self.members)
        for name in self.overrides:
            if name not in members:
                guess = get_close_matches(name, self.members[:1000], n=1)
                hint = f"; did you mean {guess[0]!r}?" if guess else ""
                raise rule_error("overrides", name, f"is not a member of this fleet{hint}")
        if not self.admitted:
            raise rule_error("overrides", len(members), "revokes every member; remove the fleet")
        return self

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all members, in order."""
        if self.count is None:
            return self.names
        # The width does not depend on `count`: another member must not rename the others.
        return tuple(f"{self.prefix}{number:03}" for number in range(1, self.count + 1))

    @property
    def revoked(self) -> tuple[str, ...]:
        """The names of the members that can no longer log in, in order."""
        return tuple(
            name for name in self.members if name in self.overrides and self.overrides[name].revoked
        )

    @property
    def admitted(self) -> dict[str, str]:
        """The generation of each member that may log in, by name, in order."""
        default = Member()
        members = ((name, self.overrides.get(name, default)) for name in self.members)
        return {
            name: f"{self.generation}+{member.generation}" if member.generation else self.generation
            for name, member in members
            if not member.revoked
        }


class Guardrail(SettingsModel):
    """The level of a guardrail in this stack, and the reason for it."""

    level: Literal["error", "warning", "off"] = Field(
        description="Severity of the guardrail's findings."
    )
    reason: OneLine = Field(
        min_length=1, description="The reason for the level; shown with every change of access."
    )
