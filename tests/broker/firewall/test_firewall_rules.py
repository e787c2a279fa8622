"""Firewall rules for each backend, errors about the host, and drift."""

import pytest
from declared import settings_of, smallest

from broker.findings import one_line
from broker.firewall.backend import (
    choose,
    firewall_errors,
    is_declared,
    short_name,
)
from broker.firewall.drift import drift_warnings, report, revision
from broker.firewall.iptables import render_iptables
from broker.firewall.nftables import render_nftables
from broker.firewall.rules import (
    describe_firewall,
    digest,
    firewall_calls,
    render_unit,
)
from broker.firewall.ufw import ufw_rules
from broker.host.facts import HostFacts
from broker.settings.stack_settings import Settings, SettingsError

HEALTHY = {
    ("firewall", "nft"): "ok",
    ("firewall", "iptables"): "ok",
    ("firewall", "ip6tables"): "ok",
    ("firewall", "ufw"): "absent",
    ("firewall", "systemd"): "yes",
}


def errors(*given):
    return list(one_line(firewall_errors(*given)))


def warnings(*given):
    return list(one_line(drift_warnings(*given)))


def facts_of(**changed):
    return HostFacts(facts=HEALTHY | {("firewall", key): value for key, value in changed.items()})


def broker_with(backend="auto", network="published", **listeners):
    return Settings.parse(
        smallest(
            listeners={
                name.replace("_", "-"): {"port": 1883 + index, **listener}
                for index, (name, listener) in enumerate(listeners.items())
            },
            firewall={"backend": backend},
            network=network,
        )
    ).broker


LAN = {"allowFrom": ["192.168.0.0/16"]}
BOTH = {"bindAddress": "::", "allowFrom": ["192.168.0.0/16", "fd00::/8"]}


class TestChoice:
    @pytest.mark.parametrize(
        ("declared", "host", "backend", "rules"),
        [
            ("auto", {}, "nftables", "nftables"),
            ("auto", {"nft": "absent"}, "iptables", "iptables"),
            ("auto", {"nft": "Operation not permitted"}, "iptables", "iptables"),
            ("auto", {"ufw": "active"}, "ufw", "nftables"),
            ("auto", {"ufw": "inactive"}, "nftables", "nftables"),
            ("auto", {"ufw": "active", "nft": "absent"}, "ufw", "iptables"),
            ("nftables", {"ufw": "active"}, "nftables", "nftables"),
            ("iptables", {}, "iptables", "iptables"),
            ("ufw", {"ufw": "active"}, "ufw", "nftables"),
        ],
    )
    def test_backend_is_the_declared_one_or_that_of_the_host(self, declared, host, backend, rules):
        choice = choose(broker_with(declared, mqtt=LAN), facts_of(**host))

        assert (choice.backend, choice.rules) == (backend, rules)

    def test_unprobed_host_is_assumed_to_have_nft(self):
        choice = choose(broker_with(mqtt=LAN), HostFacts(facts={}))

        assert (choice.backend, choice.systemd) == ("nftables", True)

    def test_no_firewall_without_networks_or_with_backend_none(self):
        assert is_declared(broker_with(mqtt=LAN))
        assert not is_declared(broker_with(mqtt={}))
        assert not is_declared(broker_with("none", mqtt=LAN))

    def test_unknown_backend_is_rejected_with_the_known_ones(self):
        with pytest.raises(SettingsError, match=r"broker\.firewall\.backend: 'pf'.*'nftables'"):
            broker_with("pf", mqtt=LAN)


class TestNetworks:
    @pytest.mark.parametrize(
        ("networks", "why"),
        [
            (["192.168.3.5/16"], r"allowFrom\[0\]: '192\.168\.3\.5/16'.*192\.168\.0\.0/16"),
            (["192.168.0.0/16", "192.168.3.0/24"], r"allowFrom\[1\].*is part of 192\.168\.0\.0/16"),
            (["10.0.0.0/8", "10.0.0.0/8"], r"allowFrom\[0\].*is part of 10\.0\.0\.0/8"),
            (["192.168.3.0"], r"for one host: 192\.168\.3\.0/32"),
            (["fd00::/8"], r"no IPv6 client reaches 0\.0\.0\.0; set bindAddress to '::'"),
        ],
    )
    def test_invalid_networks_are_rejected(self, networks, why):
        with pytest.raises(SettingsError, match=why):
            broker_with(mqtt={"allowFrom": networks})

    def test_adjacent_networks_and_both_ip_versions_are_accepted(self):
        (listener,) = broker_with(
            mqtt={"bindAddress": "::", "allowFrom": ["192.168.2.0/24", "192.168.3.0/24", "::/0"]}
        ).listeners.values()

        assert [network.prefixlen for network in listener.allow_from] == [24, 24, 0]


