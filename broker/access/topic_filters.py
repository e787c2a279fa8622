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


def matches(filter_: str, topic: str) -> bool:
    """
    Say whether a subscription to *filter_* receives what is published to *topic*.

    MQTT 5, 4.7.1 and 4.7.2: ``a/#`` matches ``a`` too, and a filter that begins with a wildcard
    matches no topic that begins with ``$``.
    """
    wanted, levels = filter_.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"#", "+"}:
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index == len(levels):
            return False
        if level not in ("+", levels[index]):
            return False
    return len(levels) == len(wanted) or wanted[len(levels) :] == ["#"]


def includes(outer: str, inner: str) -> bool:
    """Say whether every topic that *inner* matches is matched by *outer* too."""
    return _includes(_levels(outer), _levels(inner), first=True)


def overlaps(one: str, other: str) -> bool:
    """Say whether some topic is matched by both."""
    return _overlaps(_levels(one), _levels(other), first=True)


def _levels(filter_: str) -> list[str]:
    # A topic has at least one level, so '#' is '+/#': only the second can be compared by level.
    return ["+", "#"] if filter_ == "#" else filter_.split("/")


def _includes(outer: list[str], inner: list[str], *, first: bool) -> bool:
    if outer == ["#"]:
        return True
    # 'a' does not include 'a/#', which matches 'a/b', nor does '+' include '#'.
    if not inner or not outer or inner[0] == "#":
        return outer == inner
    same = outer[0] == inner[0]
    wider = outer[0] == "+" and not (first and inner[0].startswith("$"))
    return (same or wider) and _includes(outer[1:], inner[1:], first=False)


def _overlaps(one: list[str], other: list[str], *, first: bool) -> bool:
    if one == ["#"] or other == ["#"]:
        return True
    if not one or not other:
        return one == other
    if one[0] != other[0]:
        if "+" not in (one[0], other[0]):
            return False
        literal = other[0] if one[0] == "+" else one[0]
        if first and literal.startswith("$"):
            return False
    return _overlaps(one[1:], other[1:], first=False)
