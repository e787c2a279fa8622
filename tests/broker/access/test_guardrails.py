"""Findings of guardrails are errors in prod and warnings otherwise, unless configured."""

import pytest
from declared import settings_of, smallest

from broker.access.guardrails import ALWAYS_WARNINGS, guardrail_findings
from broker.settings.stack_settings import Settings, SettingsError

TREE = {"commands": "paragon/+/commands/#", "sensors": "paragon/+/sensors/#"}


def listening(**listener):
    return {"broker": smallest(listeners={"mqtt": {"port": 1883} | listener})["broker"]}


def findings(stack="prod", **keys):
    return guardrail_findings(Settings.parse(smallest() | keys), stack)


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_stack_files_have_no_findings(stack):
    assert guardrail_findings(settings_of(stack), stack) == []


# Path of the finding, settings with the finding, settings without it.
CASES = {
    "oneAdmin": (
        "users.b",
        {"users": {"a": {"readwrite": ["#"]}, "b": {"read": ["#"]}}},
        {"users": {"a": {"readwrite": ["#"]}, "b": {"read": ["x/#"]}}},
    ),
    "systemTopics": (
        "users.a.write[0]",
        {"users": {"a": {"write": ["$SYS/broker"]}}},
        {"users": {"a": {"read": ["$SYS/broker"]}}},
    ),
    "idleUser": (
        "users.a",
        {"users": {"a": {"deny": ["x"]}}},
        {"users": {"a": {"read": ["x"]}}},
    ),
    "deviceCommands": (
        "users.a",
        {"topics": TREE, "users": {"a": {"device": True, "write": ["paragon/+/+/x"]}}},
        {"topics": TREE, "users": {"a": {"write": ["paragon/+/+/x"]}}},
    ),
    "strayFilter": (
        "users.a.read[0]",
        {"topics": TREE, "users": {"a": {"read": ["paragn/#"]}}},
        {"topics": TREE, "users": {"a": {"read": ["paragon/#", "$SYS/#"]}}},
    ),
    "sameName": (
        "users.Door",
        {"users": {"door": {"read": ["x"]}, "Door": {"read": ["x"]}}},
        {"users": {"door": {"read": ["x"]}, "gate": {"read": ["x"]}}},
    ),
    "needlessReadwrite": (
        "users.a.readwrite[0]",
        {"users": {"a": {"readwrite": ["x"], "uses": ["read"]}}},
        {"users": {"a": {"readwrite": ["x"], "uses": ["read", "write"]}}},
    ),
    "emptyLevel": (
        "users.a.read[0]",
        {"users": {"a": {"read": ["/x"]}}},
        {"users": {"a": {"read": ["x"]}}},
    ),
    "openListener": (
        "broker.listeners.mqtt",
        listening(),
        listening(allowFrom=["10.0.0.0/8"]),
    ),
}
for_every_guardrail = pytest.mark.parametrize("name", CASES)


@pytest.mark.parametrize("stack", ["dev", "prod"])
@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("patterns.write[0]", {"patterns": {"write": ["paragon/%c/status"]}}),
        ("patterns.deny[0]", {"patterns": {"deny": ["paragon/%c/status"]}}),
    ],
)
def test_a_rule_by_client_id_is_a_warning_everywhere(stack, path, keys):
    (finding,) = findings(stack, **keys)

    assert (finding.path, finding.severity) == (f"sentient-mqtt:{path}", "warning")
    assert finding.message.endswith("(guardrail clientId)")
    level = {"clientId": {"level": "error", "reason": "no ids"}}
    (stricter,) = findings(stack, **keys, guardrails=level)
    assert stricter.severity == "error"


def test_a_rule_by_user_name_has_no_finding():
    assert findings(patterns={"write": ["paragon/%u/status"], "read": ["a/%u/%c"]}) == []


@for_every_guardrail
def test_finding_has_path_guardrail_and_fix(name):
    path, with_finding, _ = CASES[name]

    (finding,) = findings(**with_finding)

    severity = "warning" if name in ALWAYS_WARNINGS else "error"
    assert (finding.path, finding.severity) == (f"sentient-mqtt:{path}", severity)
    assert finding.message.endswith(f"(guardrail {name})")
    assert finding.fix.endswith(".")


@for_every_guardrail
def test_no_finding_after_the_fix(name):
    _, _, without_finding = CASES[name]

    assert findings(**without_finding) == []


@for_every_guardrail
def test_finding_is_a_warning_outside_prod(name):
    _, with_finding, _ = CASES[name]

    assert [finding.severity for finding in findings("dev", **with_finding)] == ["warning"]


@for_every_guardrail
@pytest.mark.parametrize("level", ["error", "warning", "off"])
def test_level_can_be_configured(name, level):
    _, with_finding, _ = CASES[name]
    guardrails = {name: {"level": level, "reason": "as agreed"}}

    levels = [finding.severity for finding in findings(**with_finding, guardrails=guardrails)]

    assert levels == ([] if level == "off" else [level])


@pytest.mark.parametrize("filter_", ["/a", "a/", "a//b", "/", "/a/#"])
def test_empty_level_is_reported_once_per_rule(filter_):
    (finding,) = findings(
        users={"a": {"read": [filter_]}}, guardrails={"oneAdmin": {"level": "off", "reason": "x"}}
    )

    assert finding.message.startswith(f"{filter_!r} has an empty level")


@pytest.mark.parametrize(
    ("networks", "open_to_everyone"),
    [
        (["0.0.0.0/0"], True),
        (["192.168.0.0/16", "::/0"], True),
        (["0.0.0.0/1", "128.0.0.0/1"], True),
        (["0.0.0.0/1", "192.168.0.0/16", "8000::/1"], False),
    ],
)
def test_allow_from_with_every_address_is_a_finding(networks, open_to_everyone):
    listener = listening(bindAddress="::", allowFrom=networks)

    messages = [finding.message for finding in findings(**listener)]

    assert ["includes every address" in text for text in messages] == [True] * open_to_everyone


def test_level_without_a_reason_is_an_error():
    with pytest.raises(SettingsError, match=r"guardrails\.oneAdmin\.reason: is required"):
        findings(guardrails={"oneAdmin": {"level": "off"}})


def test_unknown_guardrail_is_an_error_that_lists_the_guardrails():
    with pytest.raises(SettingsError, match=r"guardrails\.oneAdmn: .*'oneAdmin'"):
        findings(guardrails={"oneAdmn": {"level": "off", "reason": "x"}})
