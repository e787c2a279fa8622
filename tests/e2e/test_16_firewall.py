"""Packets obey `allowFrom`: who reaches which port, through each backend, at each moment."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import (
    BESIDE,
    CONTROLLER,
    CONTROLLER_6,
    FAR,
    MQTT,
    NEIGHBOUR,
    PEOPLE,
    SERVER,
    STRANGER,
    STRANGER_6,
    WEBSOCKET,
    Lab,
    Person,
    targets,
)
from site_under_test import ROOT, Site

PORTS = {MQTT: "mqtt", WEBSOCKET: "websockets"}
OTHER = 1884
MOVED = {OTHER: "mqtt", WEBSOCKET: "websockets"}
OPEN, CLOSED = [True, True], [False, False]
EVERYBODY = dict.fromkeys((*PEOPLE, BESIDE), OPEN)
NOBODY = dict.fromkeys((*PEOPLE, BESIDE), CLOSED)
DECLARED = NOBODY | {CONTROLLER: OPEN, NEIGHBOUR: OPEN, CONTROLLER_6: OPEN}
# Docker's networks are named on the second list, and not on the first.
NARROWED = DECLARED | {NEIGHBOUR: CLOSED, BESIDE: OPEN}
LARGE = 100_000
WAYS = [
    (backend, network)
    for backend in ("nftables", "iptables", "ufw")
    for network in ("published", "host")
]
PAGE = ROOT / "docs" / "explanation" / "exposure.md"
KNOCKS = 3
"""At the least tried port: each takes 0.3 s, and what is watched takes many, however busy it is."""

# Somebody else's rules, which must be there in the end as they were.
FOREIGN = (
    "nft add table inet somebody",
    "nft add chain inet somebody input { type filter hook input priority 0 ; }",
    "nft add rule inet somebody input tcp dport 4242 drop",
    "iptables -t mangle -A INPUT -p tcp --dport 4243 -j DROP",
    "ip6tables -t mangle -A FORWARD -p tcp --dport 4244 -j DROP",
)


@pytest.fixture(scope="module")
def lab(ground: Path, fallback_image: Callable[[str], str], daemon) -> Iterator[Lab]:
    image = fallback_image("trixie")
    server = Lab(ground / "lab", f"lab-{ground.name[-6:]}")
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
def table() -> dict[tuple[str, str], tuple[dict[int, str], dict[Person, list[bool]]]]:
    """What was measured on which ports, by moment and by what guards."""
    return {}


@pytest.fixture(scope="module")
def make_lab_site(ground, engine, lab) -> Callable[..., Site]:
    def make(name: str, backend: str, network: str) -> Site:
        folder = ground / f"lab-{name}"
        site = Site(
            name=f"lab-{name}",
            folder=folder,
            container=f"mosquitto-{name}",
            ports=(MQTT, WEBSOCKET),
            engine=engine,
            docker=lab.docker,
            # Another mount namespace begins at its root folder.
            run_as=(*lab.inside, "sh", "-c", 'cd "$0" && exec "$@"', f"{folder}/project"),
        )
        site.lay_out()

        def move(config):
            broker = config["broker"]
            broker["address"] = SERVER
            broker["network"] = network
            broker["firewall"] = {"backend": backend}
            for listener in broker["listeners"].values():
                listener["bindAddress"] = "::"
                listener["allowFrom"] = ["192.168.0.0/16", "fd00:3::/64"]

        site.edit(move)
        return site

    return make


def narrow(config):
    for listener in config["broker"]["listeners"].values():
        listener["allowFrom"] = ["192.168.3.0/24", "172.16.0.0/12", "fd00:3::/64"]


def move(config):
    """Another port; and the other one on one address of the server's, and on no other."""
    listeners = config["broker"]["listeners"]
    listeners["mqtt"]["port"] = OTHER
    listeners["websocket"] |= {
        "bindAddress": SERVER,
        "allowFrom": ["192.168.3.0/24", "172.16.0.0/12"],
    }


def measure(lab, table, moment, guard, wanted, *, ports=PORTS, at=""):
    """*wanted* says who gets in on which of *ports*."""
    if BESIDE in wanted:
        with lab.container_beside():
            found = lab.matrix(ports, wanted, at=at)
    else:
        found = lab.matrix(ports, wanted, at=at)
    table[moment, guard] = ports, found
    assert found == wanted, (moment, guard, lab.run("nft", "-s", "list", "ruleset"))


def foreign_rules(lab: Lab) -> list[str]:
    return [
        lab.run("nft", "list", "table", "inet", "somebody"),
        lab.run("iptables", "-t", "mangle", "-S"),
        lab.run("ip6tables", "-t", "mangle", "-S"),
        lab.run("ufw", "show", "added"),
    ]


