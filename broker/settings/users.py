"""Who may log in and what that opens, as the stack file says it."""

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
    refused,
)
from broker.settings.validators import check_user_name

PLACE = re.compile(r"\{([^{}]*)\}")
Direction = Literal["read", "write"]
MOST_MEMBERS = 100_000
"""Of one fleet."""


def _check_template(text: str) -> str:
    for name in PLACE.findall(text):
        if not re.fullmatch(r"[a-z][A-Za-z0-9]*", name):
            raise ValueError(f"{{{name}}}: a parameter is letters and digits, such as {{room}}")
    check_filter(PLACE.sub("x", text))
    return text


def _check_place_value(text: str) -> str:
    if not text or any(each in text for each in "/+#{}%"):
        raise ValueError(
            "a parameter's value is part of a level: no '/', '+', '#', '%', '{' or '}'"
        )
    return check_filter(text)


def _check_pattern(text: str) -> str:
    check_filter(text)
    levels = text.split("/")
    for place in ("%u", "%c"):
        if any(place in level and level != place for level in levels):
            raise ValueError(
                f"{place!r} must be a level of its own: 2.1 takes it for text elsewhere"
            )
    return text


def _check_member_filter(text: str) -> str:
    if "%u" not in _check_pattern(text).split("/"):
        raise ValueError(
            "needs the level '%u', the member's name: the ACL file has no groups, and without it "
            "the rule would be everybody's"
        )
    return text


def _check_literal(text: str) -> str:
    if "%u" in text or "%c" in text:
        raise ValueError("'%u' and '%c' stand for names in 'patterns' and 'fleets' only")
    return check_filter(text)


Templates = Annotated[tuple[Annotated[str, AfterValidator(_check_template)], ...], FROM_LIST]
Patterns = Annotated[tuple[Annotated[str, AfterValidator(_check_pattern)], ...], FROM_LIST]
MemberFilters = Annotated[
    tuple[Annotated[str, AfterValidator(_check_member_filter)], ...], FROM_LIST
]
UserFilters = Annotated[tuple[Annotated[str, AfterValidator(_check_literal)], ...], FROM_LIST]
PlaceValue = Annotated[str, AfterValidator(_check_place_value)]
Directions = Annotated[tuple[Direction, ...], FROM_LIST]


class RoleUse(SettingsModel):
    """A role that a user takes, with its parameters."""

    role: str = Field(description="Name of the role.")
    values: dict[str, PlaceValue] = Field(default={}, alias="with", description="Parameters.")


def _role_use(raw: Any) -> Any:
    """Read ``monitor`` and ``{controller: {room: clockwork}}`` alike."""
    if isinstance(raw, str):
        return {"role": raw}
    if isinstance(raw, Mapping) and len(raw) == 1 and "role" not in raw:
        ((name, values),) = raw.items()
        return {"role": name, "with": values}
    return raw


class User(SettingsModel):
    """Someone with a password, and what the password opens."""

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
        """Whether it can be handed out: of an adopted one there is only the hash."""
        return self.password in ("generated", "supplied")

    @model_validator(mode="after")
    def _overlap_counts(self) -> Self:
        if self.rotation == "overlap" and not re.fullmatch(r"[1-9][0-9]*", self.generation):
            raise refused(
                "generation",
                self.generation,
                "with rotation 'overlap' it must be a whole number from 1: odd ones and even ones "
                "are the two logins",
            )
        if self.rotation == "overlap" and self.password in ("supplied", "adopted"):
            raise refused(
                "rotation",
                self.rotation,
                f"goes with generated passwords, not {self.password} ones",
            )
        if self.rotation == "immediate" and self.previous == "revoke":
            raise refused("previous", self.previous, "goes with rotation 'overlap'")
        return self


def second_login(user: str) -> str:
    """Return the name under which a user with ``rotation: overlap`` logs in every other time."""
    return f"{user}-green"


