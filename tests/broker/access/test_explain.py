"""Answers to questions about access name the rule that decides."""

import pytest
from declared import SMALLEST

from broker.access.evaluate import evaluate
from broker.access.explain import explain, who_can
from broker.access.rules import Principal, Rule
from broker.settings.stack_settings import Settings
from cli.stack import Stack

PROD = Stack.read("prod").settings


def test_granting_rule_is_named_with_its_path():
    publish, receive = explain(PROD, "paragon_devices", "paragon/clockwork/status/door")

    assert publish == (
        "paragon_devices may publish to paragon/clockwork/status/door: "
        "'topic write paragon/+/status/#' (users.paragon_devices.write[1])."
    )
    assert receive.startswith("paragon_devices may not receive")
    assert "no rule grants it" in receive


def test_who_can_lists_users_with_access_only():
    writers = who_can(PROD, "write", "paragon/clockwork/commands/door")

    assert "admin" in writers
    assert "paragon_devices" not in writers
    assert "paragon_devices" in who_can(PROD, "read", "paragon/clockwork/commands/door")


def test_who_can_of_a_filter_lists_users_with_access_to_any_of_its_topics():
    assert set(who_can(PROD, "read", "$SYS/#")) == {"sentient_monitor_prod", "healthcheck"}
    assert who_can(PROD, "write", "$SYS/#") == {}


def test_filter_is_explained_with_allowed_and_denied_topics():
    assert explain(PROD, "sentient_monitor_prod", "$SYS/#") == [
        "sentient_monitor_prod may not publish to any of $SYS/#, for example $SYS: the broker "
        "lets nobody write to $SYS.",
        "sentient_monitor_prod may receive what is sent to all of $SYS/#, for example $SYS: "
        "'topic read $SYS/#' (users.sentient_monitor_prod.read[0]).",
    ]
    allowed, denied, *_ = explain(PROD, "paragon_devices", "paragon/#")
    assert allowed.startswith("paragon_devices may publish to some of paragon/#, for example ")
    assert "'topic write paragon/+/" in allowed
    assert denied.startswith("paragon_devices may not publish to some of paragon/#, for example ")


def test_denied_system_topic_mentions_that_wildcards_do_not_match_it():
    received = explain(PROD, "admin", "$SYS/broker/uptime")[1]

    assert received.startswith("admin may not receive")
    assert received.endswith("'#' or '+' matches no topic that begins with '$'.")
    assert "begins with '$'" not in explain(PROD, "paragon_devices", "$SYS/broker/uptime")[1]


@pytest.fixture
def by_client_id():
    patterns = {"read": ["%c/#"], "write": ["room/%c/state"], "deny": ["room/%c/secret"]}
    return Settings.parse(SMALLEST | {"patterns": patterns})


@pytest.mark.parametrize(
    ("direction", "topic", "rule"),
    [
        ("read", "$SYS/#", "'pattern read %c/#' (patterns.read[0]), with the client id '$SYS'"),
        ("write", "#", "'pattern write room/%c/state' (patterns.write[0]), with the client id"),
        ("write", "room/client/state", "(patterns.write[0]), with the client id 'client'"),
        ("write", "room/a/b/state", "(patterns.write[0]), with the client id 'a/b'"),
    ],
)
def test_rule_with_a_client_id_is_named_with_the_id(by_client_id, direction, topic, rule):
    assert rule in who_can(by_client_id, direction, topic)["healthcheck"]


def test_explain_and_who_can_agree_about_client_ids(by_client_id):
    publish, receive = explain(by_client_id, "healthcheck", "room/a/state")

    assert "may publish" in publish
    assert publish.endswith("with the client id 'a'.")
    assert "may receive" in receive
    # A client that is denied a topic under one id can connect with another id.
    assert "may receive" in explain(by_client_id, "healthcheck", "room/client/secret")[1]
    assert "healthcheck" in who_can(by_client_id, "read", "room/client/secret")
    assert who_can(by_client_id, "write", "room/a/other") == {}


@pytest.mark.parametrize(
    ("action", "topic", "allowed"),
    [
        ("receive", "$CONTROL/dynamic-security/v1", False),
        ("receive", "$CONTROL", True),
        ("receive", "$CONTROLS/x", True),
        ("publish", "$CONTROL/dynamic-security/v1", True),
    ],
)
def test_messages_to_plugins_reach_no_client(action, topic, allowed):
    rules = [Rule(kind="topic", access="readwrite", filter=f"{topic.partition('/')[0]}/#")]

    decision = evaluate(Principal(name="a", topics=tuple(rules)), action, topic)

    assert decision.allowed is allowed
