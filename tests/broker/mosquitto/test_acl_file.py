"""The ACL file is the seed's, line by line, and nothing that it doesn't say."""

import pytest
from declared import settings_of, smallest

from broker.mosquitto.acl_file import render_acl
from broker.settings.stack_settings import Settings

# The seed's page, "Access Control (ACL)", with the line that it forgets: its own check of $SYS
# fails under its own rules.
SEED = """\
# Admin user (full access)
user admin
topic readwrite #

# Production API service
user sentient_api_prod
topic readwrite paragon/#

# Production executor service
user sentient_executor_prod
topic readwrite paragon/#

# Production monitor service
user sentient_monitor_prod
topic readwrite paragon/#
topic read $SYS/#

# Teensy controllers (read commands, write sensors/status)
user paragon_devices
topic read paragon/+/commands/#
topic write paragon/+/sensors/#
topic write paragon/+/status/#
topic write paragon/+/events/#
"""


def test_prod_renders_the_seeds_rules_line_by_line():
    acl = render_acl(settings_of("prod"))

    assert acl.startswith(SEED)


def test_what_follows_the_seeds_are_two_users_who_open_nothing():
    rest = render_acl(settings_of("prod")).removeprefix(SEED)

    assert [line for line in rest.splitlines() if not line.startswith("#")] == [
        "",
        "user healthcheck",
        "topic read $SYS/broker/uptime",
        "",
        "user sentient-mqtt-canary",
        "topic deny sentient-mqtt/denied",
    ]


def test_nothing_stands_above_the_first_user():
    """A topic line there would be for anonymous clients."""
    for stack in ("dev", "prod"):
        first = next(
            line for line in render_acl(settings_of(stack)).splitlines() if not line.startswith("#")
        )
        assert first == "user admin"


def test_users_and_their_filters_keep_the_order_of_the_stack_file():
    acl = lines_of(
        users={"zoe": {"read": ["z", "a"], "readwrite": ["m"]}, "adam": {"write": ["b"]}}
    )

    assert acl[:7] == [
        "user zoe",
        "topic readwrite m",
        "topic read z",
        "topic read a",
        "",
        "user adam",
        "topic write b",
    ]


def test_denials_stand_first_also_those_of_a_role():
    acl = lines_of(
        users={"zoe": {"readwrite": ["a/#"], "deny": ["a/b"], "roles": ["quiet"]}},
        roles={"quiet": {"deny": ["a/c"], "read": ["d"]}},
    )

    assert acl[:5] == [
        "user zoe",
        "topic deny a/b",
        "topic deny a/c",
        "topic readwrite a/#",
        "topic read d",
    ]


def test_a_description_is_a_comment_above_its_user_and_no_description_is_none():
    acl = lines_of(users={"a": {"description": "The door"}, "b": {}})

    assert acl[:4] == ["# The door", "user a", "", "user b"]


@pytest.mark.parametrize("description", ["user eve", "topic readwrite #", "# again"])
def test_a_description_stays_a_comment(description):
    acl = lines_of(users={"a": {"description": description}})

    assert acl[0] == f"# {description}"


def test_a_rule_said_twice_is_one_line():
    acl = lines_of(users={"a": {"read": ["x", "x"], "roles": ["r"]}}, roles={"r": {"read": ["x"]}})

    assert acl.count("topic read x") == 1


def test_a_role_is_filled_in_for_each_user():
    acl = lines_of(
        users={
            "a": {"roles": [{"room": {"room": "cellar"}}]},
            "b": {"roles": [{"room": {"room": "attic"}}]},
        },
        roles={"room": {"write": ["paragon/{room}/sensors/#"]}},
    )

    assert "topic write paragon/cellar/sensors/#" in acl[:3]
    assert "topic write paragon/attic/sensors/#" in acl[3:6]


def test_everybodys_rules_come_last():
    acl = lines_of(patterns={"read": ["clients/%u/#"]})

    assert acl[-1] == "pattern read clients/%u/#"
    assert sum(line.startswith("pattern") for line in acl) == 1


def lines_of(**parts):
    return render_acl(Settings.parse(smallest() | parts)).splitlines()
