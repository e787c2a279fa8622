"""A refused value, said in one line: its path in the stack file, the value, the rule."""

import re
from collections.abc import Mapping

from pydantic_core import ErrorDetails

from broker import findings
from broker.findings import Finding


def error_finding(project: str, error: ErrorDetails) -> Finding:
    """Return the finding ``project:path: value: rule``, in words for a stack file's author."""
    context = error.get("ctx", {})
    location = error["loc"]
    if location[-1:] == ("[key]",):
        # So pydantic marks that it speaks of a mapping's key, not of what stands under it.
        location = (*location[:-2], _name(_text(error["input"])))
    elif error["type"] == "unknown_key":
        location = (*location, _name(context["key"]))
    elif context.get("key"):
        location = (*location, context["key"])
    path = f"{project}:{_path(location)}"
    if error["type"] == "unknown_key":
        return findings.error(path, f"unknown key. {context['hint']}")
    if error["type"] == "missing":
        return findings.error(path, "is required and not there", "Add it to the stack file.")
    value = _shown(context.get("value", error["input"]))
    rule = str(context.get("error", "") or context.get("rule", "") or _plain(error))
    return findings.error(path, f"{value}: {rule}")


def _path(location: tuple[int | str, ...]) -> str:
    parts = [f"[{each}]" if isinstance(each, int) else _name(each) for each in location]
    return "".join(each if each.startswith("[") else f".{each}" for each in parts).lstrip(".")


def _name(key: str) -> str:
    """Return *key* as a part of a path: whole where it can be read in one line."""
    return key if key and key.isprintable() and len(key) <= _MOST else f"[{_shown(key)}]"


def _text(key: object) -> str:
    return key if isinstance(key, str) else _shown(key)


_MOST = 80


def _shown(value: object) -> str:
    """Return *value* short enough for one line, as YAML has it where Python's word differs."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    # repr keeps control characters visible.
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= _MOST else f"{text[:60]}... ({len(text):,} characters)"


# pydantic's words, in those of somebody who writes a stack file.
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
    # YAML takes 7 for a number and true for a truth value, wherever text is meant.
    scalar = isinstance(error["input"], bool | int | float)
    return f"{message}; put it in quotes" if scalar and message == "must be text" else message