class TestNftables:
    def test_prod_rules_are_one_transaction_that_drops_by_default(self):
        text = render_nftables(settings_of("prod").broker)

        table, bridge = "table inet sentient-mqtt-mosquitto-shared", short_name("mosquitto-shared")
        lines = text.splitlines()
        assert lines[2:5] == [table, f"delete {table}", f"{table} {{"]
        assert "\t\tip saddr { 172.16.0.0/12, 192.168.0.0/16 } accept" in lines
        forward = text.partition("chain forward {")[2]
        assert [line.strip() for line in forward.splitlines()[1:]] == [
            "type filter hook forward priority filter - 10; policy accept;",
            f'oifname != "{bridge}" accept',
            f'iifname "{bridge}" accept',
            "ct direction reply accept",
            "meta l4proto { icmp, icmpv6 } ct state related accept",
            "meta l4proto tcp ct original proto-dst 1883 goto listener-mqtt",
            "meta l4proto tcp ct original proto-dst 9001 goto listener-websocket",
            "counter drop",
            "}",
            "}",
        ]

    def test_ip_versions_have_separate_lines(self):
        text = render_nftables(broker_with(mqtt=BOTH))

        assert "\t\tip saddr { 192.168.0.0/16 } accept\n" in text
        assert "\t\tip6 saddr { fd00::/8 } accept\n" in text

    def test_rules_match_only_the_bound_address(self):
        text = render_nftables(broker_with(mqtt=LAN | {"bindAddress": "192.168.2.3"}))

        assert "\t\tip daddr 192.168.2.3 tcp dport 1883 goto listener-mqtt\n" in text
        assert "\t\ttcp dport 1883" in render_nftables(broker_with(mqtt=LAN))

    def test_open_and_restricted_listeners_side_by_side(self):
        text = render_nftables(broker_with(mqtt=LAN, open={}))

        assert "chain listener-open {\n\t\taccept comment" in text
        assert "chain listener-mqtt {\n\t\tip saddr { 192.168.0.0/16 } accept\n" in text

    def test_loopback_listener_needs_no_rule(self):
        text = render_nftables(broker_with(mqtt={"bindAddress": "127.0.0.1"}, other=LAN))

        assert "dport 1883" not in text
        assert "proto-dst 1883" not in text
        assert "dport 1884" in text

    def test_rules_on_the_host_network_still_protect_the_bridge(self):
        published, host = (
            render_nftables(broker_with(network=network, mqtt=LAN))
            for network in ("published", "host")
        )

        assert host == published


class TestIptables:
    def test_declared_networks_return_and_others_are_dropped(self):
        lines = render_iptables(broker_with("iptables", mqtt=BOTH), 4).splitlines()

        assert lines == [
            "*mangle",
            ":MQTT-IN-mosquitto-test - [0:0]",
            ":MQTT-FW-mosquitto-test - [0:0]",
            "-A MQTT-IN-mosquitto-test -i lo -j RETURN",
            "-A MQTT-IN-mosquitto-test -p tcp -m tcp --dport 1883 -s 192.168.0.0/16 -j RETURN",
            "-A MQTT-IN-mosquitto-test -p tcp -m tcp --dport 1883 -j DROP",
            "-A MQTT-FW-mosquitto-test -i mosquitto-test -j RETURN",
            "-A MQTT-FW-mosquitto-test -m conntrack --ctdir REPLY -j RETURN",
            "-A MQTT-FW-mosquitto-test -p icmp -m conntrack --ctstate RELATED -j RETURN",
            "-A MQTT-FW-mosquitto-test -p tcp -m conntrack --ctorigdstport 1883 "
            "-s 192.168.0.0/16 -j RETURN",
            "-A MQTT-FW-mosquitto-test -p tcp -m conntrack --ctorigdstport 1883 -j DROP",
            "-A MQTT-FW-mosquitto-test -j DROP",
            "COMMIT",
        ]

    def test_ip6tables_has_only_ipv6_networks(self):
        text = render_iptables(broker_with("iptables", mqtt=BOTH), 6)

        assert "-s fd00::/8 -j RETURN" in text
        assert "-p ipv6-icmp -m conntrack --ctstate RELATED -j RETURN" in text
        assert "192.168" not in text

    def test_chain_names_fit_the_limit(self):
        name = "a-broker-with-a-very-long-name-indeed"

        # XT_EXTENSION_MAXNAMELEN is 29, its end included.
        assert len(f"MQTT-IN-{short_name(name)}") <= 28
        assert len(short_name(name)) <= 15
        assert short_name(name) != short_name(f"{name}-2")


