"""`allowFrom` is enforced: which client reaches which port, with every backend, at every moment."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from exposure_table import Table, render
from lab import (
    CLIENTS,
    CONTAINER,
    CONTROLLER,
    CONTROLLER_6,
    FAR,
    MQTT,
    NEIGHBOUR,
    SERVER,
    STRANGER,
    STRANGER_6,
    WEBSOCKET,
    Lab,
    NetworkClient,
    targets,
)
from site_under_test import ROOT, Site

PORTS = {MQTT: "mqtt", WEBSOCKET: "websockets"}
OTHER = 1884
MOVED = {OTHER: "mqtt", WEBSOCKET: "websockets"}
OPEN, CLOSED = [True, True], [False, False]
ALL_OPEN = dict.fromkeys((*CLIENTS, CONTAINER), OPEN)
ALL_CLOSED = dict.fromkeys((*CLIENTS, CONTAINER), CLOSED)
DECLARED = ALL_CLOSED | {CONTROLLER: OPEN, NEIGHBOUR: OPEN, CONTROLLER_6: OPEN}
# The second list has Docker's networks, the first has not.
NARROWED = DECLARED | {NEIGHBOUR: CLOSED, CONTAINER: OPEN}
LARGE = 100_000
STRANGERS = (STRANGER, STRANGER_6)
VARIANTS = [
    (backend, network)
    for backend in ("nftables", "iptables", "ufw")
    for network in ("published", "host")
]
PAGE = ROOT / "docs" / "explanation" / "exposure.md"
MIN_ATTEMPTS = 3
"""At the least tried port; an attempt takes 0.3 s, and every watched `up` takes far longer."""

# Rules of other programs, which must be unchanged at the end.
FOREIGN = (
    "nft add table inet somebody",
    "nft add chain inet somebody input { type filter hook input priority 0 ; }",
    "nft add rule inet somebody input tcp dport 4242 drop",
    "iptables -t mangle -A INPUT -p tcp --dport 4243 -j DROP",
    "ip6tables -t mangle -A FORWARD -p tcp --dport 4244 -j DROP",
)


@pytest.fixture(scope="module")
def lab(shared_folder: Path, fallback_image: Callable[[str], str], daemon) -> Iterator[Lab]:
    image = fallback_image("trixie")
    server = Lab(shared_folder / "lab", f"lab-{shared_folder.name[-6:]}")
    try:
        with subprocess.Popen(daemon.argv("save", image), stdout=subprocess.PIPE) as saved:
            subprocess.run([*server.inside, "docker", "load"], stdin=saved.stdout, check=True)
        server.image = image
        for line in FOREIGN:
            server.run(*shlex.split(line))
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def table() -> Table:
    """The answers on each port, by moment and firewall backend."""
    return {}


@pytest.fixture(scope="module")
def make_lab_site(shared_folder, engine, lab) -> Callable[..., Site]:
    def make(name: str, backend: str, network: str) -> Site:
        folder = shared_folder / f"lab-{name}"
        site = Site(
            name=f"lab-{name}",
            folder=folder,
            container=f"mosquitto-{name}",
            ports=(MQTT, WEBSOCKET),
            engine=engine,
            docker=lab.docker,
            # nsenter into another mount namespace starts in its root folder.
            run_as=(*lab.inside, "sh", "-c", 'cd "$0" && exec "$@"', f"{folder}/project"),
        )
        site.lay_out()

        def use_lab_networks(config):
            broker = config["broker"]
            broker["address"] = SERVER
            broker["network"] = network
            broker["firewall"] = {"backend": backend}
            for listener in broker["listeners"].values():
                listener["bindAddress"] = "::"
                listener["allowFrom"] = ["192.168.0.0/16", "fd00:3::/64"]

        site.edit(use_lab_networks)
        return site

    return make


def narrow(config):
    for listener in config["broker"]["listeners"].values():
        listener["allowFrom"] = ["192.168.3.0/24", "172.16.0.0/12", "fd00:3::/64"]


def move(config):
    """Move MQTT to another port, and the WebSocket port to one address of the server."""
    listeners = config["broker"]["listeners"]
    listeners["mqtt"]["port"] = OTHER
    listeners["websocket"] |= {
        "bindAddress": SERVER,
        "allowFrom": ["192.168.3.0/24", "172.16.0.0/12"],
    }


def measure(lab, table, moment, guard, expected, *, ports=PORTS, address=""):
    """Try *ports* as the clients of *expected*, record the answers, and compare them."""
    with lab.other_container() if CONTAINER in expected else nullcontext():
        answered = lab.matrix(ports, expected, address=address)
    table[moment, guard] = ports, answered
    assert answered == expected, (moment, guard, lab.run("nft", "-s", "list", "ruleset"))


def assert_never_answered(client: NetworkClient, count: list[int]) -> None:
    """Check the *count* of a watch: attempts and answers."""
    attempts, answers = count
    assert attempts >= MIN_ATTEMPTS
    assert answers == 0, f"{client.name} got {answers} answers in {attempts} attempts"


def foreign_rules(lab: Lab) -> list[str]:
    return [
        lab.run("nft", "list", "table", "inet", "somebody"),
        lab.run("iptables", "-t", "mangle", "-S"),
        lab.run("ip6tables", "-t", "mangle", "-S"),
        lab.run("ufw", "show", "added"),
    ]


class TestWithoutThisProgramsRules:
    """What does not protect the ports: Docker alone, ufw's line, and rules in DOCKER-USER."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def open_broker(cls, make_lab_site):
        site = make_lab_site("bare", "none", "published")
        site.edit(
            lambda config: config.update(
                guardrails={"openListener": {"level": "off", "reason": "a test"}}
            )
        )
        site.up()
        yield
        site.destroy()

    def test_published_port_is_open_to_all(self, lab, table):
        measure(lab, table, "no rules", "nothing", ALL_OPEN)

    def test_ufw_line_of_the_manual_setup_guide_does_not_block_ipv4_strangers(self, lab, table):
        lab.run("ufw", "allow", "from", "192.168.0.0/16", "to", "any", "port", str(MQTT))
        lab.run("ufw", "--force", "enable")
        try:
            answered = lab.matrix(PORTS, {CONTROLLER: OPEN, STRANGER: OPEN})
        finally:
            lab.run("ufw", "--force", "disable")
            lab.run(
                "ufw", "delete", "allow", "from", "192.168.0.0/16", "to", "any", "port", str(MQTT)
            )
        table["the guide's ufw line", "ufw by hand"] = PORTS, answered
        assert answered[STRANGER] == [True, True]

    def test_rules_in_docker_user_do_not_block_ipv6_strangers(self, lab, table):
        """They come through Docker's userland proxy, whose packets are the host's own."""
        rule = f"-p tcp -m conntrack --ctorigdstport {MQTT} --ctdir ORIGINAL".split()
        add = ["iptables", "-w", "-I", "DOCKER-USER"]
        lab.run(*add, *rule, "-j", "DROP")
        lab.run(*add, *rule, "-s", "192.168.0.0/16", "-j", "RETURN")
        lab.run("ip6tables", "-w", "-I", "FORWARD", *rule, "-j", "DROP")
        port = {MQTT: "mqtt"}
        expected = {client: [True] for client in CLIENTS} | {STRANGER: [False]}
        answered = lab.matrix(port, expected)
        table["DOCKER-USER, original port 1883", "iptables by hand"] = port, answered
        assert answered[STRANGER] == [False]
        assert answered[STRANGER_6] == [True]
        # After `iptables -F` Docker restores its own rules and not these.
        lab.run("iptables", "-F")
        lab.run("ip6tables", "-F")
        lab.stop_docker()
        lab.start_docker()
        answered = lab.matrix(port, {CONTROLLER: [True], STRANGER: [True]})
        moment = "DOCKER-USER, after iptables -F and a restart of Docker"
        table[moment, "iptables by hand"] = port, answered
        assert answered[STRANGER] == [True]


