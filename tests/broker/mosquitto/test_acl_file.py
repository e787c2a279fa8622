"""The ACL file, compared with that of the manual setup guide."""

import pytest
from declared import settings_of, smallest

from broker.mosquitto.acl_file import render_acl
from broker.settings.stack_settings import Settings

# The manual setup guide, "Access Control (ACL)", with one more line: without it the guide's own
# check of $SYS fails.
GUIDE = """\
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


def test_prod_acl_begins_with_the_rules_of_the_guide():
    acl = render_acl(settings_of("prod"))

    assert acl.startswith(GUIDE)


def test_prod_acl_ends_with_health_check_and_canary():
    rest = render_acl(settings_of("prod")).removeprefix(GUIDE)

    assert [line for line in rest.splitlines() if not line.startswith("#")] == [
        "",
        "user healthcheck",
        "topic read $SYS/broker/uptime",
        "",
        "user sentient-mqtt-canary",
        "topic deny sentient-mqtt/denied",
    ]


def test_no_rule_is_above_the_first_user():
    """A topic line above the first user applies to anonymous clients."""
    for stack in ("dev", "prod"):
        first = next(
            line for line in render_acl(settings_of(stack)).splitlines() if not line.startswith("#")
        )
        assert first == "user admin"


def test_users_and_filters_keep_the_order_of_the_stack_file():
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


def test_deny_rules_come_first_including_those_of_roles():
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


def test_description_is_a_comment_above_the_user():
    acl = lines_of(users={"a": {"description": "The door"}, "b": {}})

    assert acl[:4] == ["# The door", "user a", "", "user b"]


@pytest.mark.parametrize("description", ["user eve", "topic readwrite #", "# again"])
def test_description_never_becomes_a_rule(description):
    acl = lines_of(users={"a": {"description": description}})

    assert acl[0] == f"# {description}"


def test_repeated_rule_is_rendered_once():
    acl = lines_of(users={"a": {"read": ["x", "x"], "roles": ["r"]}}, roles={"r": {"read": ["x"]}})

    assert acl.count("topic read x") == 1


def test_role_parameters_are_substituted_per_user():
    acl = lines_of(
        users={
            "a": {"roles": [{"room": {"room": "cellar"}}]},
            "b": {"roles": [{"room": {"room": "attic"}}]},
        },
        roles={"room": {"write": ["paragon/{room}/sensors/#"]}},
    )

    assert "topic write paragon/cellar/sensors/#" in acl[:3]
    assert "topic write paragon/attic/sensors/#" in acl[3:6]


def test_patterns_come_last():
    acl = lines_of(patterns={"read": ["clients/%u/#"]})

    assert acl[-1] == "pattern read clients/%u/#"
    assert sum(line.startswith("pattern") for line in acl) == 1


def lines_of(**sections):
    return render_acl(Settings.parse(smallest() | sections)).splitlines()
