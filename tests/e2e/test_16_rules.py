"""The rules alone, on a server without Docker: half a change is none, what is lost is missed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from declared import stack_file
from host_scripts import host_scripts
from lab import CONTROLLER, NEIGHBOUR, SERVER, STRANGER, STRANGER_6, Lab, Person

from broker.firewall import backend, drift
from broker.firewall import rules as firewall
from broker.firewall.backend import Choice
from broker.host.facts import HostFacts
from broker.host.script_calls import ScriptCall, render_stdin
from broker.settings.broker_settings import Broker
from broker.settings.stack_settings import Settings

RULES = ("lib/put_files.sh", "lib/firewall_rules.sh", "commands/firewall.sh")
NFTABLES = Choice(backend="nftables", rules="nftables")
IPTABLES = Choice(backend="iptables", rules="iptables")
UFW = Choice(backend="ufw", rules="nftables")
OLD, NEW = 1883, 1884


@pytest.fixture(scope="module")
def lab(ground: Path) -> Iterator[Lab]:
    server = Lab(ground / "rules", f"rules-{ground.name[-6:]}", with_docker=False)
    yield server
    server.close()


def broker_of(port=OLD, container="mosquitto-shared", **listener) -> Broker:
    raw = stack_file("prod")
    raw["broker"]["container"] = container
    allow = {"allowFrom": ["192.168.0.0/16"]}
    raw["broker"]["listeners"] = {"mqtt": {"port": port} | allow | listener}
    return Settings.parse(raw).broker


class Rules:
    """What an ``up`` does about the rules, without the ``up``."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.applied: list[tuple[Broker, Choice]] = []

    def apply(
        self,
        broker: Broker,
        choice: Choice = NFTABLES,
        *,
        turn: str = "1",
        change: tuple[str, str] = ("", ""),
    ) -> str:
        """Put the rules in force, with one file's old text as another, and return what was said."""
        self.applied.append((broker, choice))
        old, new = change
        calls = [
            ScriptCall(words=each.words, text=each.text and each.text.replace(old or "\0", new))
            for each in firewall.firewall_calls(broker, choice, turn)
        ]
        return self._run(RULES, calls)

    def leave(self, broker: Broker, choice: Choice = NFTABLES, *, turn: str = "1") -> str:
        """Take away what the rules before said, as after the container has been replaced."""
        return self._run(
            (*RULES, "commands/close_former_ports.sh"), firewall.left_calls(broker, choice, turn)
        )

    def remove(self, broker: Broker, choice: Choice) -> str:
        return self._run(RULES, firewall.firewall_calls(broker, choice, "1"), "remove")

    def load(self, broker: Broker) -> None:
        """As the host's start does, after everything in the kernel has gone."""
        self.lab.run("nft", "flush", "ruleset")
        self.lab.run("sh", f"{firewall.folder_of(broker)}/load")

    def seen(self, broker: Broker) -> HostFacts:
        words = ("firewall", broker.container, backend.short_name(broker.container))
        calls = [ScriptCall(words=("host", "unix:///nowhere.sock")), ScriptCall(words=words)]
        return HostFacts.parse(
            self._run(("lib/firewall_rules.sh", "commands/probe.sh"), calls, "look")
        )

    def standing(self) -> tuple[str, str]:
        files = self.lab.run("sh", "-c", "cat /etc/sentient-mqtt/mosq*/*", check=False)
        return files, self.lab.run("nft", "-s", "list", "ruleset")

    def _run(self, scripts: tuple[str, ...], calls: list[ScriptCall], action: str = "apply") -> str:
        text = host_scripts(*scripts)
        return self.lab.run("sh", "-s", action, stdin=render_stdin(text, calls), check=False)


@pytest.fixture
def rules(lab: Lab) -> Iterator[Rules]:
    made = Rules(lab)
    yield made
    for broker, choice in reversed(made.applied):
        assert made.remove(broker, choice) == ""
        assert "No such file" in lab.run("ls", firewall.folder_of(broker), check=False)
    left = lab.run("nft", "list", "ruleset")
    assert "sentient-mqtt" not in left
    assert "MQTT-" not in left


def reaches(lab: Lab, people: Sequence[Person], port: int) -> list[bool]:
    """Return who of *people* gets an answer, at one attempt, all at once."""

    def ask(each):
        return lab.knockers[each].say("ask", [[each.gateway, port, "mqtt"]], 3.0)[0]

    with ThreadPoolExecutor(len(people)) as pool:
        return list(pool.map(ask, people))