class TestWithoutOurRules:
    """The cases that fail: what the seed's page says guards nothing."""

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

    def test_a_published_port_is_everybodys(self, lab, table):
        measure(lab, table, "no rules", "nothing", EVERYBODY)

    def test_the_seeds_ufw_line_keeps_no_ipv4_stranger_out(self, lab, table):
        lab.run("ufw", "allow", "from", "192.168.0.0/16", "to", "any", "port", str(MQTT))
        lab.run("ufw", "--force", "enable")
        try:
            found = lab.matrix(PORTS, {CONTROLLER: OPEN, STRANGER: OPEN})
        finally:
            lab.run("ufw", "--force", "disable")
            lab.run(
                "ufw", "delete", "allow", "from", "192.168.0.0/16", "to", "any", "port", str(MQTT)
            )
        table["the seed's ufw line", "ufw by hand"] = PORTS, found
        assert found[STRANGER] == [True, True]

    def test_docker_user_lets_the_ipv6_stranger_in(self, lab, table):
        """Through Docker's userland proxy: its packets are the host's own."""
        rule = f"-p tcp -m conntrack --ctorigdstport {MQTT} --ctdir ORIGINAL".split()
        add = ["iptables", "-w", "-I", "DOCKER-USER"]
        lab.run(*add, *rule, "-j", "DROP")
        lab.run(*add, *rule, "-s", "192.168.0.0/16", "-j", "RETURN")
        lab.run("ip6tables", "-w", "-I", "FORWARD", *rule, "-j", "DROP")
        port = {MQTT: "mqtt"}
        found = lab.matrix(port, {each: [True] for each in PEOPLE} | {STRANGER: [False]})
        table["DOCKER-USER, original port 1883", "iptables by hand"] = port, found
        assert found[STRANGER] == [False]
        assert found[STRANGER_6] == [True]
        # And what one `iptables -F` leaves of it: Docker makes its own rules again, not these.
        lab.run("iptables", "-F")
        lab.run("ip6tables", "-F")
        lab.stop_docker()
        lab.start_docker()
        found = lab.matrix(port, {CONTROLLER: [True], STRANGER: [True]})
        moment = "DOCKER-USER, after iptables -F and a restart of Docker"
        table[moment, "iptables by hand"] = port, found
        assert found[STRANGER] == [True]


