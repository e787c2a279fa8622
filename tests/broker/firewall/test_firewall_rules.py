"""Rules name the declared networks and nobody else, and a host that can't enforce them is told."""

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


def seen(**changed):
    return HostFacts(facts=HEALTHY | {("firewall", key): value for key, value in changed.items()})


def broker_with(backend="auto", network="published", **listeners):
    return Settings.parse(
        smallest(
            listeners={
                name.replace("_", "-"): {"port": 1883 + index, **each}
                for index, (name, each) in enumerate(listeners.items())
            },
            firewall={"backend": backend},
            network=network,
        )
    ).broker


LAN = {"allowFrom": ["192.168.0.0/16"]}
BOTH = {"bindAddress": "::", "allowFrom": ["192.168.0.0/16", "fd00::/8"]}


class TestTheChoice:
    @pytest.mark.parametrize(
        ("wanted", "host", "backend", "rules"),
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
    def test_what_is_asked_for_or_what_the_host_has(self, wanted, host, backend, rules):
        choice = choose(broker_with(wanted, mqtt=LAN), seen(**host))

        assert (choice.backend, choice.rules) == (backend, rules)

    def test_a_host_that_nobody_looked_at_is_taken_to_have_nft(self):
        choice = choose(broker_with(mqtt=LAN), HostFacts(facts={}))

        assert (choice.backend, choice.systemd) == ("nftables", True)

    def test_nothing_is_touched_where_nobody_is_named_or_none_is_asked_for(self):
        assert is_declared(broker_with(mqtt=LAN))
        assert not is_declared(broker_with(mqtt={}))
        assert not is_declared(broker_with("none", mqtt=LAN))

    def test_an_unknown_one_is_told_those_that_there_are(self):
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
    def test_what_can_not_be_meant_is_refused(self, networks, why):
        with pytest.raises(SettingsError, match=why):
            broker_with(mqtt={"allowFrom": networks})

    def test_neighbours_and_both_versions_may_stand_side_by_side(self):
        (listener,) = broker_with(
            mqtt={"bindAddress": "::", "allowFrom": ["192.168.2.0/24", "192.168.3.0/24", "::/0"]}
        ).listeners.values()

        assert [each.prefixlen for each in listener.allow_from] == [24, 24, 0]


class TestNftables:
    def test_prods_rules_are_one_transaction_with_a_default_of_no(self):
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

    def test_each_version_has_its_own_line(self):
        text = render_nftables(broker_with(mqtt=BOTH))

        assert "\t\tip saddr { 192.168.0.0/16 } accept\n" in text
        assert "\t\tip6 saddr { fd00::/8 } accept\n" in text

    def test_another_address_of_the_host_is_somebody_elses(self):
        text = render_nftables(broker_with(mqtt=LAN | {"bindAddress": "192.168.2.3"}))

        assert "\t\tip daddr 192.168.2.3 tcp dport 1883 goto listener-mqtt\n" in text
        assert "\t\ttcp dport 1883" in render_nftables(broker_with(mqtt=LAN))

    def test_a_listener_for_anybody_stands_beside_a_guarded_one(self):
        text = render_nftables(broker_with(mqtt=LAN, open={}))

        assert "chain listener-open {\n\t\taccept comment" in text
        assert "chain listener-mqtt {\n\t\tip saddr { 192.168.0.0/16 } accept\n" in text

    def test_one_that_only_the_host_reaches_needs_no_rule_and_no_exception(self):
        text = render_nftables(broker_with(mqtt={"bindAddress": "127.0.0.1"}, other=LAN))

        assert "dport 1883" not in text
        assert "proto-dst 1883" not in text
        assert "dport 1884" in text

    def test_on_the_hosts_own_network_the_bridge_is_guarded_that_a_container_may_still_have(self):
        published, host = (
            render_nftables(broker_with(network=each, mqtt=LAN)) for each in ("published", "host")
        )

        assert host == published


class TestIptables:
    def test_who_is_named_returns_and_the_rest_is_dropped(self):
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

    def test_the_other_version_has_its_own_networks_only(self):
        text = render_iptables(broker_with("iptables", mqtt=BOTH), 6)

        assert "-s fd00::/8 -j RETURN" in text
        assert "-p ipv6-icmp -m conntrack --ctstate RELATED -j RETURN" in text
        assert "192.168" not in text

    def test_a_chain_name_is_never_too_long(self):
        name = "a-broker-with-a-very-long-name-indeed"

        # XT_EXTENSION_MAXNAMELEN is 29, its end included.
        assert len(f"MQTT-IN-{short_name(name)}") <= 28
        assert len(short_name(name)) <= 15
        assert short_name(name) != short_name(f"{name}-2")


class TestUfw:
    def test_the_rules_a_person_looks_for(self):
        assert ufw_rules(
            broker_with("ufw", mqtt=BOTH, other=LAN | {"bindAddress": "10.0.0.9"})
        ) == [
            "allow from 192.168.0.0/16 to any port 1883 proto tcp",
            "allow from fd00::/8 to any port 1883 proto tcp",
            "allow from 192.168.0.0/16 to 10.0.0.9 port 1884 proto tcp",
        ]

    def test_one_machine_and_anybody_are_said_as_ufw_says_them(self):
        assert ufw_rules(broker_with("ufw", mqtt={"allowFrom": ["10.0.0.9/32"]}, open={})) == [
            "allow from 10.0.0.9 to any port 1883 proto tcp",
            "allow 1884/tcp",
        ]

    def test_what_makes_them_true_for_published_ports_comes_with_them(self):
        broker = broker_with("ufw", mqtt=LAN)

        words = [
            each.words for each in firewall_calls(broker, choose(broker, seen(ufw="active")), "1")
        ]

        assert ("put", "/etc/sentient-mqtt/mosquitto-test/rules.nft", "0644", "0", "0") in words
        assert words[-1][0] == "ufw_rule"


class TestAHostThatCanNot:
    @pytest.mark.parametrize(
        ("wanted", "host", "listener", "said"),
        [
            ("ufw", {"ufw": "inactive"}, LAN, "ufw is inactive on the host. Switch it on, ssh"),
            ("ufw", {"ufw": "absent"}, LAN, "ufw is absent on the host"),
            ("nftables", {"nft": "absent"}, LAN, "command nft is not on the host. Install it"),
            (
                "nftables",
                {"nft": "Operation not permitted"},
                LAN,
                "nft is refused on the host: Operation not permitted. Rules need root",
            ),
            ("iptables", {"iptables": "absent"}, LAN, "command iptables is not on the host"),
            (
                "iptables",
                {"ip6tables": "absent"},
                BOTH,
                "broker.listeners.mqtt: allowFrom[1] is fd00::/8: iptables on this host is for "
                "IPv4 only. Install ip6tables",
            ),
            (
                "iptables",
                {"ip6tables": "Module ip6_tables not found"},
                BOTH,
                "iptables on this host is for IPv4 only. ip6tables is refused (Module ip6_tables "
                "not found). Mend that",
            ),
            (
                "ufw",
                {"ufw": "active", "ufw-ipv6": "no"},
                BOTH,
                "broker.listeners.mqtt: allowFrom[1] is fd00::/8: ufw on the host is for IPv4 "
                "only. Say IPV6=yes in /etc/default/ufw",
            ),
            (
                "auto",
                {"interface": "taken"},
                LAN,
                "broker.container: 'mosquitto-test': the host has a network interface",
            ),
        ],
    )
    def test_it_is_told_in_one_sentence(self, wanted, host, listener, said):
        (problem,) = errors(broker_with(wanted, mqtt=listener), seen(**host))

        assert said in problem
        assert errors(broker_with(wanted, mqtt=listener), seen(ufw="active")) == []

    def test_ip6tables_that_is_refused_gets_no_rules(self):
        broker = broker_with("iptables", mqtt=LAN)
        host = seen(ip6tables="Module ip6_tables not found")

        assert errors(broker, host) == []
        assert choose(broker, host).ip_versions == (4,)

    def test_ufw_for_ipv4_alone_will_do_where_no_network_is_of_ipv6(self):
        host = seen(ufw="active", **{"ufw-ipv6": "no"})

        assert errors(broker_with("ufw", mqtt=LAN | {"bindAddress": "::"}), host) == []
        assert errors(broker_with("ufw", mqtt={"bindAddress": "fd00::3"}, other=LAN), host) != []

    def test_nothing_is_asked_of_one_whose_rules_nobody_wants(self):
        nothing = dict.fromkeys(("nft", "iptables", "ip6tables"), "absent")

        assert errors(broker_with("none", mqtt=LAN), seen(**nothing)) == []
        assert errors(broker_with(mqtt={}), seen(**nothing)) == []
        assert errors(broker_with(mqtt=LAN), seen(**nothing)) != []

    def test_a_login_that_is_not_root_can_not_tell_and_is_not_stopped(self):
        assert errors(broker_with(mqtt=LAN), HostFacts(facts={("root", "-"): "no"})) == []


class TestWhatStandsOnTheHost:
    @pytest.mark.parametrize(
        ("state", "number", "said"),
        [
            ("", "1", None),
            ("never", "1", None),
            ("never 1764110000", "1", None),
            ("in-force 3", "3", None),
            ("missing 3", "4", "are missing on the host"),
            ("changed 3", "4", "are changed on the host"),
        ],
    )
    def test_rules_that_are_not_as_they_were_left_are_put_in_force_again(self, state, number, said):
        broker = broker_with(mqtt=LAN)
        facts = HostFacts(facts=HEALTHY | {("rules", "mosquitto-test"): state})

        assert revision(broker, facts) == number
        assert [said in each for each in warnings(broker, facts)] == ([True] if said else [])

    @pytest.mark.parametrize(
        "before", [{("container", "mosquitto-test"): "prod"}, {("known", "admin"): "1 32"}]
    )
    def test_rules_that_are_not_there_after_an_up_were_lost(self, before):
        """The number is none of before: the host's clock."""
        broker = broker_with(mqtt=LAN)
        never = {("rules", "mosquitto-test"): "never 1764110000"}
        facts = HostFacts(facts=HEALTHY | never | before)

        assert revision(broker, facts) == "1764110000"
        (said,) = warnings(broker, facts)
        assert "never made, or lost. This one puts them in force" in said

    @pytest.mark.parametrize(
        ("fact", "said", "shown", "wrong"),
        [
            ("left", "did not come to its end", "a `pulumi up` did not end", False),
            ("boot", "is not enabled, or /etc/sentient-mqtt", "NOTHING loads them", True),
        ],
    )
    def test_what_is_half_done_or_half_lost_is_told_and_done_again(self, fact, said, shown, wrong):
        broker = broker_with(mqtt=LAN)
        state = {("rules", "mosquitto-test"): "in-force 3"}
        half = {(fact, "mosquitto-test"): "yes" if fact == "left" else "no"}
        facts = HostFacts(facts=HEALTHY | state | half)

        assert revision(broker, facts) == "4"
        assert [said in each for each in warnings(broker, facts)] == [True]
        lines, problem = report(broker, facts)
        assert shown in "\n".join(lines)
        assert bool(problem) is wrong

    def test_what_comes_after_is_done_as_often_as_the_rules_change(self):
        one, other = (
            broker_with(mqtt={"allowFrom": [each]}) for each in ("10.0.0.0/8", "10.0.0.0/9")
        )
        assert digest(one, choose(one, seen())) != digest(other, choose(other, seen()))

    def test_without_systemd_it_is_said_what_is_missing(self):
        broker = broker_with(mqtt=LAN)
        (said,) = warnings(broker, seen(systemd="no"))

        assert "no systemd" in said
        assert "have /etc/sentient-mqtt/mosquitto-test/load run before Docker" in said
        boot = describe_firewall(broker, choose(broker, seen(systemd="no")))["boot"]
        assert boot in said

    def test_they_are_loaded_before_docker_and_after_what_flushes_all(self):
        unit = render_unit(broker_with(mqtt=LAN))

        assert "\nBefore=docker.service\n" in unit
        assert "\nAfter=nftables.service netfilter-persistent.service ufw.service\n" in unit
        assert "\nPartOf=nftables.service netfilter-persistent.service\n" in unit

    @pytest.mark.parametrize(
        ("state", "said", "wrong"),
        [
            ("in-force 3", "Rules (nftables): in force.", ""),
            ("missing 3", "Rules (nftables): MISSING.", "are missing. Run `./brokerctl up`"),
            ("changed 3", "Rules (nftables): CHANGED.", "are changed. Run `./brokerctl up`"),
            ("never", "Rules (nftables): not made yet.", "are not made yet. Run `./brokerctl up`"),
            ("", "Rules (nftables): unknown: this login is not root.", ""),
        ],
    )
    def test_whoever_asks_is_told_who_may_come_in_and_what_is_wrong(self, state, said, wrong):
        broker = broker_with(mqtt=LAN, open={}, local={"bindAddress": "127.0.0.1"})
        facts = HostFacts(facts=HEALTHY | {("rules", "mosquitto-test"): state})

        lines, problem = report(broker, facts)

        assert lines == [
            "mqtt: port 1883 on 0.0.0.0: 192.168.0.0/16",
            "open: port 1884 on 0.0.0.0: anybody",
            "local: port 1885 on 127.0.0.1: this host alone",
            said,
            "At the host's start: sentient-mqtt-firewall-mosquitto-test.service loads them before "
            "Docker.",
        ]
        assert wrong in problem
        assert bool(wrong) == bool(problem)

    def test_where_none_is_declared_there_is_nothing_to_miss(self):
        lines, problem = report(broker_with(mqtt={}), seen())

        assert "No firewall is declared" in lines[-1]
        assert problem == ""

    def test_the_output_says_who_and_what_sees_to_it(self):
        broker = broker_with(mqtt=LAN, open={})

        assert describe_firewall(broker, choose(broker, seen())) == {
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