class TestWhatTheHostRefuses:
    """The rules before stay in force, and an error says why."""

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (
                ("192.168.0.0/16", "192.168.0.0/61"),
                "the host refuses the rules, nothing was changed",
            ),
            (("nft -f", "nft-is-gone -f"), "could not be put in force; the previous ones"),
        ],
    )
    def test_half_a_change_is_none(self, lab, rules, change, said):
        assert rules.apply(broker_of()) == ""
        before = rules.standing()

        assert said in rules.apply(broker_of(NEW), change=change)

        assert rules.standing() == before
        # And a good one takes.
        assert rules.apply(broker_of(allowFrom=["192.168.3.0/24"])) == ""
        assert "192.168.3.0/24" in lab.run("nft", "-s", "list", "ruleset")

    def test_ufw_that_knows_no_ipv6_is_told_and_changes_nothing(self, lab, rules):
        both = broker_of(bindAddress="::", allowFrom=["192.168.0.0/16", "fd00::/8"])
        before = lab.run("cat", "/etc/default/ufw")
        lab.run("sed", "-i", "s/^IPV6=.*/IPV6=no/", "/etc/default/ufw")
        lab.run("ufw", "--force", "enable")
        try:
            (finding,) = backend.firewall_errors(both, rules.seen(both))
            standing = rules.standing()
            said = rules.apply(both, UFW)
            assert "ufw on the host is for IPv4 only" in finding.text
            assert "broker.listeners.mqtt: allowFrom[1] is fd00::/8" in finding.text
            assert "ufw refuses, nothing was changed: allow from fd00::/8" in said
            assert rules.standing() == standing
            assert "sentient-mqtt" not in lab.run("ufw", "show", "added")
        finally:
            lab.run("ufw", "--force", "disable")
            lab.run("sh", "-c", "cat >/etc/default/ufw", stdin=before)


@pytest.mark.parametrize("choice", [NFTABLES, IPTABLES], ids=["nftables", "iptables"])
class TestPortsOfBefore:
    """The container that has them listens until it is replaced, and goes on if that is refused."""

    CHANGES = (
        {"port": NEW},
        {"bindAddress": SERVER},
        {"port": NEW, "bindAddress": "::", "allowFrom": ["192.168.3.0/24", "fd00:3::/64"]},
    )

    @pytest.mark.parametrize("change", CHANGES, ids=["port", "address", "both"])
    def test_they_keep_their_list_until_it_is_gone(self, lab, rules, choice, change):
        before, after = broker_of(bindAddress="::"), broker_of(**change)
        everybody = (CONTROLLER, NEIGHBOUR, STRANGER, STRANGER_6)
        assert rules.apply(before, choice) == ""
        with lab.listening(OLD):
            for happens in (lambda: rules.apply(after, choice), lambda: rules.load(after)):
                happens()
                assert reaches(lab, everybody, OLD) == [True, True, False, False]
            assert rules.leave(after, choice) == ""
            # Nobody's of ours any more: on the way back to whoever has it next.
            assert reaches(lab, (STRANGER,), OLD) == [True]
        with lab.listening(NEW):
            assert reaches(lab, (CONTROLLER, STRANGER), NEW) == [True, "port" not in change]

    def test_also_after_a_second_change_that_did_not_come_to_its_end(self, lab, rules, choice):
        with lab.listening(OLD):
            for number, port in enumerate((OLD, NEW, NEW, 1885)):
                assert rules.apply(broker_of(port), choice, turn=str(number)) == ""
                assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [True, False]

    def test_a_list_of_the_same_port_is_the_new_one_at_once(self, lab, rules, choice):
        rules.apply(broker_of(), choice)
        with lab.listening(OLD):
            assert rules.apply(broker_of(allowFrom=["192.168.3.0/24"]), choice) == ""
            assert reaches(lab, (CONTROLLER, NEIGHBOUR), OLD) == [True, False]

    def test_the_next_look_says_that_an_up_did_not_end_and_the_next_up_ends_it(self, rules, choice):
        broker = broker_of(NEW)
        rules.apply(broker_of(), choice)
        rules.leave(broker_of(), choice)
        rules.apply(broker, choice)
        seen = rules.seen(broker)
        assert "did not come to its end" in drift.drift_warnings(broker, seen)[0].text
        assert drift.revision(broker, seen) == "2"
        assert rules.apply(broker, choice, turn="2") == rules.leave(broker, choice, turn="2") == ""
        seen = rules.seen(broker)
        assert drift.revision(broker, seen) == "2"
        assert seen.line("rules", broker.container) == "in-force 2"


