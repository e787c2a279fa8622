"""Topic filters: validity (MQTT 5, section 4.7, and the ACL file's syntax) and matching."""

MAX_BYTES = 65_535
"""A topic is an MQTT string, whose length is encoded in two bytes (MQTT 5, 1.5.4)."""

MAX_SLASHES = 200
"""With more, Mosquitto rejects the ACL file and doesn't start (TOPIC_HIERARCHY_LIMIT)."""

# C0 and C1 controls and DEL. A line break would start a new rule in the ACL file, which has no
# escaping; the others would be written to logs and terminals.
_CONTROL = frozenset(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)))


def check_filter(text: str) -> str:
    """
    Return *text* if it is a topic filter that can be written to the ACL file.

    Raises:
        ValueError: the violated rule, and a fix.

    """
    if not text:
        raise ValueError("a topic filter has at least one character; '#' stands for every topic")
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise ValueError(f"a topic filter has at most {MAX_BYTES:,} bytes")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):  # noqa: PLR2004 (UTF-16 surrogates)
        raise ValueError("not valid UTF-8; remove the lone surrogate")
    if any(character in _CONTROL for character in text):
        raise ValueError(
            "contains a NUL, line break or other control character; the ACL file can't escape it"
        )
    if text != text.strip():
        raise ValueError("begins or ends with a space, which the ACL file drops; remove it")
    if text.count("/") > MAX_SLASHES:
        raise ValueError(
            f"has {text.count('/'):,} times '/' and may have at most {MAX_SLASHES}: Mosquitto "
            "doesn't start with more; shorten it, for example with '#'"
        )
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


def matches(filter_: str, topic: str) -> bool:
    """
    Return whether *filter_* matches *topic*.

    MQTT 5, 4.7.1 and 4.7.2: ``a/#`` matches ``a`` too, and a filter that begins with a wildcard
    matches no topic that begins with ``$``.
    """
    filter_levels, topic_levels = filter_.split("/"), topic.split("/")
    if topic.startswith("$") and filter_levels[0] in {"#", "+"}:
        return False
    for index, level in enumerate(filter_levels):
        if level == "#":
            return True
        if index == len(topic_levels):
            return False
        if level not in ("+", topic_levels[index]):
            return False
    return len(topic_levels) == len(filter_levels) or filter_levels[len(topic_levels) :] == ["#"]


def includes(outer: str, inner: str) -> bool:
    """Return whether *outer* matches every topic that *inner* matches."""
    return _includes(_levels(outer), _levels(inner), first=True)


def overlaps(left: str, right: str) -> bool:
    """Return whether there is a topic that both filters match."""
    return _overlaps(_levels(left), _levels(right), first=True)


def _levels(filter_: str) -> list[str]:
    # A topic has at least one level, so '#' equals '+/#', which can be compared level by level.
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


def _overlaps(left: list[str], right: list[str], *, first: bool) -> bool:
    if left == ["#"] or right == ["#"]:
        return True
    if not left or not right:
        return left == right
    if left[0] != right[0]:
        if "+" not in (left[0], right[0]):
            return False
        literal = right[0] if left[0] == "+" else left[0]
        if first and literal.startswith("$"):
            return False
    return _overlaps(left[1:], right[1:], first=False)