class TestOnlyDeclaredNetworksReachThePorts:
    @pytest.fixture(scope="class", params=VARIANTS, ids="-".join)
    @classmethod
    def variant(cls, request) -> tuple[str, str]:
        return request.param

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, variant) -> str:
        return variant[0]

    @pytest.fixture(scope="class")
    @classmethod
    def network(cls, variant) -> str:
        return variant[1]

    @pytest.fixture(scope="class")
    @classmethod
    def deployed(cls, lab, make_lab_site, table, backend, network) -> Iterator[Site]:
        """Strangers try the ports continuously, from before `up` until after `destroy`."""
        if backend == "ufw":
            lab.run("ufw", "--force", "enable")
            lab.run("ufw", "allow", "22/tcp", "comment", "somebody")
        before = foreign_rules(lab)
        site = make_lab_site(f"{backend}-{network}", backend, network)
        for stranger in STRANGERS:
            lab.port_clients[stranger].request("watch", targets(stranger, PORTS))
        try:
            site.up()
            yield site
            site.destroy()
            ports, guard = PORTS | MOVED, f"{backend}, {network}"
            closed = dict.fromkeys(ALL_CLOSED, [False] * len(ports))
            measure(lab, table, "after `destroy`", guard, closed, ports=ports)
        finally:
            counts = {
                stranger: lab.port_clients[stranger].request("unwatch") for stranger in STRANGERS
            }
        for stranger, count in counts.items():
            assert_never_answered(stranger, count)
        assert foreign_rules(lab) == before
        assert (
            lab.run(
                "find",
                "/etc/sentient-mqtt",
                "/etc/systemd/system",
                "-name",
                f"*{site.container}*",
                check=False,
            ).count(site.container)
            == 0
        )
        assert site.container not in lab.run("nft", "list", "ruleset")
        if backend == "ufw":
            lab.run("ufw", "delete", "allow", "22/tcp")
            lab.run("ufw", "--force", "disable")

    @pytest.fixture
    def guard(self, backend, network) -> str:
        return f"{backend}, {network}"

    def test_after_up(self, deployed, lab, table, guard, backend):
        measure(lab, table, "after `up`", guard, DECLARED)
        firewall = deployed.outputs()["firewall"]
        assert firewall["backend"] == backend
        assert firewall["enforcedBy"] == ("iptables" if backend == "iptables" else "nftables")
        assert "no systemd" in firewall["boot"]
        assert firewall["listeners"]["mqtt"]["allowFrom"] == ["192.168.0.0/16", "fd00:3::/64"]

    def test_containers_own_address_is_guarded_as_the_published_port_is(
        self, deployed, lab, table, guard, network
    ):
        """A client with a route to Docker's bridge can connect to it without DNAT."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        address = lab.docker("inspect", "--format", form, deployed.container).strip()
        assert bool(address) is (network == "published")
        if address:
            expected = {CONTROLLER: OPEN, NEIGHBOUR: OPEN, STRANGER: CLOSED}
            moment = "after `up`, at the container's own address"
            measure(lab, table, moment, guard, expected, address=address)

    def test_large_message_passes_a_link_with_a_small_mtu(self, deployed, lab):
        """The router's ICMP message must reach the broker; otherwise the message never arrives."""
        login = (SERVER, MQTT, "admin", deployed.password("admin"))
        controller, far = lab.port_clients[CONTROLLER], lab.port_clients[FAR]
        for client in (controller, far):
            assert client.request("connect", "large", *login)
        assert controller.request("publish retained", "large", "large", LARGE)
        assert far.request("receive", "large", "large", LARGE, 60) >= LARGE
        for client in (controller, far):
            client.request("close", "large")

    def test_second_up_changes_nothing(self, deployed):
        deployed.up("--expect-no-changes")

    def test_narrower_list_ends_connections_of_removed_networks_only(
        self, deployed, lab, table, guard
    ):
        started = deployed.inspect()["State"]["StartedAt"]
        login = (SERVER, MQTT, "admin", deployed.password("admin"))
        controller, neighbour = lab.port_clients[CONTROLLER], lab.port_clients[NEIGHBOUR]
        for client in (controller, neighbour):
            assert client.request("connect", "held", *login)
        deployed.edit(narrow)
        deployed.up()
        assert controller.request("ping", "held", 60)
        assert not neighbour.request("ping", "held", 2)
        measure(lab, table, "after `up` with a narrower list", guard, NARROWED)
        assert deployed.inspect()["State"]["StartedAt"] == started
        for client in (controller, neighbour):
            client.request("close", "held")

    def test_rules_survive_iptables_flush_and_a_restart_of_docker(self, lab, table, guard, backend):
        if backend != "ufw":
            lab.run("iptables", "-F")
        lab.stop_docker()
        lab.start_docker()
        # `iptables -F` would also remove ufw's own rules, which nothing restores.
        flushed = "" if backend == "ufw" else "`iptables -F` and "
        measure(lab, table, f"after {flushed}a restart of Docker", guard, NARROWED)

    def test_rules_are_loaded_at_boot(self, deployed, lab, table, guard):
        """Empty the kernel's rules, then run what systemd runs at boot, in its order."""
        unit = Path(
            lab.run(
                "find",
                "/etc/systemd/system",
                "-maxdepth",
                "1",
                "-name",
                f"*{deployed.container}.service",
            ).strip()
        )
        wants = lab.run(
            "ls",
            "/etc/systemd/system/docker.service.wants",
            "/etc/systemd/system/multi-user.target.wants",
        )
        assert wants.count(unit.name) == 2
        verified = lab.run("systemd-analyze", "verify", str(unit), check=False)
        assert deployed.container not in verified, verified
        lab.stop_docker()
        foreign = lab.run("nft", "list", "table", "inet", "somebody")
        ufw = "Status: active" in lab.run("ufw", "status")
        lab.run("nft", "flush", "ruleset")
        (start,) = [
            line.partition("=")[2]
            for line in lab.run("cat", str(unit)).splitlines()
            if line.startswith("ExecStart=")
        ]
        if ufw:
            lab.run("/lib/ufw/ufw-init", "start")
        lab.run(*shlex.split(start))
        lab.start_docker()
        measure(lab, table, "after a start of the host", guard, NARROWED)
        lab.run("nft", "-f", "-", stdin=foreign)
        for line in FOREIGN[3:]:
            lab.run(*shlex.split(line))

    def test_preview_detects_flushed_rules_and_up_restores_them(self, deployed, lab, backend):
        """Strangers pause meanwhile, because the ports are open."""
        for stranger in STRANGERS:
            assert_never_answered(stranger, lab.port_clients[stranger].request("unwatch"))
        if backend == "iptables":
            jump = next(
                line
                for line in lab.run("iptables", "-t", "mangle", "-S", "INPUT").splitlines()
                if "MQTT-IN" in line
            )
            lab.run("iptables", "-t", "mangle", *jump.replace("-A", "-D").split())
            word = "changed"
        else:
            lab.run("nft", "delete", "table", "inet", f"sentient-mqtt-{deployed.container}")
            word = "missing" if backend == "nftables" else "changed"
        assert f"are {word} on the host" in deployed.preview().output
        deployed.up()
        for stranger in STRANGERS:
            lab.port_clients[stranger].request("watch", targets(stranger, PORTS))
        assert lab.matrix(PORTS, {STRANGER: CLOSED})[STRANGER] == CLOSED
        deployed.up("--expect-no-changes")

    def test_moving_port_is_never_open_to_unlisted_networks(self, deployed, lab, table, guard):
        """Strangers try the old and the new port continuously."""
        for stranger in STRANGERS:
            port_client = lab.port_clients[stranger]
            assert_never_answered(stranger, port_client.request("unwatch"))
            port_client.request("watch", targets(stranger, PORTS | MOVED))
        deployed.edit(move)
        deployed.up()
        expected = NARROWED | {CONTROLLER_6: [True, False]}
        measure(lab, table, "after `up` with another port", guard, expected, ports=MOVED)


def test_table_of_the_documentation_is_what_was_measured(table):
    lines = render(table)
    print("\n" + lines)
    assert lines in PAGE.read_text(encoding="utf-8"), (
        f"docs/explanation/exposure.md is not what was measured:\n{lines}"
    )
