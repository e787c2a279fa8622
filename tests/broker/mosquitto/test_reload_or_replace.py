"""The reserved listener: a container is never replaced only to add it."""

import pytest
from declared import smallest

from broker.host.facts import HostFacts
from broker.host.layout import ports_on_host
from broker.host.requirements import host_requirements
from broker.mosquitto.reload_or_replace import reserved_port_errors, reserves, start_digest
from broker.settings.stack_settings import Settings

NAME = "mosquitto-test"


def broker_of(**broker):
    return Settings.parse(smallest(**broker)).broker


def made_from(digest):
    return HostFacts(facts={("configuration", NAME): digest})


class TestReservedListenerIsRendered:
    def test_without_host_facts(self):
        assert reserves(broker_of(), HostFacts(facts={}))

    def test_without_a_container(self):
        assert reserves(broker_of(), HostFacts(facts={("container", NAME): "none"}))

    def test_if_the_container_was_created_with_it(self):
        assert reserves(broker_of(), made_from(start_digest(broker_of(), reserved=True)))

    def test_if_another_change_replaces_the_container(self):
        before = made_from(start_digest(broker_of()))

        assert reserves(broker_of(limits={"maxQueuedMessages": 5}), before)
        assert reserves(broker_of(), before, "another-image:1")

    def test_if_the_stack_file_sets_its_port(self):
        assert reserves(broker_of(health={"port": 12000}), made_from(start_digest(broker_of())))


class TestContainerOfVersion01IsKept:
    def test_with_the_same_conf_and_label(self):
        """The digest is that of 0.1, so that neither the label nor the file differs."""
        before = start_digest(broker_of(), "image:1")

        assert not reserves(broker_of(), made_from(before), "image:1")
        assert start_digest(broker_of(), "image:1", reserved=False) == before
        assert start_digest(broker_of(), "image:1", reserved=True) != before

    def test_with_a_change_that_needs_only_a_reload(self):
        before = made_from(start_digest(broker_of()))

        assert not reserves(broker_of(logging={"types": ["error"]}), before)
        assert not reserves(broker_of(health={"generation": "2"}), before)


class TestReservedPort:
    def test_reserved_port_is_required_on_the_host_network(self):
        settings = Settings.parse(smallest(network="host"))

        assert host_requirements(settings, "test").reserved_port == 11883
        assert ports_on_host(settings.broker, reserved=True) == [1883, 11883]
        assert ports_on_host(settings.broker, reserved=False) == [1883]

    def test_reserved_port_is_not_required_for_a_published_broker(self):
        settings = Settings.parse(smallest())

        assert host_requirements(settings, "test").reserved_port == 0
        assert ports_on_host(settings.broker, reserved=True) == [1883]

    @pytest.mark.parametrize("state", ["container other", "another program (ss ...)"])
    def test_reserved_port_in_use_is_an_error(self, state):
        facts = HostFacts(facts={("port", "11883"): state})

        (problem,) = reserved_port_errors(broker_of(network="host"), facts, reserved=True)
        assert problem.text.startswith(
            "sentient-mqtt:broker.health.port: 11883: this port is in use on the host by"
        )
        assert "set broker.health.port to another port" in problem.fix

    @pytest.mark.parametrize("state", ["", "free", "ours"])
    def test_free_or_own_reserved_port_is_no_error(self, state):
        facts = HostFacts(facts={("port", "11883"): state})

        assert not reserved_port_errors(broker_of(network="host"), facts, reserved=True)

    def test_port_is_not_checked_without_reserved_listener_or_host_network(self):
        facts = HostFacts(facts={("port", "11883"): "another program"})

        assert not reserved_port_errors(broker_of(network="host"), facts, reserved=False)
        assert not reserved_port_errors(broker_of(), facts, reserved=True)
