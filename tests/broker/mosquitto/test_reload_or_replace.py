"""Which form mosquitto.conf has: a container is never replaced for the reserved listener alone."""

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


class TestTheReservedListenerIsThere:
    def test_where_nothing_was_looked_at(self):
        assert reserves(broker_of(), HostFacts(facts={}))

    def test_where_there_is_no_container(self):
        assert reserves(broker_of(), HostFacts(facts={("container", NAME): "none"}))

    def test_in_a_container_that_was_made_with_it(self):
        assert reserves(broker_of(), made_from(start_digest(broker_of(), reserved=True)))

    def test_where_something_else_replaces_the_container(self):
        before = made_from(start_digest(broker_of()))

        assert reserves(broker_of(limits={"maxQueuedMessages": 5}), before)
        assert reserves(broker_of(), before, "another-image:1")

    def test_where_the_stack_file_names_its_port(self):
        assert reserves(broker_of(health={"port": 12000}), made_from(start_digest(broker_of())))


class TestAContainerOfVersion01IsKept:
    def test_with_the_same_bytes_and_the_same_label(self):
        """The digest is that of 0.1, so that neither the label nor the file differs."""
        before = start_digest(broker_of(), "image:1")

        assert not reserves(broker_of(), made_from(before), "image:1")
        assert start_digest(broker_of(), "image:1", reserved=False) == before
        assert start_digest(broker_of(), "image:1", reserved=True) != before

    def test_through_a_change_that_only_a_reload_needs(self):
        before = made_from(start_digest(broker_of()))

        assert not reserves(broker_of(logging={"types": ["error"]}), before)
        assert not reserves(broker_of(health={"generation": "2"}), before)


class TestOnTheHostsNetwork:
    def test_its_port_is_looked_at_and_published_by_label(self):
        settings = Settings.parse(smallest(network="host"))

        assert host_requirements(settings, "test").reserved_port == 11883
        assert ports_on_host(settings.broker, reserved=True) == [1883, 11883]
        assert ports_on_host(settings.broker, reserved=False) == [1883]

    def test_elsewhere_it_is_the_containers_own_affair(self):
        settings = Settings.parse(smallest())

        assert host_requirements(settings, "test").reserved_port == 0
        assert ports_on_host(settings.broker, reserved=True) == [1883]

    @pytest.mark.parametrize("state", ["container other", "another program (ss ...)"])
    def test_a_port_of_another_program_stops_the_preview(self, state):
        seen = HostFacts(facts={("port", "11883"): state})

        (problem,) = reserved_port_errors(broker_of(network="host"), seen, reserved=True)
        assert problem.text.startswith(
            "sentient-mqtt:broker.health.port: 11883: that port is in use on the host by"
        )
        assert "set broker.health.port to another port" in problem.fix

    @pytest.mark.parametrize("state", ["", "free", "ours"])
    def test_one_that_is_free_or_ours_does_not(self, state):
        seen = HostFacts(facts={("port", "11883"): state})

        assert not reserved_port_errors(broker_of(network="host"), seen, reserved=True)

    def test_nor_where_the_listener_is_not_made_or_not_on_the_host(self):
        seen = HostFacts(facts={("port", "11883"): "another program"})

        assert not reserved_port_errors(broker_of(network="host"), seen, reserved=False)
        assert not reserved_port_errors(broker_of(), seen, reserved=True)
