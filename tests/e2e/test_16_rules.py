"""The firewall rules alone, on a server without Docker: changes are atomic, losses are detected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from declared import stack_file
from host_scripts import host_scripts
from lab import CONTROLLER, NEIGHBOUR, SERVER, STRANGER, STRANGER_6, Lab, NetworkClient

from broker.firewall import backend, drift
from broker.firewall import rules as firewall
from broker.firewall.backend import Choice
from broker.host.facts import HostFacts
from broker.host.probe_functions import Drift, Probe
from broker.host.script_calls import Record, ScriptCall, render_stdin
from broker.settings.broker_settings import Broker
from broker.settings.stack_settings import Settings

RULES = ("lib/put_files.sh", "lib/firewall_rules.sh", "commands/firewall.sh")
NFTABLES = Choice(backend="nftables", rules="nftables")
IPTABLES = Choice(backend="iptables", rules="iptables")
UFW = Choice(backend="ufw", rules="nftables")
OLD, NEW = 1883, 1884


@pytest.fixture(scope="module")
def lab(shared_folder: Path) -> Iterator[Lab]:
    server = Lab(shared_folder / "rules", f"rules-{shared_folder.name[-6:]}", with_docker=False)
    yield server
    server.close()


def broker_of(port=OLD, container="mosquitto-shared", **listener) -> Broker:
    raw = stack_file("prod")
    raw["broker"]["container"] = container
    allow = {"allowFrom": ["192.168.0.0/16"]}
    raw["broker"]["listeners"] = {"mqtt": {"port": port} | allow | listener}
    return Settings.parse(raw).broker


class Rules:
    """The calls of ``firewall.sh`` that an ``up`` makes, without the ``up``."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.applied: list[tuple[Broker, Choice]] = []

    def apply(
        self,
        broker: Broker,
        choice: Choice = NFTABLES,
        *,
        revision: str = "1",
        change: tuple[str, str] = ("", ""),
    ) -> str:
        """Apply the rules, with the text ``change[0]`` replaced by ``change[1]``; return errors."""
        self.applied.append((broker, choice))
        old, new = change
        calls = [
            ScriptCall(words=call.words, text=call.text and call.text.replace(old or "\0", new))
            for call in firewall.firewall_calls(broker, choice)
        ]
        record = Record(container=broker.container, component="firewall", revision=revision)
        return self._run(RULES, calls, record=record)

    def close_former_ports(self, broker: Broker, choice: Choice = NFTABLES) -> str:
        """Remove the rules of former ports, as an ``up`` does after the container is replaced."""
        return self._run(
            (*RULES, "commands/close_former_ports.sh"),
            firewall.close_former_ports_calls(broker, choice),
        )

    def remove(self, broker: Broker, choice: Choice) -> str:
        record = Record(container=broker.container, component="firewall", revision="1")
        return self._run(RULES, firewall.firewall_calls(broker, choice), "remove", record=record)

    def load(self, broker: Broker) -> None:
        """Empty the kernel's rules and load those of *broker*, as at boot."""
        self.lab.run("nft", "flush", "ruleset")
        self.lab.run("sh", f"{firewall.folder_of(broker)}/load")

    def host_facts(self, broker: Broker) -> HostFacts:
        container, short_name = broker.container, backend.short_name(broker.container)
        compared = [
            Drift.compare(container, ("firewall",)),
            Drift.rules(container=container, short_name=short_name),
        ]
        calls = [
            Probe.host("unix:///nowhere.sock"),
            Probe.firewall(container=container, short_name=short_name),
            Probe.applied(render_stdin(host_scripts("commands/drift.sh"), compared)),
        ]
        return HostFacts.parse(self._run(("commands/probe.sh",), calls, "look"))

    def installed(self) -> tuple[str, str]:
        files = self.lab.run("sh", "-c", "cat /etc/sentient-mqtt/mosq*/*", check=False)
        return files, self.lab.run("nft", "-s", "list", "ruleset")

    def _run(
        self,
        scripts: tuple[str, ...],
        calls: list[ScriptCall],
        action: str = "apply",
        *,
        record: Record | None = None,
    ) -> str:
        stdin = render_stdin(host_scripts(*scripts), calls, record)
        return self.lab.run("sh", "-s", action, stdin=stdin, check=False)


@pytest.fixture
def rules(lab: Lab) -> Iterator[Rules]:
    rules = Rules(lab)
    yield rules
    for broker, choice in reversed(rules.applied):
        assert rules.remove(broker, choice) == ""
        assert "No such file" in lab.run("ls", firewall.folder_of(broker), check=False)
    remaining = lab.run("nft", "list", "ruleset")
    assert "sentient-mqtt" not in remaining
    assert "MQTT-" not in remaining


