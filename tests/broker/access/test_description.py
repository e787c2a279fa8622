"""Who may do what, as data that a preview shows: one added filter is one added line."""

from declared import settings_of, smallest

from broker.access.description import describe_access
from broker.settings.stack_settings import Settings


def access_of(**parts):
    return describe_access(Settings.parse(smallest() | parts))


def test_prod_in_full():
    everything = {"read": ["paragon/#"], "write": ["paragon/#"]}

    assert describe_access(settings_of("prod")) == {
        "admin": {"read": ["#"], "write": ["#"]},
        "sentient_api_prod": everything,
        "sentient_executor_prod": everything,
        "sentient_monitor_prod": {"read": ["paragon/#", "$SYS/#"], "write": ["paragon/#"]},
        "paragon_devices": {
            "read": ["paragon/+/commands/#"],
            "write": ["paragon/+/sensors/#", "paragon/+/status/#", "paragon/+/events/#"],
        },
    }


def test_nobody_of_our_own_is_in_it():
    assert set(access_of()) == {"sensor"}


def test_an_added_filter_moves_no_other():
    before = access_of(users={"a": {"read": ["z", "m"]}})["a"]["read"]
    after = access_of(users={"a": {"read": ["z", "m", "b"]}})["a"]["read"]

    assert after == [*before, "b"]


def test_what_two_rules_grant_is_there_once():
    assert access_of(users={"a": {"readwrite": ["x"], "read": ["x", "y"]}})["a"] == {
        "read": ["x", "y"],
        "write": ["x"],
    }


def test_a_denial_is_shown_where_there_is_one():
    assert access_of(users={"a": {"readwrite": ["x/#"], "deny": ["x/y"]}})["a"] == {
        "read": ["x/#"],
        "write": ["x/#"],
        "deny": ["x/y"],
    }


def test_what_is_everybodys_is_shown_under_each_name():
    access = access_of(
        users={"a": {}, "b": {}}, patterns={"read": ["clients/%u"], "write": ["seen/%c"]}
    )

    assert access["a"]["read"] == ["clients/a"]
    assert access["b"]["read"] == ["clients/b"]
    # Whoever connects chooses a client id.
    assert access["a"]["write"] == ["seen/+"]


def test_a_fleet_is_one_entry_however_many_its_members():
    access = access_of(
        fleets={"door": {"count": 500, "prefix": "door", "write": ["paragon/%u/sensors/#"]}}
    )

    assert set(access) == {"sensor", "fleet door"}
    assert access["fleet door"]["write"] == ["paragon/%u/sensors/#"]
