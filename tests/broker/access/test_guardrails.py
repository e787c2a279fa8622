"""What is allowed and seldom meant is an error in prod and a word elsewhere, unless switched."""

import pytest
from declared import settings_of, smallest

from broker.access.guardrails import guardrail_findings
from broker.settings.stack_settings import Settings, SettingsError

TREE = {"commands": "paragon/+/commands/#", "sensors": "paragon/+/sensors/#"}


def listening(**listener):
    return {"broker": smallest(listeners={"mqtt": {"port": 1883} | listener})["broker"]}


def found(stack="prod", **parts):
    return guardrail_findings(Settings.parse(smallest() | parts), stack)


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_our_own_stack_files_run_into_none(stack):
    assert guardrail_findings(settings_of(stack), stack) == []


# Where it speaks, of what, and what it is silent of.
SLIPS = {
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
    "openListener": (
        "broker.listeners.mqtt",
        listening(),
        listening(allowFrom=["10.0.0.0/8"]),
    ),
}
each_guardrail = pytest.mark.parametrize("name", SLIPS)


@each_guardrail
def test_it_speaks_of_the_slip_by_name_and_place(name):
    path, slip, _ = SLIPS[name]

    (finding,) = found(**slip)

    assert (finding.path, finding.severity) == (f"sentient-mqtt:{path}", "error")
    assert finding.message.endswith(f"(guardrail {name})")
    assert finding.fix.endswith(".")


@each_guardrail
def test_it_is_silent_once_that_is_mended(name):
    _, _, mended = SLIPS[name]

    assert found(**mended) == []


@each_guardrail
def test_elsewhere_than_in_prod_it_warns(name):
    _, slip, _ = SLIPS[name]

    assert [finding.severity for finding in found("dev", **slip)] == ["warning"]


@each_guardrail
@pytest.mark.parametrize("level", ["error", "warning", "off"])
def test_it_can_be_switched_with_a_reason(name, level):
    _, slip, _ = SLIPS[name]
    switch = {name: {"level": level, "reason": "as it was agreed"}}

    levels = [finding.severity for finding in found(**slip, guardrails=switch)]

    assert levels == ([] if level == "off" else [level])


@pytest.mark.parametrize(
    ("networks", "opens"),
    [
        (["0.0.0.0/0"], True),
        (["192.168.0.0/16", "::/0"], True),
        (["0.0.0.0/1", "128.0.0.0/1"], True),
        (["0.0.0.0/1", "192.168.0.0/16", "8000::/1"], False),
    ],
)
def test_a_list_that_names_everybody_is_none(networks, opens):
    listener = listening(bindAddress="::", allowFrom=networks)

    assert ["of everybody" in finding.message for finding in found(**listener)] == [True] * opens


def test_a_switch_without_a_reason_is_refused():
    with pytest.raises(SettingsError, match=r"guardrails\.oneAdmin\.reason: is required"):
        found(guardrails={"oneAdmin": {"level": "off"}})


def test_a_switch_for_no_guardrail_is_told_those_that_there_are():
    with pytest.raises(SettingsError, match=r"guardrails\.oneAdmn: .*'oneAdmin'"):
        found(guardrails={"oneAdmn": {"level": "off", "reason": "x"}})
