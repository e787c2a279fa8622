"""Host facts from the last deployment, for a preview that cannot reach the host."""

import pytest
from declared import smallest

from broker.firewall.backend import Choice, choose
from broker.firewall.drift import revision
from broker.firewall.rules import preview_texts, rules_texts
from broker.host.last_deployment import facts_of_last_deployment, read_resources
from broker.host.layout import published_ports
from broker.host.requirements import FALLBACK_IMAGE, host_requirements
from broker.mosquitto.impact import withdrawn
from broker.mosquitto.reload_or_replace import reserves, start_digest
from broker.settings.stack_settings import Settings
from broker.tls import certificates

NAME = "mosquitto-test"


def of(**broker):
    return Settings.parse(smallest(**broker))


def urn(kind, name):
    return f"urn:pulumi:prod::sentient-mqtt::sentient-mqtt:index:MqttBroker${kind}::{name}"


def state_of(**resources):
    """A state by URN, each resource with its outputs; "__" stands for "-"."""
    kinds = {"broker": "docker:index/container:Container", "stack": "pulumi:pulumi:Stack"}
    named = {name.replace("__", "-"): outputs for name, outputs in resources.items()}
    return {
        urn(kinds.get(name, "command:local:Command"), name): {
            "type": kinds.get(name, "command:local:Command"),
            "outputs": outputs,
        }
        for name, outputs in named.items()
    }


def facts(settings, **resources):
    required = host_requirements(settings, "prod")
    return facts_of_last_deployment(read_resources(state_of(**resources)), required)


def rules(**environment):
    return {f"firewall-rules-{NAME}": {"environment": {"PULUMI_CONFIG": "", **environment}}}


def container(settings, **labels):
    digest = start_digest(settings.broker, settings.broker.image)
    given = {"sentient-mqtt.stack": "prod", "sentient-mqtt.configuration": digest, **labels}
    return {
        "broker": {
            "name": settings.broker.container,
            "labels": [{"label": label, "value": value} for label, value in given.items()],
            "ports": [{"external": 1883, "ip": "0.0.0.0"}],
        }
    }


@pytest.mark.parametrize(
    "choice",
    [
        Choice(backend="nftables", rules="nftables"),
        Choice(backend="iptables", rules="iptables"),
        Choice(backend="iptables", rules="iptables", ip_versions=(4,)),
        Choice(backend="ufw", rules="iptables"),
        Choice(backend="ufw", rules="nftables"),
    ],
)
def test_the_firewall_has_the_backend_and_revision_of_the_last_deployment(choice):
    settings = of()
    found = facts(settings, **rules(**preview_texts(settings.broker, choice), revision="7"))

    chosen = choose(settings.broker, found)

    assert (chosen.backend, chosen.rules, chosen.ip_versions) == (
        choice.backend,
        choice.rules,
        choice.ip_versions,
    )
    assert rules_texts(settings.broker, chosen) == rules_texts(settings.broker, choice)
    assert revision(settings.broker, found) == "7"


@pytest.mark.parametrize(
    ("boot", "systemd"),
    [("sentient-mqtt-firewall-mosquitto-test.service", True), ("nothing loads the rules", False)],
)
def test_firewall_output_is_unchanged(boot, systemd):
    outputs = {"stack": {"firewall": {"boot": boot}, "credentials": {"sensor": "s3cret"}}}

    found = facts(of(), **rules(**{"rules.nft": "table", "revision": "1"}), **outputs)

    assert choose(of().broker, found).systemd is systemd
    assert "s3cret" not in str(found)


def test_certificates_keep_the_revision_of_the_last_deployment():
    listener = {"mqtts": {"port": 8883, "tls": {}}, "mqtt": {"port": 1883}}
    settings = of(listeners=listener)
    found = facts(
        settings, **{"configuration-certificates-pairs": {"environment": {"revision": "9"}}}
    )

    assert certificates.revision(settings.broker, found) == "9"
    assert certificates.due(settings.broker, found) == {}


def test_container_without_reserved_listener_keeps_its_digest():
    settings = of()

    assert not reserves(settings.broker, facts(settings, **container(settings)))
    assert reserves(settings.broker, facts(settings))


def test_renamed_container_has_no_facts():
    settings = of()
    renamed = of(container="mosquitto-renamed")
    state = container(settings) | rules(**{"rules.nft": "table", "revision": "7"})

    found = facts(renamed, **state)

    assert reserves(renamed.broker, found)
    assert revision(renamed.broker, found) == "1"


def test_addresses_keep_the_order_of_the_container():
    settings = of(listeners={"mqtt": {"port": 1883, "bindAddress": "::"}})
    state = container(settings)
    state["broker"]["ports"] = [{"ip": "::"}, {"ip": "0.0.0.0"}]

    ports = published_ports(settings.broker, facts(settings, **state))

    assert ports == [(1883, "::"), (1883, "0.0.0.0")]


def test_fallback_image_is_kept_if_allowed():
    fallback = {"image": {"name": "localhost/mosquitto-from-debian:2.0.21-trixie"}}
    allowed, declared = of(allowStandIn=True), of().broker.image

    found = facts(allowed, **fallback)
    assert found.present_image(declared, FALLBACK_IMAGE) == fallback["image"]["name"]
    found = facts(allowed, image={"name": declared})
    assert found.present_image(declared, FALLBACK_IMAGE) == declared
    assert facts(of(), **fallback).present_image(declared, "") == declared


def test_rolled_back_change_is_still_known():
    state = {"configuration-files": {"environment": {"withdrawn": "withdrawn-1000"}}}

    assert withdrawn(facts(of(), **state)) == "withdrawn-1000"
    assert withdrawn(facts(of())) == ""


def test_new_stack_has_no_facts():
    assert facts(of()).facts == {}
    assert facts(of()).looked_at is False
