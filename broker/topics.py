"""Topic filters, checked as MQTT 5 (section 4.7) and the ACL file's syntax allow them."""

MAX_BYTES = 65_535
"""A topic is an MQTT string: its length travels in two bytes (MQTT 5, 1.5.4)."""

# C0 and C1 controls and DEL. A line break would start a rule of its own in the ACL file, which
# has no escaping; the others reach logs and terminals.
_CONTROL = frozenset(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)))


def check_filter(text: str) -> str:
    """
    Return *text* if it is a topic filter that the ACL file can hold.

    Raises:
        ValueError: the rule that it breaks, and the way out.

    """
    if not text:
        raise ValueError("a topic filter has at least one character; '#' stands for every topic")
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise ValueError(f"a topic filter has at most {MAX_BYTES:,} bytes")
    if any(0xD800 <= ord(each) <= 0xDFFF for each in text):  # noqa: PLR2004 (UTF-16 surrogates)
        raise ValueError("not valid UTF-8; remove the lone surrogate")
    if any(each in _CONTROL for each in text):
        raise ValueError(
            "holds a NUL, line break or other control character; the ACL file can't escape it"
        )
    if text != text.strip():
        raise ValueError("begins or ends with a space, which the ACL file drops; remove it")
    levels = text.split("/")
    for index, level in enumerate(levels):
        _check_level(level, last=index == len(levels) - 1)
    return text


def _check_level(level: str, *, last: bool) -> None:
    if level == "#" and not last:
        raise ValueError("'#' must be the last level")
    for wildcard in "#+":
        if wildcard in level and level != wildcard:
            raise ValueError(f"{wildcard!r} must be a level of its own, not part of {level!r}")
    if not level:
        raise ValueError(
            "has an empty level; remove the stray '/', or use '+' if a level may be empty"
        )
