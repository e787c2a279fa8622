"""Example topics agree with the evaluation of single topics."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.access.evaluate import evaluate
from broker.access.example_topic import compare, find_example_topic
from broker.access.rules import Principal, Rule
from broker.access.topic_filters import matches

ACTIONS = {"read": "receive", "write": "publish"}
LEVELS = ["a", "", "alice", "$SYS", "$CONTROL", "anything"]
FIRST = [*LEVELS, "$anything"]
# Every topic that rules of up to two of these levels can distinguish, and longer ones.
TOPICS = [
    topic
    for length in range(3)
    for levels in product(FIRST, *[LEVELS] * length)
    if (topic := "/".join(levels))
]
# The only topics of $SYS for which a rule can grant write access.
TOPICS += [f"$SYS/broker/connection/{name}/state" for name in LEVELS]
FILTERS = (
    st.lists(st.sampled_from(["a", "", "+", "$SYS", "$CONTROL"]), min_size=1, max_size=2)
    .flatmap(lambda levels: st.sampled_from(["/".join(levels), "/".join([*levels, "#"]), "#"]))
    .filter(bool)
)
ACCESS = st.sampled_from(["read", "write", "readwrite", "deny"])
TOPIC_RULES = st.builds(Rule, kind=st.just("topic"), access=ACCESS, filter=FILTERS)
PATTERN_RULES = st.builds(
    Rule, kind=st.just("pattern"), access=ACCESS, filter=st.sampled_from(["%u/#", "a/%u", "+/"])
)
PRINCIPALS = st.builds(
    Principal,
    name=st.just("alice"),
    topics=st.lists(TOPIC_RULES, max_size=4).map(tuple),
    patterns=st.lists(PATTERN_RULES, max_size=2).map(tuple),
)
DIRECTIONS = st.sampled_from(["read", "write"])


def topics_allowed(principal, direction):
    return {topic for topic in TOPICS if evaluate(principal, ACTIONS[direction], topic).allowed}


@settings(max_examples=60, deadline=None)
@given(PRINCIPALS, PRINCIPALS, DIRECTIONS)
def test_compare_finds_a_topic_for_every_difference(before, after, direction):
    old, new = topics_allowed(before, direction), topics_allowed(after, direction)

    difference = compare(before, after, direction)

    assert (difference.gained is not None) == bool(new - old)
    assert (difference.lost is not None) == bool(old - new)
    for topic, granting, denying in (
        (difference.gained, after, before),
        (difference.lost, before, after),
    ):
        if topic is not None:
            assert evaluate(granting, ACTIONS[direction], topic).allowed
            assert not evaluate(denying, ACTIONS[direction], topic).allowed


@settings(max_examples=60, deadline=None)
@given(PRINCIPALS, DIRECTIONS, FILTERS, st.booleans())
def test_example_topic_is_of_the_filter_and_as_asked(principal, direction, filter_, allowed):
    inside = {topic for topic in TOPICS if matches(filter_, topic)}
    granted = topics_allowed(principal, direction)
    expected = inside & granted if allowed else inside - granted

    topic = find_example_topic(principal, direction, filter_, allowed=allowed)

    assert (topic is not None) == bool(expected)
    if topic is not None:
        assert matches(filter_, topic)
        assert evaluate(principal, ACTIONS[direction], topic).allowed is allowed


@pytest.mark.parametrize("direction", ["read", "write"])
def test_added_user_gains_and_removed_user_loses_access(direction):
    principal = Principal(
        name="alice", topics=(Rule(kind="topic", access="readwrite", filter="a/#"),)
    )

    assert compare(None, principal, direction).gained == "a"
    assert compare(principal, None, direction).lost == "a"
    assert compare(principal, principal, direction).gained is None


def test_equivalent_rules_are_no_difference():
    two_rules = Principal(
        name="alice",
        topics=(
            Rule(kind="topic", access="read", filter="a/+"),
            Rule(kind="topic", access="read", filter="a/+/#"),
        ),
    )
    one_rule = Principal(name="alice", topics=(Rule(kind="topic", access="read", filter="a/+/#"),))

    assert compare(two_rules, one_rule, "read").gained is None
    assert compare(two_rules, one_rule, "read").lost is None
