"""Host facts from Pulumi's state, for a preview on a machine that cannot reach the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from broker.host import drift
from broker.host.facts import HostFacts
from broker.host.ownership import IDENTITY, OWNER_RESOURCE, Deployment, StateRecord
from broker.host.requirements import HostRequirements

Resources = Mapping[str, Mapping[str, Any]]
"""The outputs of each resource in a state, by the resource's name."""

_Facts = Iterator[tuple[tuple[str, str], str]]


def read_resources(state: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """
    Return the outputs by resource name from ``readStackResourceOutputs``, which has them by URN.

    Components are left out: they may have the same name as one of their resources.
    """
    return {
        "stack" if resource["type"] == "pulumi:pulumi:Stack" else urn.rpartition("::")[2]: (
            resource["outputs"]
        )
        for urn, resource in state.items()
        if not str(resource["type"]).startswith("sentient-mqtt:")
    }


def read_state_record(state: Mapping[str, Mapping[str, Any]]) -> StateRecord:
    """Return what the state says about its brokers, from ``readStackResourceOutputs``."""
    identity = ""
    deployments: dict[str, Deployment] = {}
    brokers: set[str] = set()
    passwords: set[str] = set()
    empty = True
    for urn, resource in state.items():
        kind, outputs = str(resource["type"]), resource["outputs"]
        name = urn.rpartition("::")[2]
        if kind.startswith(("pulumi:", "sentient-mqtt:")):
            continue  # The stack, a provider or a component.
        empty = False
        if name == IDENTITY:
            identity = str(outputs.get("result", ""))
        elif name.startswith(OWNER_RESOURCE):
            shown = _shown(outputs)
            if "deployment" in shown:
                deployments[name.removeprefix(OWNER_RESOURCE)] = Deployment.of_shown(shown)
        elif name == "broker" and "name" in outputs:
            brokers.add(str(outputs["name"]))
        elif name.startswith("credentials-"):
            passwords.add(name.removeprefix("credentials-"))
    return StateRecord(
        id=identity,
        deployments=deployments,
        brokers=frozenset(brokers),
        passwords=frozenset(passwords),
        empty=empty,
    )


def facts_of_last_deployment(resources: Resources, required: HostRequirements) -> HostFacts:
    """
    Return the facts of the host as the last deployment left it.

    A preview then repeats revisions, firewall backend, image and start digest, and shows only the
    changes of the stack file. It does not detect changes on the host since the last deployment.
    """
    facts = dict(
        (
            *_images(resources, required),
            *_container(resources, required),
            *_firewall(resources, required),
            *_revisions(resources, required),
        )
    )
    return HostFacts(facts=facts, looked_at=False)


def _images(resources: Resources, required: HostRequirements) -> _Facts:
    for name, declared, pattern in (
        ("image", required.image, required.fallback_image),
        ("monitoring-image", required.exporter, required.exporter_fallback_image),
    ):
        image = str(resources.get(name, {}).get("name", ""))
        if pattern and fnmatchcase(image, pattern):
            yield ("image", declared), "absent"
            yield ("standin", pattern), image


def _container(resources: Resources, required: HostRequirements) -> _Facts:
    container = resources.get("broker", {})
    if container.get("name") != required.container:
        return
    labels = {label["label"]: label["value"] for label in container.get("labels") or ()}
    ports = container.get("ports") or ()
    yield ("container", required.container), str(labels.get("sentient-mqtt.stack", ""))
    yield ("configuration", required.container), str(labels.get("sentient-mqtt.configuration", ""))
    yield ("revision", required.container), str(labels.get("sentient-mqtt.revision", ""))
    yield ("label", drift.CONTAINER), str(labels.get("sentient-mqtt.revision", ""))
    for name, component in (
        ("broker-network", drift.NETWORK),
        ("monitoring-exporter", drift.EXPORTER_CONTAINER),
    ):
        others = resources.get(name, {}).get("labels") or ()
        recorded = {label["label"]: str(label["value"]) for label in others}
        yield ("label", component), recorded.get("sentient-mqtt.revision", "")
    yield ("published", required.container), " ".join(str(port.get("ip", "")) for port in ports)


def _firewall(resources: Resources, required: HostRequirements) -> _Facts:
    shown = _environment(resources, f"firewall-rules-{required.container}")
    if not {"rules.nft", "rules.v4"} & set(shown):
        return
    yield ("rules", required.container), "in-force"
    yield ("firewall", "nft"), "ok" if "rules.nft" in shown else "absent"
    # nftables has one file for both IP versions; iptables has one file per version.
    has_ipv6_rules = {"rules.nft", "rules.v6"} & set(shown)
    yield ("firewall", "ip6tables"), "ok" if has_ipv6_rules else "absent"
    yield ("firewall", "ufw"), "active" if "ufw" in shown else "inactive"
    boot = str((resources.get("stack", {}).get("firewall") or {}).get("boot", ""))
    yield ("firewall", "systemd"), "yes" if boot.endswith(".service") else "no"


def _revisions(resources: Resources, required: HostRequirements) -> _Facts:
    commands = {
        drift.FOLDERS: "configuration-folders",
        drift.LOGROTATE: f"configuration-logrotate-{required.container}",
        drift.CONFIGURATION: "configuration-files",
        drift.CERTIFICATES: "configuration-certificates-pairs",
        drift.FIREWALL: f"firewall-rules-{required.container}",
        drift.BACKUPS: f"backups-schedule-{required.container}",
        drift.EXPORTER: f"monitoring-files-{required.container}",
        drift.CONTAINER: "broker-ready",
        drift.EXPORTER_CONTAINER: "monitoring-exporter-ready",
        drift.METRICS: f"monitoring-textfile-{required.container}",
        **{drift.env_file(path): f"envfiles-{path}" for path in required.env_files.values()},
    }
    for component, command in commands.items():
        if revision := _environment(resources, command).get("revision"):
            yield ("applied", component), revision
    withdrawn = _environment(resources, "configuration-files").get("withdrawn")
    if withdrawn:
        yield ("known", ":rules"), withdrawn


def _environment(resources: Resources, name: str) -> dict[str, str]:
    """Return the texts that a host command shows in a preview."""
    return _shown(resources.get(name, {}))


def _shown(outputs: Mapping[str, Any]) -> dict[str, str]:
    shown = outputs.get("environment") or {}
    return {key: str(value) for key, value in shown.items() if value}
