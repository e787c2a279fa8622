"""A server of its own: network, /etc, /run and Docker daemon, with four people on its networks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.site.server import Dockerd, on_a_server

KNOCKING = Path(__file__).parent / "knocking.py"
SERVER, SERVER_6 = "192.168.2.3", "fd00:2::3"
MQTT, WEBSOCKET = 1883, 9001


@dataclass(frozen=True)
class Person:
    """Somebody with an address, on a network that the server is the gateway of."""

    name: str
    address: str
    gateway: str

    @property
    def version(self) -> int:
        return 6 if ":" in self.address else 4


CONTROLLER = Person("controller 192.168.3.10", "192.168.3.10/24", "192.168.3.1")
NEIGHBOUR = Person("server's LAN 192.168.2.50", "192.168.2.50/24", SERVER)
STRANGER = Person("stranger 10.9.0.10", "10.9.0.10/24", "10.9.0.1")
CONTROLLER_6 = Person("controller fd00:3::10", "fd00:3::10/64", "fd00:3::1")
STRANGER_6 = Person("stranger fd00:9::10", "fd00:9::10/64", "fd00:9::1")
PEOPLE = (CONTROLLER, NEIGHBOUR, STRANGER, CONTROLLER_6, STRANGER_6)
# On a network of Docker's own, and no one's but Docker's wire leads to it.
BESIDE = Person("container on the server 172.17.0.0/16", "", "")
# Behind the controller, over a link that is too narrow for an Ethernet's packets.
FAR = Person("far 192.168.4.10", "192.168.4.10/24", "192.168.4.1")
NARROW = 1400
WIRES = {"ctl": (CONTROLLER, CONTROLLER_6), "lan": (NEIGHBOUR,), "out": (STRANGER, STRANGER_6)}


# Answers whatever is said, like a broker that says something to each CONNECT.
ANSWERING = """
import socket, sys
server = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6,
                              dualstack_ipv6=True)
print("ready", flush=True)
while True:
    peer, _ = server.accept()
    try:
        peer.sendall(peer.recv(100))
    except OSError:
        pass
    peer.close()
