"""A refused value, said in one line: its path in the stack file, the value, the rule."""

from collections.abc import Iterator

from pydantic_core import ErrorDetails


def refusal(project: str, error: ErrorDetails) -> str:
    """Return ``project:path: value: rule``, as a person would say it."""
    context = error.get("ctx", {})
    path = _path((*error["loc"], *([context["key"]] if context.get("key") else [])))
    if error["type"] == "unknown_key":
        return f"{project}:{path}: unknown key. {context['hint']}"
    if error["type"] == "missing":
        return f"{project}:{path}: is required and not there. Add it to the stack file."
    value = _shown(context.get("value", error["input"]))
    rule = str(context.get("error", "") or context.get("rule", "") or _plain(error["msg"]))
    return f"{project}:{path}: {value}: {rule}"


def _path(location: tuple[int | str, ...]) -> str:
    parts: Iterator[str] = (
        # pydantic marks a mapping's bad key with an element of its own, "[key]".
        f"[{each}]" if isinstance(each, int) else f".{each}" if not each.startswith("[") else each
        for each in location
        if each != "[key]"
    )
    return "".join(parts).lstrip(".")


def _shown(value: object) -> str:
    """Return *value* short enough for one line; repr keeps control characters visible."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text):,} characters)"  # noqa: PLR2004


# pydantic's words, in those of somebody who writes a stack file.
_PLAIN = {
    "Input should": "must",
    "a valid integer": "a whole number",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid tuple": "a list",
    "a valid dictionary": "a mapping (key: value)",
    "a valid array": "a list",
    " or instance of": ", as for a",
}


def _plain(message: str) -> str:
    for technical, plain in _PLAIN.items():
        message = message.replace(technical, plain)
    return message
