"""A warning about limits that the WebSockets of Mosquitto 2.0 do not obey."""

import pytest
from declared import smallest

from broker.mosquitto.websocket_limits import websocket_warnings
from broker.settings.stack_settings import Settings

OPEN = {"port": 9001, "protocol": "websockets"}


def warned(image="eclipse-mosquitto:2.0.22", **websocket):
    listeners = {"mqtt": {"port": 1883}, "websocket": {**OPEN, **websocket}}
    declared = Settings.parse(smallest(image=image, listeners=listeners))
    return [(finding.path, finding.fix) for finding in websocket_warnings(declared.broker)]


def test_a_listener_that_everyone_may_reach_is_named_with_the_fix():
    assert warned() == [
        (
            "sentient-mqtt:broker.listeners.websocket",
            "Use an image of 2.1, or declare allowFrom.",
        )
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"image": "eclipse-mosquitto:2.1.2"},
        {"protocol": "mqtt"},
        {"bindAddress": "127.0.0.1"},
        {"allowFrom": ["192.168.0.0/16"]},
    ],
)
def test_other_listeners_are_not(other):
    assert warned(**other) == []


def test_the_whole_internet_is_no_declared_network():
    assert warned(allowFrom=["0.0.0.0/0"]) != []