class Role(SettingsModel):
    """A named set of filters, with ``{parameters}`` that each user fills in."""

    description: OneLine | None = Field(default=None, description="Purpose of the role.")
    readwrite: Templates = Field(default=(), description="May receive and publish.")
    read: Templates = Field(default=(), description="May receive.")
    write: Templates = Field(default=(), description="May publish.")
    deny: Templates = Field(default=(), description="May neither receive nor publish.")

    @property
    def parameters(self) -> set[str]:
        filters = (*self.readwrite, *self.read, *self.write, *self.deny)
        return {name for each in filters for name in PLACE.findall(each)}


class PatternRules(SettingsModel):
    """Rules for everybody who logs in, with the levels ``%u`` (user) and ``%c`` (client id)."""

    readwrite: Patterns = Field(default=(), description="May receive and publish.")
    read: Patterns = Field(default=(), description="May receive.")
    write: Patterns = Field(default=(), description="May publish.")
    deny: Patterns = Field(
        default=(),
        description=(
            "May neither receive nor publish; does not apply to what a user's own rules grant."
        ),
    )


class Member(SettingsModel):
    """One controller of a fleet, told apart from the others."""

    generation: Generation | None = Field(
        default=None, description="Change it to rotate the password of this member only."
    )
    revoked: bool = Field(default=False, description="The member can no longer log in.")


class Fleet(SettingsModel):
    """Many controllers with one rule set: each under its own name, the level ``%u``."""

    description: OneLine | None = Field(default=None, description="A comment in the ACL file.")
    names: Annotated[tuple[UserName, ...], FROM_LIST] = Field(
        default=(), description="Names of the members."
    )
    count: int | None = Field(
        default=None,
        ge=1,
        le=MOST_MEMBERS,
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
    def _names_or_count(self) -> Self:
        if bool(self.names) == (self.count is not None):
            raise refused("", self.count, "needs either 'names' or 'count' with 'prefix'")
        if (self.count is not None) != (self.prefix is not None):
            raise refused("prefix", self.prefix, "goes with 'count', and 'count' with it")
        if len(self.names) > MOST_MEMBERS:
            raise refused("names", len(self.names), f"must be {MOST_MEMBERS:,} at most")
        if self.prefix is not None:
            try:
                check_user_name(self.members[-1])
            except ValueError as wrong:
                raise refused("prefix", self.prefix, f"{wrong}; shorten it") from None
        twice = sorted(each for each, times in Counter(self.names).items() if times > 1)
        if twice:
            raise refused("names", twice[0], "stands there twice")
        members = set(self.members)
        for name in self.overrides:
            if name not in members:
                guess = get_close_matches(name, self.members[:1000], n=1)
                hint = f"; did you mean {guess[0]!r}?" if guess else ""
                raise refused("overrides", name, f"is not a member of this fleet{hint}")
        if not self.admitted:
            raise refused("overrides", len(members), "revokes every member; take the fleet out")
        return self

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all members, in order."""
        if self.count is None:
            return self.names
        # The same width whatever the number: one member more must not rename the others.
        return tuple(f"{self.prefix}{number:03}" for number in range(1, self.count + 1))

    @property
    def revoked(self) -> tuple[str, ...]:
        """The names of members that may not log in any more, in order."""
        return tuple(
            name for name in self.members if name in self.overrides and self.overrides[name].revoked
        )

    @property
    def admitted(self) -> dict[str, str]:
        """The generation of each member that may log in, by name, in order."""
        usual = Member()
        found = ((name, self.overrides.get(name, usual)) for name in self.members)
        return {
            name: f"{self.generation}+{each.generation}" if each.generation else self.generation
            for name, each in found
            if not each.revoked
        }


class Guardrail(SettingsModel):
    """How a guardrail speaks in this stack, and why it was changed."""

    level: Literal["error", "warning", "off"] = Field(
        description="What a finding of the guardrail does."
    )
    reason: OneLine = Field(
        min_length=1, description="The reason for the level; shown with every change of access."
    )