class TestUfw:
    def test_ufw_rules_of_restricted_listeners(self):
        assert ufw_rules(
            broker_with("ufw", mqtt=BOTH, other=LAN | {"bindAddress": "10.0.0.9"})
        ) == [
            "allow from 192.168.0.0/16 to any port 1883 proto tcp",
            "allow from fd00::/8 to any port 1883 proto tcp",
            "allow from 192.168.0.0/16 to 10.0.0.9 port 1884 proto tcp",
        ]

    def test_ufw_rules_for_one_address_and_for_anybody(self):
        assert ufw_rules(broker_with("ufw", mqtt={"allowFrom": ["10.0.0.9/32"]}, open={})) == [
            "allow from 10.0.0.9 to any port 1883 proto tcp",
            "allow 1884/tcp",
        ]

    def test_ufw_backend_installs_nftables_rules_too(self):
        broker = broker_with("ufw", mqtt=LAN)

        words = [
            call.words for call in firewall_calls(broker, choose(broker, facts_of(ufw="active")))
        ]

        assert ("put", "/etc/sentient-mqtt/mosquitto-test/rules.nft", "0644", "0", "0") in words
        assert words[-1][0] == "ufw_rule"


class TestUnsuitableHost:
    @pytest.mark.parametrize(
        ("declared", "host", "listener", "message"),
        [
            (
                "ufw",
                {"ufw": "inactive"},
                LAN,
                "ufw is inactive on the host. Enable it, and allow ssh",
            ),
            ("ufw", {"ufw": "absent"}, LAN, "ufw is absent on the host"),
            ("nftables", {"nft": "absent"}, LAN, "command nft is not on the host. Install it"),
            (
                "nftables",
                {"nft": "Operation not permitted"},
                LAN,
                "nft fails on the host: Operation not permitted. Rules need root",
            ),
            ("iptables", {"iptables": "absent"}, LAN, "command iptables is not on the host"),
            (
                "iptables",
                {"ip6tables": "absent"},
                BOTH,
                "broker.listeners.mqtt: allowFrom[1] is fd00::/8: iptables on this host supports "
                "only IPv4. Install ip6tables",
            ),
            (
                "iptables",
                {"ip6tables": "Module ip6_tables not found"},
                BOTH,
                "iptables on this host supports only IPv4. Repair ip6tables, which fails (Module "
                "ip6_tables not found), or set",
            ),
            (
                "ufw",
                {"ufw": "active", "ufw-ipv6": "no"},
                BOTH,
                "broker.listeners.mqtt: allowFrom[1] is fd00::/8: ufw on the host supports only "
                "IPv4. Set IPV6=yes in /etc/default/ufw",
            ),
            (
                "auto",
                {"interface": "taken"},
                LAN,
                "broker.container: 'mosquitto-test': the host has a network interface",
            ),
        ],
    )
    def test_error_names_the_cause_and_the_fix(self, declared, host, listener, message):
        (problem,) = errors(broker_with(declared, mqtt=listener), facts_of(**host))

        assert message in problem
        assert errors(broker_with(declared, mqtt=listener), facts_of(ufw="active")) == []

    def test_failing_ip6tables_is_skipped_without_ipv6_networks(self):
        broker = broker_with("iptables", mqtt=LAN)
        host = facts_of(ip6tables="Module ip6_tables not found")

        assert errors(broker, host) == []
        assert choose(broker, host).ip_versions == (4,)

    def test_ipv4_only_ufw_is_accepted_without_ipv6_networks(self):
        host = facts_of(ufw="active", **{"ufw-ipv6": "no"})

        assert errors(broker_with("ufw", mqtt=LAN | {"bindAddress": "::"}), host) == []
        assert errors(broker_with("ufw", mqtt={"bindAddress": "fd00::3"}, other=LAN), host) != []

    def test_host_without_declared_firewall_needs_no_commands(self):
        nothing = dict.fromkeys(("nft", "iptables", "ip6tables"), "absent")

        assert errors(broker_with("none", mqtt=LAN), facts_of(**nothing)) == []
        assert errors(broker_with(mqtt={}), facts_of(**nothing)) == []
        assert errors(broker_with(mqtt=LAN), facts_of(**nothing)) != []

    def test_unknown_tools_are_no_error(self):
        assert errors(broker_with(mqtt=LAN), HostFacts(facts={("root", "-"): "no"})) == []


APPLIED = {("applied", "firewall"): "3"}


