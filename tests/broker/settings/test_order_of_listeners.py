"""The program and the commands choose the same listener, whatever the order in the stack file."""

import json
from itertools import permutations

import pytest
from declared import smallest

from broker.credentials.env_files import endpoints
from broker.host.layout import health_test
from broker.mosquitto.mosquitto_conf import render_conf
from broker.mosquitto.reload_or_replace import start_digest
from broker.settings.stack_settings import Settings

LISTENERS = {
    "office": {"port": 1883},
    "lab": {"port": 1884},
    "web": {"port": 9001, "protocol": "websockets"},
}
ADDED = {"aaa": {"port": 1999}}


def chosen(broker):
    """Return everything that depends on the order of the listeners."""
    return (
        list(broker.listeners),
        broker.mqtt_listener(),
        broker.dialled_listener(),
        broker.password_listener(),
        list(endpoints(broker)),
        health_test(broker),
        render_conf(broker, reserved=True),
        start_digest(broker),
    )


def read(listeners):
    raw = smallest()
    return Settings.parse(raw | {"broker": {**raw["broker"], "listeners": listeners}}).broker


def as_pulumi_passes_it(listeners):
    """Pulumi encodes a value of the stack file as JSON with sorted keys."""
    return json.loads(json.dumps(listeners, sort_keys=True))


@pytest.mark.parametrize("listeners", [LISTENERS, LISTENERS | ADDED], ids=["three", "with aaa"])
def test_commands_choose_the_listeners_that_pulumi_chooses(listeners):
    deployed = chosen(read(as_pulumi_passes_it(listeners)))

    for order in permutations(listeners):
        assert chosen(read({name: listeners[name] for name in order})) == deployed


def test_the_first_by_name_is_chosen():
    assert read(LISTENERS).dialled_listener().port == LISTENERS["lab"]["port"]
    assert read(LISTENERS | ADDED).dialled_listener().port == ADDED["aaa"]["port"]
