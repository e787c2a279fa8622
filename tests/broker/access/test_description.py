"""The access of users and fleets as data: an added filter is one added line in a preview."""

from declared import settings_of, smallest

from broker.access.description import describe_access
from broker.settings.stack_settings import Settings


def access_of(**keys):
    return describe_access(Settings.parse(smallest() | keys))


def test_access_of_prod():
    paragon = {"read": ["paragon/#"], "write": ["paragon/#"]}

    assert describe_access(settings_of("prod")) == {
        "admin": {"read": ["#"], "write": ["#"]},
        "sentient_api_prod": paragon,
        "sentient_executor_prod": paragon,
        "sentient_monitor_prod": {"read": ["paragon/#", "$SYS/#"], "write": ["paragon/#"]},
        "paragon_devices": {
            "read": ["paragon/+/commands/#"],
            "write": ["paragon/+/sensors/#", "paragon/+/status/#", "paragon/+/events/#"],
        },
    }


def test_health_check_user_is_not_included():
    assert set(access_of()) == {"sensor"}


def test_added_filter_is_appended():
    before = access_of(users={"a": {"read": ["z", "m"]}})["a"]["read"]
    after = access_of(users={"a": {"read": ["z", "m", "b"]}})["a"]["read"]

    assert after == [*before, "b"]


def test_filter_of_two_rules_is_listed_once():
    assert access_of(users={"a": {"readwrite": ["x"], "read": ["x", "y"]}})["a"] == {
        "read": ["x", "y"],
        "write": ["x"],
    }


def test_denial_is_listed_if_there_is_one():
    assert access_of(users={"a": {"readwrite": ["x/#"], "deny": ["x/y"]}})["a"] == {
        "read": ["x/#"],
        "write": ["x/#"],
        "deny": ["x/y"],
    }


def test_patterns_are_listed_for_each_user_with_its_name():
    access = access_of(
        users={"a": {}, "b": {}}, patterns={"read": ["clients/%u"], "write": ["connected/%c"]}
    )

    assert access["a"]["read"] == ["clients/a"]
    assert access["b"]["read"] == ["clients/b"]
    # A client chooses its client id.
    assert access["a"]["write"] == ["connected/+"]


def test_fleet_is_one_entry():
    access = access_of(
        fleets={"door": {"count": 500, "prefix": "door", "write": ["paragon/%u/sensors/#"]}}
    )

    assert set(access) == {"sensor", "fleet door"}
    assert access["fleet door"]["write"] == ["paragon/%u/sensors/#"]
