"""Settings that the host's Docker daemon can't fulfil stop at preview."""

import pytest
from declared import smallest

from broker.host.docker_daemon import daemon_errors, daemon_warnings
from broker.host.facts import HostFacts
from broker.settings.stack_settings import Settings


def findings(facts, **broker):
    declared = Settings.parse(smallest(**broker)).broker
    given = HostFacts(facts={("daemon", name): value for name, value in facts.items()})
    return [*daemon_errors(declared, given), *daemon_warnings(declared, given)]


def listening(address, **more):
    return {"listeners": {"mqtt": {"port": 1883, "bindAddress": address}}, **more}


def test_a_default_daemon_fulfils_everything():
    assert findings({}, **listening("::")) == []


@pytest.mark.parametrize("address", ["::", "::1", "fd00::5"])
def test_an_ipv6_port_without_docker_proxy_is_an_error(address):
    (found,) = findings({"proxy": "no"}, **listening(address))

    assert found.severity == "error"
    assert found.path == "sentient-mqtt:broker.listeners.mqtt.bindAddress"
    assert found.message.startswith(f"{address!r}: Docker publishes no port on an IPv6 address")
    assert "'0.0.0.0'" in found.fix


def test_the_exporters_ipv6_port_is_one_of_them():
    users = {"metrics": {"read": ["$SYS/#"]}}
    monitoring = {"user": "metrics", "bindAddress": "::1"}
    raw = smallest(monitoring=monitoring)
    raw["users"] |= users
    declared = Settings.parse(raw).broker

    (found,) = daemon_errors(declared, HostFacts(facts={("daemon", "proxy"): "no"}))

    assert found.path == "sentient-mqtt:broker.monitoring.bindAddress"


def test_ipv4_ports_and_the_hosts_network_need_no_docker_proxy():
    assert findings({"proxy": "no"}, **listening("0.0.0.0")) == []
    assert findings({"proxy": "no"}, **listening("::", network="host")) == []


@pytest.mark.parametrize(("option", "says"), [("userns", "userns-remap"), ("rootless", "rootless")])
def test_other_uids_in_containers_are_an_error(option, says):
    (found,) = findings({option: "yes"})

    assert (found.severity, found.path) == ("error", "host unix:///var/run/docker.sock")
    assert says in found.message
    assert "uid 1883" in found.message


def test_a_memory_limit_that_the_kernel_lacks_is_an_error():
    (found,) = findings({"memory": "no"})

    assert found.severity == "error"
    assert found.path == "sentient-mqtt:broker.limits.memory"
    assert "cgroup_enable=memory" in found.fix


def test_a_swap_limit_that_the_kernel_lacks_is_a_warning():
    (found,) = findings({"swap": "no"})

    assert found.severity == "warning"
    assert "swapaccount=1" in found.fix
