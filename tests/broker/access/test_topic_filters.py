"""Valid filters are one line of the ACL file, and match topics as in MQTT."""

import pytest
from declared import smallest
from hypothesis import given
from hypothesis import strategies as st

from broker.access.topic_filters import (
    MAX_BYTES,
    MAX_SLASHES,
    check_filter,
    includes,
    matches,
    overlaps,
)
from broker.mosquitto.acl_file import render_acl
from broker.settings.stack_settings import Settings

LEVELS = st.sampled_from(["a", "b", "$SYS", "+", "c d", "é", ""])
FILTERS = st.lists(LEVELS, min_size=1, max_size=4).flatmap(
    lambda levels: st.sampled_from(["/".join(levels), "/".join([*levels, "#"])])
).filter(bool) | st.just("#")
TOPICS = (
    st.lists(st.sampled_from(["a", "b", "$SYS", "c d", "é", "x", ""]), min_size=1, max_size=5)
    .map("/".join)
    .filter(bool)
)


@pytest.mark.parametrize(
    "text",
    [
        "#",
        "+",
        "a",
        "a/b",
        "+/b/#",
        "a/+/c",
        "$SYS/#",
        "a b/c",
        "é/ü",
        "a" * MAX_BYTES,
        "%u",
        "a,b",
        "/",
        "//",
        "/a/#",
        "a/",
        "a//b",
        "/" * MAX_SLASHES,
    ],
)
def test_valid_filter_is_accepted(text):
    assert check_filter(text) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "at least one character"),
        ("a" * (MAX_BYTES + 1), "at most 65,535 bytes"),
        ("€" * 21_846, "at most 65,535 bytes"),
        ("a/#/b", "'#' must be the last level"),
        ("#/", "'#' must be the last level"),
        ("/" * (MAX_SLASHES + 1), "has 201 times '/' and may have at most 200"),
        ("a/b#", "'#' must be a level of its own, not part of 'b#'"),
        ("##", "'#' must be a level of its own"),
        ("a/+b", "'+' must be a level of its own, not part of '+b'"),
        ("++", "'+' must be a level of its own"),
        ("a\0b", "NUL"),
        ("a\nuser b\ntopic readwrite #", "line break"),
        ("a\r", "line break"),
        ("a\x1b[2J", "control character"),
        ("a\x85b", "control character"),
        ("a\ud800", "surrogate"),
        (" a", "space"),
        ("a ", "space"),
        ("a\N{NO-BREAK SPACE}", "space"),
    ],
)
def test_invalid_filter_is_an_error_with_the_rule(text, rule):
    with pytest.raises(ValueError, match=r".") as raised:
        check_filter(text)
    assert rule in str(raised.value)
    assert str(raised.value).isprintable()


@given(st.text() | st.lists(st.sampled_from([*"#+/ \n\0\tab$%", "a/"])).map("".join))
def test_accepted_filter_satisfies_all_rules(text):
    try:
        check_filter(text)
    except ValueError:
        return  # about half of the inputs are invalid

    assert 1 <= len(text.encode()) <= MAX_BYTES
    assert not {"\0", "\n", "\r"} & set(text)
    assert text == text.strip()
    levels = text.split("/")
    assert len(levels) <= MAX_SLASHES + 1
    assert all(level == "+" or "+" not in level for level in levels)
    assert all(level == "#" or "#" not in level for level in levels)
    assert "#" not in levels[:-1]


@given(st.text() | st.lists(st.sampled_from([*"#+/ \n\0\ta$", "topic read "])).map("".join))
def test_accepted_filter_is_one_line_of_the_acl_file(text):
    raw = smallest()
    raw["users"]["sensor"] = {"read": [text]}
    try:
        check_filter(text)
        settings = Settings.parse(raw)
    except ValueError:
        return

    lines = render_acl(settings).split("\n")

    before = render_acl(Settings.parse(smallest())).split("\n")
    assert len(lines) == len(before)
    assert lines[1] == f"topic read {text}"
    assert lines[2:] == before[2:]


@pytest.mark.parametrize(
    ("filter_", "topic", "expected"),
    [
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("a/+", "a", False),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("+", "a", True),
        ("#", "a/b", True),
        ("#", "$SYS/broker", False),
        ("+/broker", "$SYS/broker", False),
        ("$SYS/#", "$SYS/broker", True),
        ("$SYS/+", "$SYS/broker", True),
        ("a/$b", "a/$b", True),
        ("a/#", "a/$b", True),
        ("/a", "/a", True),
        ("/a", "a", False),
        ("a", "/a", False),
        ("a/", "a", False),
        ("a/+", "a/", True),
        ("+/a", "/a", True),
        ("a/#", "a/", True),
        ("a//b", "a/b", False),
        ("a/+/b", "a//b", True),
        ("#", "/", True),
        ("+/+", "/", True),
    ],
)
def test_filter_matches_topics_as_in_mqtt(filter_, topic, expected):
    assert matches(filter_, topic) is expected


@given(FILTERS, FILTERS, TOPICS)
def test_including_filter_matches_every_topic_of_the_included_one(outer, inner, topic):
    if includes(outer, inner) and matches(inner, topic):
        assert matches(outer, topic)


@given(FILTERS, FILTERS, TOPICS)
def test_filters_without_overlap_share_no_topic(left, right, topic):
    assert overlaps(left, right) == overlaps(right, left)
    if matches(left, topic) and matches(right, topic):
        assert overlaps(left, right)


@given(FILTERS)
def test_every_filter_includes_itself(filter_):
    assert includes(filter_, filter_)
