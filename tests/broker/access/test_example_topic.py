"""What rules let through is decided for all topics at once, as it is for each one alone."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.access.evaluate import evaluate
from broker.access.example_topic import compare, find_example_topic
from broker.access.rules import Principal, Rule
from broker.access.topic_filters import matches

ACTIONS = {"read": "receive", "write": "publish"}
LEVELS = ["a", "b", "alice", "$SYS", "anything"]
FIRST = [*LEVELS, "$anything"]
# Every topic that rules of up to three of these levels can tell apart, and longer ones.
TOPICS = ["/".join(levels) for length in range(4) for levels in product(FIRST, *[LEVELS] * length)]
# The one branch of $SYS that rules can open for writing.
TOPICS += [f"$SYS/broker/connection/{name}/state" for name in LEVELS]
FILTERS = st.lists(st.sampled_from(["a", "b", "+", "$SYS"]), min_size=1, max_size=2).flatmap(
    lambda levels: st.sampled_from(["/".join(levels), "/".join([*levels, "#"]), "#"])
)
ACCESS = st.sampled_from(["read", "write", "readwrite", "deny"])
TOPIC_RULES = st.builds(Rule, kind=st.just("topic"), access=ACCESS, filter=FILTERS)
PATTERN_RULES = st.builds(
    Rule, kind=st.just("pattern"), access=ACCESS, filter=st.sampled_from(["%u/#", "a/%u", "+/b"])
)
PRINCIPALS = st.builds(
    Principal,
    name=st.just("alice"),
    topics=st.lists(TOPIC_RULES, max_size=4).map(tuple),
    patterns=st.lists(PATTERN_RULES, max_size=2).map(tuple),
)
DIRECTIONS = st.sampled_from(["read", "write"])


def may(principal, direction):
    return {topic for topic in TOPICS if evaluate(principal, ACTIONS[direction], topic).allowed}


@settings(max_examples=60, deadline=None)
@given(PRINCIPALS, PRINCIPALS, DIRECTIONS)
def test_a_change_is_found_where_there_is_one_and_shown_by_a_topic(before, after, direction):
    was, now = may(before, direction), may(after, direction)

    found = compare(before, after, direction)

    assert (found.gained is not None) == bool(now - was)
    assert (found.lost is not None) == bool(was - now)
    for topic, there, not_there in ((found.gained, after, before), (found.lost, before, after)):
        if topic is not None:
            assert evaluate(there, ACTIONS[direction], topic).allowed
            assert not evaluate(not_there, ACTIONS[direction], topic).allowed


@settings(max_examples=60, deadline=None)
@given(PRINCIPALS, DIRECTIONS, FILTERS, st.booleans())
def test_a_witness_is_of_the_filter_and_says_what_was_asked(principal, direction, filter_, allowed):
    inside = {topic for topic in TOPICS if matches(filter_, topic)}
    granted = may(principal, direction)
    expected = inside & granted if allowed else inside - granted

    topic = find_example_topic(principal, direction, filter_, allowed=allowed)

    assert (topic is not None) == bool(expected)
    if topic is not None:
        assert matches(filter_, topic)
        assert evaluate(principal, ACTIONS[direction], topic).allowed is allowed


@pytest.mark.parametrize("direction", ["read", "write"])
def test_somebody_new_gains_and_somebody_who_left_loses(direction):
    principal = Principal(
        name="alice", topics=(Rule(kind="topic", access="readwrite", filter="a/#"),)
    )

    assert compare(None, principal, direction).gained == "a"
    assert compare(principal, None, direction).lost == "a"
    assert compare(principal, principal, direction).gained is None


def test_the_same_rules_in_other_words_are_no_change():
    one = Principal(
        name="alice",
        topics=(
            Rule(kind="topic", access="read", filter="a/+"),
            Rule(kind="topic", access="read", filter="a/+/#"),
        ),
    )
    other = Principal(name="alice", topics=(Rule(kind="topic", access="read", filter="a/+/#"),))

    assert compare(one, other, "read").gained is None
    assert compare(one, other, "read").lost is None
