"""A server of its own: network, /etc, /run and Docker daemon, with four people on its networks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
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
WIRES = {"ctl": (CONTROLLER, CONTROLLER_6), "lan": (NEIGHBOUR,), "out": (STRANGER, STRANGER_6)}


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


@dataclass
class Lab:
    """The server, up to its Docker daemon, and who knocks."""

    folder: Path
    name: str
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
                self.knockers[person] = Knocker(
                    subprocess.Popen(
                        ["ip", "netns", "exec", space, sys.executable, str(KNOCKING)],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
        self.run("ip", "address", "add", f"{SERVER_6}/64", "dev", "lan", "nodad")
        self.dockerd = Dockerd(self.folder, self.inside)
        self.start_docker()

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
            timeout=120,
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

    def container_reaches(self, image: str, port: int) -> bool:
        """Return whether a container beside the broker gets a CONNACK from the server's address."""
        asks = f"timeout 3 mosquitto_pub -h {SERVER} -p {port} -t a -m b 2>&1; echo status $?"
        said = self.docker("run", "--rm", "--init", image, "sh", "-c", asks)
        assert "status" in said
        return "not authorised" in said

    def matrix(self, ports: dict[int, str], wanted: dict[Person, bool]) -> dict[Person, list[bool]]:
        """
        Return, for each person, whether each port answers.

        Who ought to get in is asked again for a while: a broker may be busy. Who ought not has one
        chance, all ports at once.
        """
        found: dict[Person, list[bool]] = {}

        def ask(person: Person) -> None:
            deadline = time.monotonic() + (15 if wanted[person] else 0)
            while True:
                answers = self.knockers[person].say("ask", targets(person, ports), 1.5)
                if all(answers) or time.monotonic() >= deadline:
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
            assert each.process.stdin is not None
            each.process.stdin.close()
            each.process.wait(30)
        ids = self.docker("ps", "--all", "--quiet", check=False).split()
        if ids:
            self.docker("rm", "--force", "--volumes", *ids, check=False)
        self.stop_docker()
        assert self.holder.stdin is not None
        self.holder.stdin.close()
        self.holder.wait(30)
        for wire in WIRES:
            _run("ip", "netns", "delete", f"{self.name}-{wire}")
        shutil.rmtree(self.folder, ignore_errors=True)


def targets(person: Person, ports: dict[int, str]) -> list[list[object]]:
    """Return where *person* knocks."""
    server = SERVER_6 if person.version == 6 else SERVER
    return [[server, port, kind] for port, kind in ports.items()]


def _run(*words: str) -> None:
    subprocess.run(words, check=True, env={**os.environ, "LANG": "C"}, capture_output=True)
