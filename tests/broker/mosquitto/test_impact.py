"""A preview says whom a change disconnects, from what is on the host."""

import pytest
from declared import smallest

from broker.host.facts import HostFacts
from broker.mosquitto.impact import Impact, impact, impact_notes, remembered, withdrawn
from broker.mosquitto.reload_or_replace import start_digest
from broker.settings.stack_settings import Settings

USERS = {"sensor": {"write": ["a"]}, "display": {"read": ["a"]}}


def settings(**users):
    return Settings.parse(smallest() | {"users": USERS | users})


def seen_of(settings, **facts):
    known = {("container", "mosquitto-test"): "dev"}
    known["configuration", "mosquitto-test"] = start_digest(settings.broker)
    known |= {("known", name): stamp for name, stamp in remembered(settings).items()}
    return HostFacts(facts=known | {(key, "mosquitto-test"): value for key, value in facts.items()})


def said(before, after, **facts):
    return [finding.text for finding in impact_notes("mosquitto-test", on(before, after, **facts))]


def on(before, after, **facts):
    digest = start_digest(after.broker)
    seen = seen_of(before, **facts)
    return impact("mosquitto-test", "dev", remembered(after), digest, seen)


def test_where_nothing_is_reloaded_nothing_is_said():
    assert said(settings(), settings()) == []


def of(**broker):
    return Settings.parse(smallest(**broker) | {"users": USERS})


@pytest.mark.parametrize(
    "after",
    [
        settings(newcomer={"read": ["a"]}),
        settings(display={"read": ["b"]}),
        of(logging={"types": ["error"]}),
        of(passwords={"iterations": 1000}),
    ],
    ids=["newcomer", "rule", "log types", "iterations"],
)
def test_a_reload_that_disconnects_nobody_says_so(after):
    assert said(settings(), after) == ["A reload, no restart. Nobody is disconnected."]


def test_a_rotation_names_those_whom_it_concerns_and_says_that_it_is_all():
    (sentence,) = said(settings(), settings(display={"read": ["a"], "generation": 2}))

    assert sentence == (
        "A reload, no restart. Disconnected at once: clients of display. Nobody else."
    )


def test_the_plan_knows_whom_it_disconnects():
    rotated = settings(display={"read": ["a"], "generation": 2})

    assert on(settings(), rotated) == Impact(action="reload", disconnected=("display",))
    assert on(settings(), settings()) == Impact(action="none")
    replaced = on(settings(), settings(), configuration="another")
    assert replaced.action == "replace"
    assert set(replaced.disconnected) == {"display", "healthcheck", "sensor"}


def test_another_container_is_everybody():
    (sentence,) = said(settings(), settings(), configuration="another")

    assert "Container mosquitto-test is replaced: every client is disconnected once" in sentence


def test_of_a_container_that_is_not_there_or_not_ours_nothing_is_said():
    for owner in ("none", "prod", "made by hand"):
        assert said(settings(), settings(), configuration="another", container=owner) == []


def test_of_many_the_first_are_named():
    many = {f"user-{number}": {"read": ["a"]} for number in range(30)}

    (sentence,) = said(settings(**many), settings())

    assert "user-0, " in sentence
    assert "and 18 more" in sentence


def test_a_first_up_from_before_there_was_such_a_file_says_nothing():
    after = settings(display={"read": ["a"], "generation": 2})
    facts = {("container", "mosquitto-test"): "dev"}

    expected = impact("mosquitto-test", "dev", remembered(after), "x", HostFacts(facts=facts))
    assert expected == Impact(action="none")


def test_a_change_that_was_taken_back_on_the_host_is_to_be_put_in_place():
    assert withdrawn(HostFacts(facts={("known", ":rules"): "withdrawn-1000"})) == "withdrawn-1000"
    assert withdrawn(HostFacts(facts={("known", ":rules"): "0123456789abcdef"})) == ""
    assert withdrawn(HostFacts(facts={})) == ""