class TestTheDeclaredNetworksAndNobodyElse:
    @pytest.fixture(scope="class", params=WAYS, ids="-".join)
    @classmethod
    def way(cls, request) -> tuple[str, str]:
        return request.param

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, way) -> str:
        return way[0]

    @pytest.fixture(scope="class")
    @classmethod
    def network(cls, way) -> str:
        return way[1]

    @pytest.fixture(scope="class")
    @classmethod
    def life(cls, lab, make_lab_site, table, backend, network) -> Iterator[Site]:
        """From before the first `up` to after the `destroy`, strangers knock without a pause."""
        if backend == "ufw":
            lab.run("ufw", "--force", "enable")
            lab.run("ufw", "allow", "22/tcp", "comment", "somebody")
        before = foreign_rules(lab)
        site = make_lab_site(f"{backend}-{network}", backend, network)
        for each in (STRANGER, STRANGER_6):
            lab.knockers[each].say("watch", targets(each, PORTS))
        try:
            site.up()
            yield site
            site.destroy()
            ports, guard = PORTS | MOVED, f"{backend}, {network}"
            nobody = dict.fromkeys(NOBODY, [False] * len(ports))
            measure(lab, table, "after `destroy`", guard, nobody, ports=ports)
        finally:
            counts = {each: lab.knockers[each].say("unwatch") for each in (STRANGER, STRANGER_6)}
        for each, (tried, opened) in counts.items():
            assert tried >= KNOCKS
            assert opened == 0, f"{each.name} got in {opened} times of {tried}"
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

    def test_after_up(self, life, lab, table, guard, backend):
        measure(lab, table, "after `up`", guard, DECLARED)
        said = life.outputs()["firewall"]
        assert said["backend"] == backend
        assert said["enforcedBy"] == ("iptables" if backend == "iptables" else "nftables")
        assert "no systemd" in said["boot"]
        assert said["listeners"]["mqtt"]["allowFrom"] == ["192.168.0.0/16", "fd00:3::/64"]

    def test_the_containers_own_address_is_no_way_around_the_published_port(
        self, life, lab, table, guard, network
    ):
        """Whoever has a route to Docker's bridge dials it directly, past the DNAT."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        address = lab.docker("inspect", "--format", form, life.container).strip()
        assert bool(address) is (network == "published")
        if address:
            wanted = {CONTROLLER: OPEN, NEIGHBOUR: OPEN, STRANGER: CLOSED}
            moment = "after `up`, at the container's own address"
            measure(lab, table, moment, guard, wanted, at=address)

    def test_a_large_message_passes_a_link_that_is_too_narrow_for_its_packets(self, life, lab):
        """The router before it says so to the broker, or nothing of it ever arrives."""
        login = (SERVER, MQTT, "admin", life.password("admin"))
        for each in (CONTROLLER, FAR):
            assert lab.knockers[each].say("hold", "large", *login)
        assert lab.knockers[CONTROLLER].say("retains", "large", "large", LARGE)
        assert lab.knockers[FAR].say("receives", "large", "large", LARGE, 60) >= LARGE
        for each in (CONTROLLER, FAR):
            lab.knockers[each].say("release", "large")

    def test_nothing_to_do_the_second_time(self, life):
        life.up("--expect-no-changes")

    def test_a_changed_list_with_connections_open(self, life, lab, table, guard):
        started = life.inspect()["State"]["StartedAt"]
        for each in (CONTROLLER, NEIGHBOUR):
            assert lab.knockers[each].say(
                "hold", "it", SERVER, MQTT, "admin", life.password("admin")
            )
        life.edit(narrow)
        life.up()
        assert lab.knockers[CONTROLLER].say("pings", "it", 60)
        assert not lab.knockers[NEIGHBOUR].say("pings", "it", 2)
        measure(lab, table, "after `up` with a narrower list", guard, NARROWED)
        assert life.inspect()["State"]["StartedAt"] == started
        for each in (CONTROLLER, NEIGHBOUR):
            lab.knockers[each].say("release", "it")

    def test_after_a_flush_of_iptables_and_a_restart_of_docker(self, lab, table, guard, backend):
        if backend != "ufw":
            lab.run("iptables", "-F")
        lab.stop_docker()
        lab.start_docker()
        # What ufw has in the filter table it would not put back.
        flushed = "" if backend == "ufw" else "`iptables -F` and "
        measure(lab, table, f"after {flushed}a restart of Docker", guard, NARROWED)

    def test_after_a_start_of_the_host(self, life, lab, table, guard):
        """Everything the kernel knew is gone; then what systemd would do, in its order."""
        unit = Path(
            lab.run(
                "find",
                "/etc/systemd/system",
                "-maxdepth",
                "1",
                "-name",
                f"*{life.container}.service",
            ).strip()
        )
        wants = lab.run(
            "ls",
            "/etc/systemd/system/docker.service.wants",
            "/etc/systemd/system/multi-user.target.wants",
        )
        assert wants.count(unit.name) == 2
        verified = lab.run("systemd-analyze", "verify", str(unit), check=False)
        assert life.container not in verified, verified
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

    def test_rules_that_somebody_took_away_are_missed_and_put_back(self, life, lab, backend):
        """For that long strangers could come in: they don't watch meanwhile."""
        for each in (STRANGER, STRANGER_6):
            tried, opened = lab.knockers[each].say("unwatch")
            assert tried >= KNOCKS
            assert opened == 0, f"{each.name} got in {opened} times of {tried}"
        if backend == "iptables":
            jump = next(
                line
                for line in lab.run("iptables", "-t", "mangle", "-S", "INPUT").splitlines()
                if "MQTT-IN" in line
            )
            lab.run("iptables", "-t", "mangle", *jump.replace("-A", "-D").split())
            word = "changed"
        else:
            lab.run("nft", "delete", "table", "inet", f"sentient-mqtt-{life.container}")
            word = "missing" if backend == "nftables" else "changed"
        assert f"are {word} on the host" in life.preview().output
        life.up()
        for each in (STRANGER, STRANGER_6):
            lab.knockers[each].say("watch", targets(each, PORTS))
        assert lab.matrix(PORTS, {STRANGER: CLOSED})[STRANGER] == CLOSED
        life.up("--expect-no-changes")

    def test_a_port_that_changes_is_nobodys_in_between(self, life, lab, table, guard):
        """Nor is an address. Strangers knock at the old and at the new one all the time."""
        for each in (STRANGER, STRANGER_6):
            tried, opened = lab.knockers[each].say("unwatch")
            assert (tried >= KNOCKS, opened) == (True, 0)
            lab.knockers[each].say("watch", targets(each, PORTS | MOVED))
        life.edit(move)
        life.up()
        wanted = NARROWED | {CONTROLLER_6: [True, False]}
        measure(lab, table, "after `up` with another port", guard, wanted, ports=MOVED)


def test_the_page_says_what_was_measured(table):
    lines = render(table)
    print("\n" + lines)
    assert lines in PAGE.read_text(encoding="utf-8"), (
        f"docs/explanation/exposure.md is not what was measured:\n{lines}"
    )


def render(table) -> str:
    columns = (*PEOPLE, BESIDE)
    rows = [
        "| moment | guarded by | " + " | ".join(each.name for each in columns) + " |",
        "| --- | --- |" + " --- |" * len(columns),
    ]
    for (moment, guard), (ports, found) in table.items():
        cells = []
        for person in columns:
            if person not in found:
                cells.append("")
                continue
            words = ["open" if each else "closed" for each in found[person]]
            cells.append(
                " ".join(f"{port} {word}" for port, word in zip(ports, words, strict=True))
            )
        rows.append(f"| {moment} | {guard} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"
