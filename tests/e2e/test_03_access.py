"""Every rule of production: one topic that passes, one that does not, proven by the broker."""

import pytest
import yaml
from mqtt import DENIED, SUCCESS
from site_under_test import ROOT

USERS = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"]["sentient-mqtt:users"]

# For each filter: a topic that it matches, and a near miss.
TOPICS = {
    "#": ("any/topic", "$SYS/any"),
    "paragon/#": ("paragon/room/any", "paragons/room/any"),
    "paragon/+/commands/#": ("paragon/room/commands/door/open", "paragon/room/deep/commands/x"),
    "paragon/+/sensors/#": ("paragon/room/sensors/1", "paragon/sensors/1"),
    "paragon/+/status/#": ("paragon/room/status/x", "paragon/room/state/x"),
    "paragon/+/events/#": ("paragon/room/events/x", "paragon/room/Events/x"),
    "$SYS/#": ("$SYS/broker/version", "SYS/broker/version"),
}


def _rules(*kinds):
    return [
        pytest.param(user, each, id=f"{user} {kind} {each}")
        for user, says in USERS.items()
        for kind in kinds
        for each in says.get(kind, ())
    ]


@pytest.mark.parametrize(("user", "rule"), _rules("readwrite", "write"))
def test_a_user_publishes_what_a_rule_permits_and_no_more(site, user, rule):
    permitted, forbidden = TOPICS[rule]
    with site.client("admin") as observer, site.client(user) as publisher:
        observer.subscribe("#")
        assert publisher.publish(forbidden, "forbidden") == DENIED
        assert publisher.publish(permitted, "permitted") == SUCCESS
        observer.got(permitted, "permitted")
        assert "forbidden" not in [each.text for each in observer.received]


@pytest.mark.parametrize(("user", "rule"), _rules("readwrite", "read"))
def test_a_user_receives_what_a_rule_permits_and_no_more(site, user, rule):
    permitted, forbidden = TOPICS[rule]
    with site.client("admin") as sender, site.client(user) as receiver:
        receiver.subscribe("#", "$SYS/#")
        if forbidden.startswith("$SYS"):
            assert sender.publish(forbidden, "forbidden") == DENIED
        else:
            sender.publish(forbidden, "forbidden")
        if permitted.startswith("$SYS"):
            assert "mosquitto version" in receiver.got(permitted).text
        else:
            sender.publish(permitted, "permitted")
            receiver.got(permitted, "permitted")
        _answered(receiver)
        assert "forbidden" not in [each.text for each in receiver.received]


def test_a_user_who_may_only_write_or_only_read_does_not_do_the_other(site):
    with site.client("admin") as admin, site.client("paragon_devices") as device:
        admin.subscribe("#")
        device.subscribe("#")
        assert device.publish("paragon/room/commands/door", "of a device") == DENIED
        admin.publish("paragon/room/sensors/1", "for services")
        admin.publish("paragon/room/commands/door", "for devices")
        device.got("paragon/room/commands/door", "for devices")
        admin.got("paragon/room/commands/door", "for devices")
        assert {each.text for each in device.received} == {"for devices"}
        assert "of a device" not in [each.text for each in admin.received]


@pytest.mark.parametrize("user", [*USERS, "healthcheck"])
def test_sys_reaches_whoever_was_given_it_and_nobody_else(site, user):
    with site.client(user) as client:
        client.subscribe("$SYS/#")
        _answered(client)
        received = {each.topic for each in client.received}
    match user:
        case "sentient_monitor_prod":
            assert {"$SYS/broker/version", "$SYS/broker/uptime"} <= received
            assert len(received) > 20
        case "healthcheck":
            assert received == {"$SYS/broker/uptime"}
        case _:
            assert received == set()


def test_the_health_user_may_do_nothing_else(site):
    with site.client("admin") as admin, site.client("healthcheck") as health:
        health.subscribe("#")
        assert health.publish("paragon/room/sensors/1", "forged") == DENIED
        admin.publish("any/topic", "not for you")
        _answered(health)
        assert "not for you" not in [each.text for each in health.received]


def _answered(client):
    """Retained messages come with the subscription: all are there before the next answer."""
    client.publish("$SYS/fence")