def test_another_backend_takes_the_place_of_the_one_before(lab, rules):
    broker = broker_of()
    with lab.listening(OLD):
        for choice in (NFTABLES, IPTABLES, NFTABLES):
            assert rules.apply(broker, choice) == ""
            assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [True, False]
            assert rules.leave(broker, choice) == ""
            assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [True, False]
            stands = [
                "sentient-mqtt-mosquitto-shared" in lab.run("nft", "list", "ruleset"),
                "MQTT-IN-" in lab.run("iptables", "-t", "mangle", "-S"),
                "MQTT-IN-" in lab.run("ip6tables", "-t", "mangle", "-S"),
            ]
            assert stands == [choice is NFTABLES, choice is IPTABLES, choice is IPTABLES]
            files = lab.run("ls", firewall.folder_of(broker)).split()
            assert set(files) == {*firewall.rules_texts(broker, choice), "load", "state"}


def test_ufw_beside_iptables_is_obeyed_too(lab, rules):
    """For hosts that have no nft."""
    broker, choice = broker_of(), Choice(backend="ufw", rules="iptables")
    lab.run("ufw", "--force", "enable")
    try:
        with lab.listening(OLD):
            assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [False, False]
            assert rules.apply(broker, choice) == ""
            assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [True, False]
            assert rules.apply(broker_of(NEW), choice) == ""
            assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [True, False]
            assert rules.leave(broker_of(NEW), choice) == ""
            assert reaches(lab, (CONTROLLER, STRANGER), OLD) == [False, False]
        assert f"port {NEW}" in lab.run("ufw", "show", "added")
        assert f"port {OLD}" not in lab.run("ufw", "show", "added")
    finally:
        lab.run("ufw", "--force", "disable")


@pytest.mark.parametrize("choice", [IPTABLES, UFW], ids=["iptables", "ufw"])
def test_a_dot_in_a_name_stands_for_itself(lab, rules, choice):
    dashed, dotted = broker_of(container="mosq-a"), broker_of(NEW, container="mosq.a")
    for each in (dashed, dotted):
        assert rules.apply(each, choice) == ""

    assert rules.remove(dotted, choice) == ""

    assert rules.seen(dashed).line("rules", "mosq-a") == "in-force 1"
    assert rules.seen(dotted).line("rules", "mosq.a").startswith("never ")


def test_what_would_load_the_rules_at_the_next_start_is_missed(lab, rules):
    broker = broker_of()
    rules.apply(broker)
    rules.leave(broker)
    assert drift.revision(broker, rules.seen(broker)) == "1"
    for lost in (("rm", f"{firewall.folder_of(broker)}/load"),
                 ("systemctl", "disable", firewall.unit_of(broker))):  # fmt: skip
        lab.run(*lost)
        seen = rules.seen(broker)
        assert drift.revision(broker, seen) == "2"
        assert "the next start of the host leaves the ports open" in drift.report(broker, seen)[1]
        assert rules.apply(broker) == rules.leave(broker) == ""
        assert drift.revision(broker, rules.seen(broker)) == "1"


def test_rules_that_are_lost_with_their_folder_are_made_again_under_another_number(lab, rules):
    broker = broker_of()
    rules.apply(broker)
    lab.run("rm", "-r", firewall.folder_of(broker))

    seen = rules.seen(broker)

    assert drift.revision(broker, seen) == "1"
    there = HostFacts(facts={**seen.facts, ("container", broker.container): "prod"})
    assert int(drift.revision(broker, there)) > 1_000_000_000
    assert "never made, or lost" in drift.drift_warnings(broker, there)[0].text


def test_a_name_that_an_interface_of_the_host_has_is_refused(lab, rules):
    for name, taken in (("ctl", True), ("mosquitto-shared", False)):
        broker = broker_of(container=name)
        found = backend.firewall_errors(broker, rules.seen(broker))
        assert [
            name in finding.text and "network interface" in finding.text for finding in found
        ] == [True] * taken
