"""Every rule of production against the broker: one topic that it matches, one that it does not."""

import pytest
import yaml
from mqtt import DENIED, SUCCESS
from site_under_test import ROOT

USERS = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"]["sentient-mqtt:users"]

# For each filter: a topic that it matches, and a similar topic that it does not match.
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
        pytest.param(user, rule, id=f"{user} {kind} {rule}")
        for user, settings in USERS.items()
        for kind in kinds
        for rule in settings.get(kind, ())
    ]


@pytest.mark.parametrize(("user", "rule"), _rules("readwrite", "write"))
def test_user_may_publish_only_what_a_rule_permits(site, user, rule):
    permitted, forbidden = TOPICS[rule]
    with site.client("admin") as observer, site.client(user) as publisher:
        observer.subscribe("#")
        assert publisher.publish(forbidden, "forbidden") == DENIED
        assert publisher.publish(permitted, "permitted") == SUCCESS
        observer.got(permitted, "permitted")
        assert "forbidden" not in [message.text for message in observer.received]


@pytest.mark.parametrize(("user", "rule"), _rules("readwrite", "read"))
def test_user_receives_only_what_a_rule_permits(site, user, rule):
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
        _wait_for_retained(receiver)
        assert "forbidden" not in [message.text for message in receiver.received]


def test_write_rule_does_not_grant_reading_and_read_rule_does_not_grant_writing(site):
    with site.client("admin") as admin, site.client("paragon_devices") as device:
        admin.subscribe("#")
        device.subscribe("#")
        assert device.publish("paragon/room/commands/door", "of a device") == DENIED
        admin.publish("paragon/room/sensors/1", "for services")
        admin.publish("paragon/room/commands/door", "for devices")
        device.got("paragon/room/commands/door", "for devices")
        admin.got("paragon/room/commands/door", "for devices")
        assert {message.text for message in device.received} == {"for devices"}
        assert "of a device" not in [message.text for message in admin.received]


@pytest.mark.parametrize("user", [*USERS, "healthcheck"])
def test_only_users_with_a_rule_for_sys_receive_it(site, user):
    with site.client(user) as client:
        client.subscribe("$SYS/#")
        _wait_for_retained(client)
        received = {message.topic for message in client.received}
    match user:
        case "sentient_monitor_prod":
            assert {"$SYS/broker/version", "$SYS/broker/uptime"} <= received
            assert len(received) > 20
        case "healthcheck":
            assert received == {"$SYS/broker/uptime"}
        case _:
            assert received == set()


def test_health_user_may_neither_publish_nor_receive_other_topics(site):
    with site.client("admin") as admin, site.client("healthcheck") as health:
        health.subscribe("#")
        assert health.publish("paragon/room/sensors/1", "forged") == DENIED
        admin.publish("any/topic", "not for you")
        _wait_for_retained(health)
        assert "not for you" not in [message.text for message in health.received]


def _wait_for_retained(client):
    """Publish, and wait for the acknowledgement: retained messages arrive before it."""
    client.publish("$SYS/fence")
