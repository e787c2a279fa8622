"""The impact of a change: reload or replacement, and the disconnected logins."""

import pytest
from declared import smallest

from broker.host.facts import HostFacts
from broker.mosquitto.impact import Impact, impact, impact_notes, remembered, withdrawn
from broker.mosquitto.reload_or_replace import start_digest
from broker.settings.stack_settings import Settings

USERS = {"sensor": {"write": ["a"]}, "display": {"read": ["a"]}}


def settings(**users):
    return Settings.parse(smallest() | {"users": USERS | users})


def facts_of(settings, **facts):
    known = {("container", "mosquitto-test"): "dev"}
    known["configuration", "mosquitto-test"] = start_digest(settings.broker)
    known |= {("known", name): stamp for name, stamp in remembered(settings).items()}
    return HostFacts(facts=known | {(key, "mosquitto-test"): value for key, value in facts.items()})


def notes(before, after, **facts):
    return [
        finding.text
        for finding in impact_notes("mosquitto-test", impact_of(before, after, **facts))
    ]


def impact_of(before, after, **facts):
    digest = start_digest(after.broker)
    host_facts = facts_of(before, **facts)
    return impact("mosquitto-test", "dev", remembered(after), digest, host_facts)


def test_unchanged_settings_have_no_notes():
    assert notes(settings(), settings()) == []


def settings_with(**broker):
    return Settings.parse(smallest(**broker) | {"users": USERS})


@pytest.mark.parametrize(
    "after",
    [
        settings(newcomer={"read": ["a"]}),
        settings(display={"read": ["b"]}),
        settings_with(logging={"types": ["error"]}),
        settings_with(passwords={"iterations": 1000}),
    ],
    ids=["newcomer", "rule", "log types", "iterations"],
)
def test_note_of_a_reload_that_disconnects_nobody(after):
    assert notes(settings(), after) == ["A reload, no restart. Nobody is disconnected."]


def test_note_of_a_rotation_names_only_its_user():
    (sentence,) = notes(settings(), settings(display={"read": ["a"], "generation": 2}))

    assert sentence == (
        "A reload, no restart. Disconnected at once: clients of display. Nobody else."
    )


def test_impact_lists_disconnected_logins():
    rotated = settings(display={"read": ["a"], "generation": 2})

    assert impact_of(settings(), rotated) == Impact(action="reload", disconnected=("display",))
    assert impact_of(settings(), settings()) == Impact(action="none")
    replaced = impact_of(settings(), settings(), configuration="another")
    assert replaced.action == "replace"
    assert set(replaced.disconnected) == {"display", "healthcheck", "sensor"}


def test_replacement_disconnects_every_client():
    (sentence,) = notes(settings(), settings(), configuration="another")

    assert "Container mosquitto-test is replaced: every client is disconnected once" in sentence


def test_absent_or_foreign_container_has_no_impact():
    for owner in ("none", "prod", "made by hand"):
        assert notes(settings(), settings(), configuration="another", container=owner) == []


def test_note_names_only_the_first_of_many_logins():
    many = {f"user-{number}": {"read": ["a"]} for number in range(30)}

    (sentence,) = notes(settings(**many), settings())

    assert "user-0, " in sentence
    assert "and 18 more" in sentence


def test_first_up_without_stamps_on_the_host_has_no_impact():
    after = settings(display={"read": ["a"], "generation": 2})
    facts = {("container", "mosquitto-test"): "dev"}

    expected = impact("mosquitto-test", "dev", remembered(after), "x", HostFacts(facts=facts))
    assert expected == Impact(action="none")


def test_rolled_back_change_is_detected_by_its_stamp():
    assert withdrawn(HostFacts(facts={("known", ":rules"): "withdrawn-1000"})) == "withdrawn-1000"
    assert withdrawn(HostFacts(facts={("known", ":rules"): "0123456789abcdef"})) == ""
    assert withdrawn(HostFacts(facts={})) == ""


def test_members_that_version_0_1_stamped_with_special_are_not_disconnected():
    special = smallest(passwords={"special": True})
    fleet = {"names": ["x", "y"], "write": ["a/%u"], "overrides": {"y": {"generation": 2}}}
    stack = Settings.parse(special | {"users": USERS, "fleets": {"teensy": fleet}})
    known = {("known", name): stamp for name, stamp in remembered(stack).items()}
    of_0_1 = {("known", name): known["known", name] + "s" for name in ("x", "y")}
    assert known["known", "sensor"].endswith("s"), "special applies to users"
    facts = facts_of(stack).facts | of_0_1

    def disconnected(changed=(), members=("x", "y")):
        host_facts = HostFacts(facts=facts | dict(changed))
        digest = start_digest(stack.broker)
        stamps = remembered(stack)
        expected = impact("mosquitto-test", "dev", stamps, digest, host_facts, members=members)
        return expected.disconnected

    assert disconnected() == ()
    assert disconnected({("known", "y"): "1 24s"}) == ("y",)
    assert disconnected({("known", "sensor"): "1 24"}) == ("sensor",)
    assert disconnected(members=()) == ("x", "y")