class TestDrift:
    @pytest.mark.parametrize(
        ("state", "number", "message"),
        [
            ("", "3", None),
            ("never", "3", None),
            ("in-force", "3", None),
            ("missing", "4", "are missing on the host"),
            ("changed", "4", "are changed on the host"),
        ],
    )
    def test_flushed_or_edited_rules_get_a_new_revision(self, state, number, message):
        broker = broker_with(mqtt=LAN)
        facts = HostFacts(facts=HEALTHY | APPLIED | {("rules", "mosquitto-test"): state})

        assert revision(broker, facts) == number
        assert [message in warning for warning in warnings(broker, facts)] == (
            [True] if message else []
        )

    @pytest.mark.parametrize(
        "before", [{("container", "mosquitto-test"): "prod"}, {("known", "admin"): "1 32"}]
    )
    def test_rules_missing_after_an_up_are_applied_again(self, before):
        """The host's clock differs from every revision before."""
        broker = broker_with(mqtt=LAN)
        never = {
            ("rules", "mosquitto-test"): "never",
            ("applied", "firewall"): "never 1764110000",
        }
        facts = HostFacts(facts=HEALTHY | never | before)

        assert revision(broker, facts) == "1764110000"
        (message,) = warnings(broker, facts)
        assert "never applied, or lost. This one applies them" in message

    @pytest.mark.parametrize(
        ("fact", "message", "shown", "wrong"),
        [
            ("left", "was interrupted", "a `pulumi up` was interrupted", False),
            ("boot", "is not enabled, or /etc/sentient-mqtt", "NOTHING loads them", True),
        ],
    )
    def test_interrupted_up_or_missing_unit_is_reported_and_repeated(
        self, fact, message, shown, wrong
    ):
        broker = broker_with(mqtt=LAN)
        state = APPLIED | {("rules", "mosquitto-test"): "in-force"}
        half = {(fact, "mosquitto-test"): "yes" if fact == "left" else "no"}
        facts = HostFacts(facts=HEALTHY | state | half)

        assert revision(broker, facts) == "4"
        assert [message in warning for warning in warnings(broker, facts)] == [True]
        lines, problem = report(broker, facts)
        assert shown in "\n".join(lines)
        assert bool(problem) is wrong

    def test_digest_changes_with_the_rules(self):
        one, other = (
            broker_with(mqtt={"allowFrom": [network]}) for network in ("10.0.0.0/8", "10.0.0.0/9")
        )
        assert digest(one, choose(one, facts_of())) != digest(other, choose(other, facts_of()))

    def test_missing_systemd_is_a_warning_with_the_file_to_run(self):
        broker = broker_with(mqtt=LAN)
        (message,) = warnings(broker, facts_of(systemd="no"))

        assert "no systemd" in message
        assert "have /etc/sentient-mqtt/mosquitto-test/load run before Docker" in message
        boot = describe_firewall(broker, choose(broker, facts_of(systemd="no")))["boot"]
        assert boot in message

    def test_unit_starts_before_docker_and_after_units_that_flush(self):
        unit = render_unit(broker_with(mqtt=LAN))

        assert "\nBefore=docker.service\n" in unit
        assert "\nAfter=nftables.service netfilter-persistent.service ufw.service\n" in unit
        assert "\nPartOf=nftables.service netfilter-persistent.service\n" in unit

    @pytest.mark.parametrize(
        ("state", "message", "wrong"),
        [
            ("in-force", "Rules (nftables): in force.", ""),
            ("missing", "Rules (nftables): MISSING.", "are missing. Run `./brokerctl up`"),
            ("changed", "Rules (nftables): CHANGED.", "are changed. Run `./brokerctl up`"),
            (
                "never",
                "Rules (nftables): not applied yet.",
                "are not applied yet. Run `./brokerctl",
            ),
            ("", "Rules (nftables): unknown, because this login is not root.", ""),
        ],
    )
    def test_report_lists_networks_and_the_state_of_the_rules(self, state, message, wrong):
        broker = broker_with(mqtt=LAN, open={}, local={"bindAddress": "127.0.0.1"})
        facts = HostFacts(facts=HEALTHY | {("rules", "mosquitto-test"): state})

        lines, problem = report(broker, facts)

        assert lines == [
            "local: port 1885 on 127.0.0.1: this host only",
            "mqtt: port 1883 on 0.0.0.0: 192.168.0.0/16",
            "open: port 1884 on 0.0.0.0: anybody",
            message,
            "At the host's start: sentient-mqtt-firewall-mosquitto-test.service loads them before "
            "Docker.",
        ]
        assert wrong in problem
        assert bool(wrong) == bool(problem)

    def test_report_without_a_declared_firewall(self):
        lines, problem = report(broker_with(mqtt={}), facts_of())

        assert "No firewall is declared" in lines[-1]
        assert problem == ""

    def test_output_lists_networks_and_backend(self):
        broker = broker_with(mqtt=LAN, open={})

        assert describe_firewall(broker, choose(broker, facts_of())) == {
            "backend": "nftables",
            "enforcedBy": "nftables",
            "boot": "sentient-mqtt-firewall-mosquitto-test.service",
            "listeners": {
                "mqtt": {
                    "port": 1883,
                    "bindAddress": "0.0.0.0",
                    "allowFrom": ["192.168.0.0/16"],
                },
                "open": {"port": 1884, "bindAddress": "0.0.0.0", "allowFrom": ["anybody"]},
            },
        }
        assert describe_firewall(broker, None)["backend"] == "none"
