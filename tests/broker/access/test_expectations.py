"""An expectation holds for every topic, or is an error that names a topic."""

import pytest
from declared import settings_of, smallest, stack_file

from broker.access.expectations import GRAMMAR, Expectation
from broker.access.review import review_access
from broker.findings import of_severity, one_line
from broker.settings.stack_settings import Settings, SettingsError


def errors_of(settings, stack):
    return tuple(one_line(of_severity("error", review_access(settings, stack))))


def expectation_errors(sentence, **users):
    raw = smallest() | {"users": users or {"sensor": {"write": ["a/+/sensors/#"]}}}
    return errors_of(Settings.parse(raw | {"expect": [sentence]}), "dev")


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_expectations_of_the_stack_files_are_satisfied(stack):
    settings = settings_of(stack)

    assert len(settings.expect) >= 4
    assert errors_of(settings, stack) == ()


def test_device_that_may_write_a_command_is_an_error():
    raw = stack_file("prod")
    raw["users"]["paragon_devices"]["write"].append("paragon/+/+/door")

    errors = errors_of(Settings.parse(raw), "prod")

    assert "sentient-mqtt:expect[1]: 'paragon_devices may not write" in errors[0]
    assert "expectation violated: paragon_devices may write paragon/" in errors[0]
    assert "/commands/door" in errors[0]


@pytest.mark.parametrize(
    ("sentence", "satisfied"),
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
def test_expectation_is_checked_for_every_topic(sentence, satisfied):
    assert (expectation_errors(sentence) == ()) is satisfied


def test_denials_are_considered():
    users = {"sensor": {"readwrite": ["a/#"], "deny": ["a/b"]}}

    assert expectation_errors("sensor may not read a/b", **users) == ()
    (error,) = expectation_errors("sensor may read a/+", **users)
    assert error.endswith("expectation violated: sensor may not read a/b.")


def test_every_violating_user_is_named():
    users = {"one": {"read": ["a"]}, "two": {"read": ["+"]}, "three": {}}

    errors = expectation_errors("nobody may read a", **users)

    assert [error.rpartition("expectation violated: ")[2] for error in errors] == [
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
def test_invalid_statement_is_an_error_with_the_grammar(sentence):
    with pytest.raises(ValueError, match=r"^an expectation reads"):
        Expectation.parse(sentence)
    with pytest.raises(SettingsError) as raised:
        expectation_errors(sentence)
    assert GRAMMAR in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("sensr may read a", "'sensr' is not a user. Did you mean 'sensor'?"),
        ("nobody but zoe may read a", "'zoe' is not a user."),
        ("sensor may read a/#/b", "'#' must be the last level"),
    ],
)
def test_unknown_user_or_invalid_filter_is_an_error(sentence, message):
    with pytest.raises(SettingsError) as raised:
        expectation_errors(sentence)

    assert str(raised.value).startswith("sentient-mqtt:expect[0]: ")
    assert message in str(raised.value)


def fleet_errors(sentence, **fleet):
    raw = smallest() | {"fleets": {"door": {"write": ["paragon/%u/sensors/#"]} | fleet}}
    return errors_of(Settings.parse(raw | {"expect": [sentence]}), "dev")


def test_violation_by_a_fleet_names_one_member():
    (error,) = fleet_errors(
        "nobody but sensor, healthcheck may write paragon/#", count=5000, prefix="door-"
    )

    assert "expectation violated: door-001 may write paragon/door-001/sensors" in error


def test_member_whose_name_is_in_a_filter_is_checked_itself():
    names = {"names": ["north", "south", "west"]}

    (error,) = fleet_errors("nobody but sensor may write paragon/south/sensors/x", **names)

    assert "expectation violated: south may write paragon/south/sensors/x" in error
    assert fleet_errors("nobody but sensor, south may write paragon/south/sensors/x", **names) == ()
    errors = fleet_errors(
        "nobody but sensor, healthcheck, north may write +/west/x",
        **names | {"write": ["%u/west/x"]},
    )
    assert [error.partition("expectation violated: ")[2].split()[0] for error in errors] == [
        "south",
        "west",
    ]