def reaches(lab: Lab, clients: Sequence[NetworkClient], port: int) -> list[bool]:
    """Return for each of *clients* whether it gets an answer; all try once, at the same time."""

    def try_port(client):
        return lab.port_clients[client].request("try", [[client.gateway, port, "mqtt"]], 3.0)[0]

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(try_port, clients))


class TestRulesThatTheHostRejects:
    """The former rules stay in force, and an error says why."""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                ("192.168.0.0/16", "192.168.0.0/61"),
                "the host refuses the rules, nothing was changed",
            ),
            (("nft -f", "nft-is-gone -f"), "could not be put in force; the previous ones"),
        ],
    )
    def test_rejected_change_leaves_the_former_rules(self, lab, rules, change, message):
        assert rules.apply(broker_of()) == ""
        before = rules.installed()

        assert message in rules.apply(broker_of(NEW), change=change)

        assert rules.installed() == before
        # A valid change is applied afterwards.
        assert rules.apply(broker_of(allowFrom=["192.168.3.0/24"])) == ""
        assert "192.168.3.0/24" in lab.run("nft", "-s", "list", "ruleset")

    def test_ipv6_network_with_an_ipv4_only_ufw_is_an_error_and_changes_nothing(self, lab, rules):
        both = broker_of(bindAddress="::", allowFrom=["192.168.0.0/16", "fd00::/8"])
        before = lab.run("cat", "/etc/default/ufw")
        lab.run("sed", "-i", "s/^IPV6=.*/IPV6=no/", "/etc/default/ufw")
        lab.run("ufw", "--force", "enable")
        try:
            (finding,) = backend.firewall_errors(both, rules.host_facts(both))
            before_up = rules.installed()
            message = rules.apply(both, UFW)
            assert "ufw on the host supports only IPv4" in finding.text
            assert "broker.listeners.mqtt: allowFrom[1] is fd00::/8" in finding.text
            assert "ufw refuses, nothing was changed: allow from fd00::/8" in message
            assert rules.installed() == before_up
            assert "sentient-mqtt" not in lab.run("ufw", "show", "added")
        finally:
            lab.run("ufw", "--force", "disable")
            lab.run("sh", "-c", "cat >/etc/default/ufw", stdin=before)


@pytest.mark.parametrize("choice", [NFTABLES, IPTABLES], ids=["nftables", "iptables"])
class TestFormerPorts:
    """The old container listens on them until it is replaced, and longer if that is refused."""

    CHANGES = (
        {"port": NEW},
        {"bindAddress": SERVER},
        {"port": NEW, "bindAddress": "::", "allowFrom": ["192.168.3.0/24", "fd00:3::/64"]},
    )

    @pytest.mark.parametrize("change", CHANGES, ids=["port", "address", "both"])
    def test_former_port_keeps_its_list_until_replacement(self, lab, rules, choice, change):
        before, after = broker_of(bindAddress="::"), broker_of(**change)
        clients = (CONTROLLER, NEIGHBOUR, STRANGER, STRANGER_6)
        assert rules.apply(before, choice) == ""
        with lab.listening(OLD):
            for step in (lambda: rules.apply(after, choice), lambda: rules.load(after)):
                step()
                assert reaches(lab, clients, OLD) == [True, True, False, False]
            assert rules.close_former_ports(after, choice) == ""
            # The port is no longer the stack's, and is not guarded.
            assert reaches(lab, (STRANGER,), OLD) == [True]
        with lab.listening(NEW):
            assert reaches(lab, (CONTROLLER, STRANGER), NEW) == [True, "port" not in change]

    def test_former_port_keeps_its_list_after_several_interrupted_changes(self, lab, rules, choice):
        with lab.listening(OLD):
            for number, port in enumerate((OLD, NEW, NEW, 1885)):
                assert rules.apply(broker_of(port), choice, revision=str(number)) == ""
                assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [True, False]

    def test_changed_list_of_the_same_port_is_in_force_at_once(self, lab, rules, choice):
        rules.apply(broker_of(), choice)
        with lab.listening(OLD):
            assert rules.apply(broker_of(allowFrom=["192.168.3.0/24"]), choice) == ""
            assert reaches(lab, (CONTROLLER, NEIGHBOUR), OLD) == [True, False]

    def test_interrupted_up_is_reported_and_the_next_up_completes_it(self, rules, choice):
        broker = broker_of(NEW)
        rules.apply(broker_of(), choice)
        rules.close_former_ports(broker_of(), choice)
        rules.apply(broker, choice)
        facts = rules.host_facts(broker)
        assert "was interrupted" in drift.drift_warnings(broker, facts)[0].text
        assert drift.revision(broker, facts) == "2"
        assert (
            rules.apply(broker, choice, revision="2")
            == rules.close_former_ports(broker, choice)
            == ""
        )
        facts = rules.host_facts(broker)
        assert drift.revision(broker, facts) == "2"
        assert facts.line("rules", broker.container) == "in-force"


