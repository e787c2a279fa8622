"""What a stack file expects stays true of every topic, or is told with one that shows it isn't."""

import pytest
from declared import settings_of, smallest, stack_file

from broker.access.expectations import GRAMMAR, Expectation
from broker.access.review import review_access
from broker.findings import of_severity, one_line
from broker.settings.stack_settings import Settings, SettingsError


def errors_of(settings, stack):
    return tuple(one_line(of_severity("error", review_access(settings, stack))))


def told(sentence, **users):
    raw = smallest() | {"users": users or {"sensor": {"write": ["a/+/sensors/#"]}}}
    return errors_of(Settings.parse(raw | {"expect": [sentence]}), "dev")


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_what_our_own_stack_files_expect_is_true(stack):
    settings = settings_of(stack)

    assert len(settings.expect) >= 4
    assert errors_of(settings, stack) == ()


def test_a_device_that_could_write_a_command_stops_prod():
    raw = stack_file("prod")
    raw["users"]["paragon_devices"]["write"].append("paragon/+/+/door")

    errors = errors_of(Settings.parse(raw), "prod")

    assert "sentient-mqtt:expect[1]: 'paragon_devices may not write" in errors[0]
    assert "not so: paragon_devices may write paragon/" in errors[0]
    assert "/commands/door" in errors[0]


@pytest.mark.parametrize(
    ("sentence", "true"),
    [
        ("sensor may write a/b/sensors/#", True),
        ("sensor may write a/#", False),
        ("sensor may not write a/b/commands", True),
        ("sensor may not write a/+/sensors/x", False),
        ("sensor may not read #", True),
        ("sensor may read a/b/sensors/c", False),
        ("nobody may write b/#", True),
        ("nobody may write a/#", False),
        ("nobody but sensor may write a/#", True),
        ("nobody may read $SYS/#", False),
        ("nobody but healthcheck may read $SYS/#", True),
        ("nobody but sensor, healthcheck may read #", True),
    ],
)
def test_a_sentence_is_held_against_every_topic(sentence, true):
    assert (told(sentence) == ()) is true


def test_a_denial_counts():
    users = {"sensor": {"readwrite": ["a/#"], "deny": ["a/b"]}}

    assert told("sensor may not read a/b", **users) == ()
    (error,) = told("sensor may read a/+", **users)
    assert error.endswith("not so: sensor may not read a/b.")


def test_each_user_for_whom_it_is_false_is_named():
    errors = told("nobody may read a", one={"read": ["a"]}, two={"read": ["+"]}, three={})

    assert [each.rpartition("not so: ")[2] for each in errors] == [
        "one may read a.",
        "two may read a.",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "sensor could write a",
        "sensor may write",
        "sensor may publish a",
        "nobody may not read a",
        "nobody but may read a",
        "may read a",
        "",
        "sensor may read  a",
        "sensor may read a\nsensor may read b",
    ],
)
def test_what_is_no_such_sentence_is_told_the_grammar(sentence):
    with pytest.raises(ValueError, match=r"^an expectation reads"):
        Expectation.parse(sentence)
    with pytest.raises(SettingsError) as wrong:
        told(sentence)
    assert GRAMMAR in str(wrong.value)
    assert len(str(wrong.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("sentence", "says"),
    [
        ("sensr may read a", "'sensr' is not a user. Did you mean 'sensor'?"),
        ("nobody but zoe may read a", "'zoe' is not a user."),
        ("sensor may read a/#/b", "'#' must be the last level"),
    ],
)
def test_what_it_speaks_of_must_be_there(sentence, says):
    with pytest.raises(SettingsError) as wrong:
        told(sentence)

    assert str(wrong.value).startswith("sentient-mqtt:expect[0]: ")
    assert says in str(wrong.value)


def told_of_a_fleet(sentence, **fleet):
    raw = smallest() | {"fleets": {"door": {"write": ["paragon/%u/sensors/#"]} | fleet}}
    return errors_of(Settings.parse(raw | {"expect": [sentence]}), "dev")


def test_of_a_fleet_one_member_speaks_for_all():
    (error,) = told_of_a_fleet(
        "nobody but sensor, healthcheck may write paragon/#", count=5000, prefix="door-"
    )

    assert "not so: door-001 may write paragon/door-001/sensors" in error


def test_a_member_whose_name_is_spelt_out_speaks_for_itself():
    names = {"names": ["north", "south", "west"]}

    (error,) = told_of_a_fleet("nobody but sensor may write paragon/south/sensors/x", **names)

    assert "not so: south may write paragon/south/sensors/x" in error
    assert (
        told_of_a_fleet("nobody but sensor, south may write paragon/south/sensors/x", **names) == ()
    )
    errors = told_of_a_fleet(
        "nobody but sensor, healthcheck, north may write +/west/x",
        **names | {"write": ["%u/west/x"]},
    )
    assert [each.partition("not so: ")[2].split()[0] for each in errors] == ["south", "west"]