"""


@dataclass
class Knocker:
    """A process in somebody's network namespace."""

    process: subprocess.Popen[str]

    def say(self, *words: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the process that knocks has ended: {words[0]}"
        return json.loads(line)

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


@dataclass
class Lab:
    """The server, up to its Docker daemon where it has one, and who knocks."""

    folder: Path
    name: str
    with_docker: bool = True
    image: str = ""
    holder: subprocess.Popen[str] = field(init=False)
    dockerd: Dockerd = field(init=False)
    knockers: dict[Person, Knocker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.holder = subprocess.Popen(
            [*on_a_server(self.folder), "sh", "-c", "echo ready; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == "ready\n"
        for wire, people in WIRES.items():
            space = f"{self.name}-{wire}"
            _run("ip", "netns", "add", space)
            _run("ip", "link", "add", wire, "netns", str(self.holder.pid), "type", "veth",
                 "peer", "name", "eth0", "netns", space)  # fmt: skip
            self.run("ip", "link", "set", wire, "up")
            for each in ("lo", "eth0"):
                _run("ip", "-n", space, "link", "set", each, "up")
            for person in people:
                six = ["nodad"] if person.version == 6 else []
                prefix = person.address.partition("/")[2]
                self.run("ip", "address", "add", f"{person.gateway}/{prefix}", "dev", wire, *six)
                _run("ip", "-n", space, "address", "add", person.address, "dev", "eth0", *six)
                _run("ip", "-n", space, f"-{person.version}", "route", "add", "default", "via",
                     person.gateway)  # fmt: skip
                self.knockers[person] = knocker("ip", "netns", "exec", space)
        self.run("ip", "address", "add", f"{SERVER_6}/64", "dev", "lan", "nodad")
        self._far()
        self.dockerd = Dockerd(self.folder, self.inside)
        if self.with_docker:
            self.start_docker()

    def _far(self) -> None:
        near, space = f"{self.name}-ctl", f"{self.name}-far"
        _run("ip", "netns", "add", space)
        _run("ip", "link", "add", "far", "netns", near, "type", "veth",
             "peer", "name", "eth0", "netns", space)  # fmt: skip
        _run("ip", "-n", near, "address", "add", f"{FAR.gateway}/24", "dev", "far")
        # This end alone: the far client says nothing of it when it connects.
        _run("ip", "-n", near, "link", "set", "far", "mtu", str(NARROW), "up")
        _run("ip", "netns", "exec", near, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        _run("ip", "-n", space, "link", "set", "eth0", "up")
        _run("ip", "-n", space, "address", "add", FAR.address, "dev", "eth0")
        _run("ip", "-n", space, "route", "add", "default", "via", FAR.gateway)
        self.run("ip", "route", "add", "192.168.4.0/24", "via", CONTROLLER.address.split("/")[0])
        self.knockers[FAR] = knocker("ip", "netns", "exec", space)

    @property
    def inside(self) -> tuple[str, ...]:
        """Stands before a command that is to run on the server."""
        return ("nsenter", f"--target={self.holder.pid}", "--mount", "--net", "--")

    def run(self, *words: str, check: bool = True, stdin: str | None = None) -> str:
        """Run *words* on the server and return what they said."""
        done = subprocess.run(
            [*self.inside, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0 or not check, f"{' '.join(words)}: {said}"
        return done.stdout if done.returncode == 0 else said

    def docker(self, *words: str, check: bool = True) -> str:
        return self.run("docker", *words, check=check)

    def start_docker(self) -> None:
        self.dockerd.start()

    def stop_docker(self) -> None:
        self.dockerd.stop()

    @contextlib.contextmanager
    def listening(self, port: int) -> Iterator[None]:
        """Something on the server's own network answers on *port* of each of its addresses."""
        with subprocess.Popen(
            [*self.inside, sys.executable, "-c", ANSWERING, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            try:
                yield
            finally:
                process.kill()

    @contextlib.contextmanager
    def container_beside(self) -> Iterator[None]:
        """Let ``BESIDE`` knock: a container beside the broker's, on Docker's default network."""
        name = self.docker("run", "--detach", "--init", self.image, "sleep", "60").strip()
        process = self.docker("inspect", "--format", "{{.State.Pid}}", name).strip()
        self.knockers[BESIDE] = knocker("nsenter", f"--net=/proc/{process}/ns/net", "--")
        try:
            yield
        finally:
            self.knockers.pop(BESIDE).end()
            self.docker("rm", "--force", name)

    def matrix(
        self, ports: dict[int, str], wanted: dict[Person, list[bool]], *, at: str = ""
    ) -> dict[Person, list[bool]]:
        """
        Return, for each person, whether each port answers, of the server or of what is *at*.

        Who ought to get in is asked again for a while: a broker may be busy. Who ought not has one
        chance, all ports at once.
        """
        found: dict[Person, list[bool]] = {}

        def ask(person: Person) -> None:
            deadline = time.monotonic() + (90 if any(wanted[person]) else 0)
            while True:
                answers = self.knockers[person].say("ask", targets(person, ports, at), 1.5)
                if answers == wanted[person] or time.monotonic() >= deadline:
                    break
            found[person] = answers

        threads = [threading.Thread(target=ask, args=(each,)) for each in wanted]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return {each: found[each] for each in wanted}

    def close(self) -> None:
        for each in self.knockers.values():
            each.end()
        if self.with_docker:
            ids = self.docker("ps", "--all", "--quiet", check=False).split()
            if ids:
                self.docker("rm", "--force", "--volumes", *ids, check=False)
            self.stop_docker()
        assert self.holder.stdin is not None
        self.holder.stdin.close()
        self.holder.wait(30)
        for wire in (*WIRES, "far"):
            _run("ip", "netns", "delete", f"{self.name}-{wire}")
        shutil.rmtree(self.folder, ignore_errors=True)


def targets(person: Person, ports: dict[int, str], at: str = "") -> list[list[object]]:
    """Return where *person* knocks."""
    server = SERVER_6 if person.version == 6 else SERVER
    return [[at or server, port, kind] for port, kind in ports.items()]


def knocker(*within: str) -> Knocker:
    """Return somebody who knocks from *within* a network namespace."""
    return Knocker(
        subprocess.Popen(
            [*within, sys.executable, str(KNOCKING)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )


def _run(*words: str) -> None:
    subprocess.run(words, check=True, env={**os.environ, "LANG": "C"}, capture_output=True)
