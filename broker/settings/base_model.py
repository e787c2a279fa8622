"""The base class of all settings: camelCase keys, unknown keys are errors, values are frozen."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from broker.settings.validators import (
    check_absolute,
    check_file_name,
    check_folder,
    check_generation,
    check_name,
    check_one_line,
    check_user_name,
)


def _as_tuple(raw: Any) -> Any:
    return tuple(raw) if isinstance(raw, list) else raw


# A stack file has lists; a frozen model has tuples. Strict pydantic does not convert them.
FROM_LIST = BeforeValidator(_as_tuple)


def _number_as_text(raw: Any) -> Any:
    return str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw


Name = Annotated[str, AfterValidator(check_name)]
UserName = Annotated[str, AfterValidator(check_user_name)]
OneLine = Annotated[str, Field(max_length=200), AfterValidator(check_one_line)]
AbsolutePath = Annotated[str, AfterValidator(check_absolute)]
Folder = Annotated[str, AfterValidator(check_folder)]
FileName = Annotated[str, AfterValidator(check_file_name)]
Generation = Annotated[str, BeforeValidator(_number_as_text), AfterValidator(check_generation)]


class SettingsModel(BaseModel):
    """A mapping of the stack file: keys are camelCase, an unknown key is an error."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        # Validators are built once, for the model that is parsed, not for every nested model.
        defer_build=True,
        extra="forbid",
        frozen=True,
        populate_by_name=False,
        strict=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _reject_unknown_keys(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        known = sorted(str(field.alias) for field in cls.model_fields.values())
        for key in raw:
            if key not in known:
                guess = get_close_matches(str(key), known, n=1)
                hint = (
                    f"Did you mean {guess[0]!r}?" if guess else f"Known keys: {', '.join(known)}."
                )
                raise PydanticCustomError("unknown_key", "{hint}", {"key": str(key), "hint": hint})
        return raw


def rule_error(key: str, value: object, rule: str) -> PydanticCustomError:
    """Return the error of a rule between several settings; *key* is relative to the model."""
    return PydanticCustomError("rule", "{rule}", {"key": key, "value": value, "rule": rule})