def test_new_backend_replaces_the_former_one(lab, rules):
    broker = broker_of()
    with lab.listening(OLD):
        for choice in (NFTABLES, IPTABLES, NFTABLES):
            assert rules.apply(broker, choice) == ""
            assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [True, False]
            assert rules.close_former_ports(broker, choice) == ""
            assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [True, False]
            present = [
                "sentient-mqtt-mosquitto-shared" in lab.run("nft", "list", "ruleset"),
                "MQTT-IN-" in lab.run("iptables", "-t", "mangle", "-S"),
                "MQTT-IN-" in lab.run("ip6tables", "-t", "mangle", "-S"),
            ]
            assert present == [choice is NFTABLES, choice is IPTABLES, choice is IPTABLES]
            files = lab.run("ls", firewall.folder_of(broker)).split()
            assert set(files) == {
                *firewall.rules_texts(broker, choice),
                *("load", "state", "applied"),
            }


def test_ufw_with_iptables_on_a_host_without_nft(lab, rules):
    broker, choice = broker_of(), Choice(backend="ufw", rules="iptables")
    lab.run("ufw", "--force", "enable")
    try:
        with lab.listening(OLD):
            assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [False, False]
            assert rules.apply(broker, choice) == ""
            assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [True, False]
            assert rules.apply(broker_of(NEW), choice) == ""
            assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [True, False]
            assert rules.close_former_ports(broker_of(NEW), choice) == ""
            assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [False, False]
        assert f"port {NEW}" in lab.run("ufw", "show", "added")
        assert f"port {OLD}" not in lab.run("ufw", "show", "added")
    finally:
        lab.run("ufw", "--force", "disable")


@pytest.mark.parametrize("choice", [IPTABLES, UFW], ids=["iptables", "ufw"])
def test_dot_in_a_container_name_is_not_a_pattern(lab, rules, choice):
    dashed, dotted = broker_of(container="mosq-a"), broker_of(NEW, container="mosq.a")
    for broker in (dashed, dotted):
        assert rules.apply(broker, choice) == ""

    assert rules.remove(dotted, choice) == ""

    assert rules.host_facts(dashed).line("rules", "mosq-a") == "in-force"
    assert rules.host_facts(dotted).line("rules", "mosq.a") == "never"


def test_lost_boot_script_and_unit_are_detected(lab, rules):
    broker = broker_of()
    rules.apply(broker)
    rules.close_former_ports(broker)
    assert drift.revision(broker, rules.host_facts(broker)) == "1"
    for lost in (("rm", f"{firewall.folder_of(broker)}/load"),
                 ("systemctl", "disable", firewall.unit_of(broker))):  # fmt: skip
        lab.run(*lost)
        facts = rules.host_facts(broker)
        assert drift.revision(broker, facts) == "2"
        assert (
            "after the next start of the host the ports are open" in drift.report(broker, facts)[1]
        )
        assert rules.apply(broker) == rules.close_former_ports(broker) == ""
        assert drift.revision(broker, rules.host_facts(broker)) == "1"


def test_rules_lost_with_their_folder_are_created_again_with_another_revision(lab, rules):
    broker = broker_of()
    rules.apply(broker)
    lab.run("rm", "-r", firewall.folder_of(broker))

    facts = rules.host_facts(broker)

    assert drift.revision(broker, facts) == "1"
    with_container = HostFacts(facts={**facts.facts, ("container", broker.container): "prod"})
    assert int(drift.revision(broker, with_container)) > 1_000_000_000
    assert "never applied, or lost" in drift.drift_warnings(broker, with_container)[0].text


def test_container_name_of_a_network_interface_is_an_error(lab, rules):
    for name, taken in (("ctl", True), ("mosquitto-shared", False)):
        broker = broker_of(container=name)
        findings = backend.firewall_errors(broker, rules.host_facts(broker))
        assert [
            name in finding.text and "network interface" in finding.text for finding in findings
        ] == [True] * taken
