"""Errors of pydantic as findings of one line: path in the stack file, value, rule."""

import re
from collections.abc import Mapping

from pydantic_core import ErrorDetails

from broker import findings
from broker.findings import Finding


def error_finding(project: str, error: ErrorDetails) -> Finding:
    """Return the finding ``project:path: value: rule``, worded for the author of a stack file."""
    context = error.get("ctx", {})
    location = error["loc"]
    if location[-1:] == ("[key]",):
        # pydantic marks an error about the key of a mapping, rather than its value, in this way.
        location = (*location[:-2], _name(_text(error["input"])))
    elif error["type"] == "unknown_key":
        location = (*location, _name(context["key"]))
    elif context.get("key"):
        location = (*location, context["key"])
    path = f"{project}:{_path(location)}"
    if error["type"] == "unknown_key":
        return findings.error(path, f"unknown key. {context['hint']}")
    if error["type"] == "missing":
        return findings.error(path, "is required and missing", "Add it to the stack file.")
    value = _shown(context.get("value", error["input"]))
    rule = str(context.get("error", "") or context.get("rule", "") or _plain(error))
    return findings.error(path, f"{value}: {rule}")


def _path(location: tuple[int | str, ...]) -> str:
    keys = [f"[{key}]" if isinstance(key, int) else _name(key) for key in location]
    return "".join(key if key.startswith("[") else f".{key}" for key in keys).lstrip(".")


def _name(key: str) -> str:
    """Return *key* for use in a path: as is if it is short and printable, otherwise quoted."""
    return key if key and key.isprintable() and len(key) <= _MAX_CHARACTERS else f"[{_shown(key)}]"


def _text(key: object) -> str:
    return key if isinstance(key, str) else _shown(key)


_MAX_CHARACTERS = 80


def _shown(value: object) -> str:
    """Return *value* shortened to one line, spelled as in YAML where Python differs."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    # repr() escapes control characters.
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:60]}... ({len(text):,} characters)"


# Wording of pydantic -> wording for the author of a stack file.
_PLAIN: Mapping[str, str] = {
    r"^Input should ": "must ",
    r"greater than or equal to": "at least",
    r"less than or equal to": "at most",
    r"a valid integer.*": "a whole number",
    r"a valid string": "text",
    r"a valid boolean": "true or false",
    r"a valid (tuple|array|list)": "a list",
    r"a valid dictionary.*": "a mapping (key: value)",
    r"^String should have at most": "must have at most",
    r"^String should have at least": "must have at least",
    r"^Dictionary should have at least 1 item.*": "needs at least one entry",
}


def _plain(error: ErrorDetails) -> str:
    message = error["msg"]
    for technical, plain in _PLAIN.items():
        message = re.sub(technical, plain, message)
    # YAML reads 7 as a number and true as a boolean even where text is meant.
    scalar = isinstance(error["input"], bool | int | float)
    return f"{message}; put it in quotes" if scalar and message == "must be text" else message
