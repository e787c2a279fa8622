"""The table of settings as Markdown, generated from the settings model."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from broker.settings.stack_settings import Settings

_WORDS = {str: "text", int: "number", bool: "true or false"}


def render_settings_table() -> str:
    """Return one row per setting: path in the stack file, type, default and meaning."""
    rows = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
    rows += [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in _rows(Settings, "")]
    return "\n".join(rows) + "\n"


def _rows(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for field in model.model_fields.values():
        path = f"{prefix}{field.alias}"
        nested, suffix = _nested_model(field.annotation)
        if nested is None:
            yield f"`{path}`", _type(field), _default(field), field.description or ""
        else:
            yield from _rows(nested, f"{path}{suffix}.")


def _nested_model(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """Return the model of a field's value or items, if any, and the suffix of its path."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return _nested_model(arguments[1])[0], ".NAME"
    if origin is tuple:
        return _nested_model(arguments[0])[0], "[]"
    if type(None) in arguments:
        return _nested_model(next(type_ for type_ in arguments if type_ is not type(None)))
    return None, ""


def _type(field: FieldInfo) -> str:
    limits = {type(limit).__name__: limit for limit in field.metadata}
    least, most = (getattr(limits.get(name), name.lower(), None) for name in ("Ge", "Le"))
    word = _word(field.annotation)
    if least is not None and most is not None:
        return f"{word}, {least:,} to {most:,}"
    return word


def _word(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _word(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"list of {_word(arguments[0])}"
    if annotation in _WORDS:
        return _WORDS[annotation]
    if origin is Union or arguments:
        return " or ".join(
            dict.fromkeys(_word(type_) for type_ in arguments if type_ is not type(None))
        )
    return "network" if "Network" in annotation.__name__ else str(annotation.__name__)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value in (None, (), PydanticUndefined):
        return ""
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    if isinstance(value, tuple):
        return f"`[{', '.join(str(item) for item in value)}]`"
    return f"`{value}`"
