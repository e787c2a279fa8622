"""A server with its own network, /etc, /run and Docker daemon, and clients around it."""

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

PORT_CLIENT = Path(__file__).parent / "port_client.py"
SERVER, SERVER_6 = "192.168.2.3", "fd00:2::3"
MQTT, WEBSOCKET = 1883, 9001


@dataclass(frozen=True)
class NetworkClient:
    """A client with an address of its own, on a network whose gateway is the server."""

    name: str
    address: str
    gateway: str

    @property
    def version(self) -> int:
        return 6 if ":" in self.address else 4


CONTROLLER = NetworkClient("controller 192.168.3.10", "192.168.3.10/24", "192.168.3.1")
NEIGHBOUR = NetworkClient("server's LAN 192.168.2.50", "192.168.2.50/24", SERVER)
STRANGER = NetworkClient("stranger 10.9.0.10", "10.9.0.10/24", "10.9.0.1")
CONTROLLER_6 = NetworkClient("controller fd00:3::10", "fd00:3::10/64", "fd00:3::1")
STRANGER_6 = NetworkClient("stranger fd00:9::10", "fd00:9::10/64", "fd00:9::1")
CLIENTS = (CONTROLLER, NEIGHBOUR, STRANGER, CONTROLLER_6, STRANGER_6)
# On Docker's default network, which no link of the lab leads to.
CONTAINER = NetworkClient("container on the server 172.17.0.0/16", "", "")
# Behind the controller, over a link whose MTU is smaller than Ethernet's.
FAR = NetworkClient("far 192.168.4.10", "192.168.4.10/24", "192.168.4.1")
SMALL_MTU = 1400
LINKS = {"ctl": (CONTROLLER, CONTROLLER_6), "lan": (NEIGHBOUR,), "out": (STRANGER, STRANGER_6)}


# Answers everything it receives, as a broker answers a CONNECT.
ECHO_SERVER = """
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
class PortClient:
    """A process of port_client.py in a client's network namespace."""

    process: subprocess.Popen[str]

    def request(self, *words: Any) -> Any:
        """Send one request and return the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"port_client.py has ended: {words[0]}"
        return json.loads(line)

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


@dataclass
class Lab:
    """The server, with its Docker daemon if it has one, and the clients around it."""

    folder: Path
    name: str
    with_docker: bool = True
    image: str = ""
    holder: subprocess.Popen[str] = field(init=False)
    dockerd: Dockerd = field(init=False)
    port_clients: dict[NetworkClient, PortClient] = field(default_factory=dict)

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
        for link, clients in LINKS.items():
            space = f"{self.name}-{link}"
            _run("ip", "netns", "add", space)
            _run("ip", "link", "add", link, "netns", str(self.holder.pid), "type", "veth",
                 "peer", "name", "eth0", "netns", space)  # fmt: skip
            self.run("ip", "link", "set", link, "up")
            for interface in ("lo", "eth0"):
                _run("ip", "-n", space, "link", "set", interface, "up")
            for client in clients:
                options = ["nodad"] if client.version == 6 else []
                prefix = client.address.partition("/")[2]
                gateway = f"{client.gateway}/{prefix}"
                self.run("ip", "address", "add", gateway, "dev", link, *options)
                _run("ip", "-n", space, "address", "add", client.address, "dev", "eth0", *options)
                _run("ip", "-n", space, f"-{client.version}", "route", "add", "default", "via",
                     client.gateway)  # fmt: skip
                self.port_clients[client] = start_port_client("ip", "netns", "exec", space)
        self.run("ip", "address", "add", f"{SERVER_6}/64", "dev", "lan", "nodad")
        self._add_far_client()
        self.dockerd = Dockerd(self.folder, self.inside)
        if self.with_docker:
            self.start_docker()

    def _add_far_client(self) -> None:
        near, space = f"{self.name}-ctl", f"{self.name}-far"
        _run("ip", "netns", "add", space)
        _run("ip", "link", "add", "far", "netns", near, "type", "veth",
             "peer", "name", "eth0", "netns", space)  # fmt: skip
        _run("ip", "-n", near, "address", "add", f"{FAR.gateway}/24", "dev", "far")
        # Only at this end, so that the far client does not announce a small MSS when it connects.
        _run("ip", "-n", near, "link", "set", "far", "mtu", str(SMALL_MTU), "up")
        _run("ip", "netns", "exec", near, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        _run("ip", "-n", space, "link", "set", "eth0", "up")
        _run("ip", "-n", space, "address", "add", FAR.address, "dev", "eth0")
        _run("ip", "-n", space, "route", "add", "default", "via", FAR.gateway)
        self.run("ip", "route", "add", "192.168.4.0/24", "via", CONTROLLER.address.split("/")[0])
        self.port_clients[FAR] = start_port_client("ip", "netns", "exec", space)

    @property
    def inside(self) -> tuple[str, ...]:
        """The words before a command that runs on the server."""
        return ("nsenter", f"--target={self.holder.pid}", "--mount", "--net", "--")

    def run(self, *words: str, check: bool = True, stdin: str | None = None) -> str:
        """Run *words* on the server; return stdout, or stdout and stderr of a failed command."""
        done = subprocess.run(
            [*self.inside, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0 or not check, f"{' '.join(words)}: {output}"
        return done.stdout if done.returncode == 0 else output

    def docker(self, *words: str, check: bool = True) -> str:
        return self.run("docker", *words, check=check)

    def start_docker(self) -> None:
        self.dockerd.start()

    def stop_docker(self) -> None:
        self.dockerd.stop()

    @contextlib.contextmanager
    def listening(self, port: int) -> Iterator[None]:
        """Run a program in the server's network that answers on *port* of all its addresses."""
        with subprocess.Popen(
            [*self.inside, sys.executable, "-c", ECHO_SERVER, str(port)],
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
    def other_container(self) -> Iterator[None]:
        """Run ``CONTAINER``: a container on the server, on Docker's default network."""
        name = self.docker("run", "--detach", "--init", self.image, "sleep", "60").strip()
        process = self.docker("inspect", "--format", "{{.State.Pid}}", name).strip()
        self.port_clients[CONTAINER] = start_port_client(
            "nsenter", f"--net=/proc/{process}/ns/net", "--"
        )
        try:
            yield
        finally:
            self.port_clients.pop(CONTAINER).end()
            self.docker("rm", "--force", name)

    def matrix(
        self,
        ports: dict[int, str],
        expected: dict[NetworkClient, list[bool]],
        *,
        address: str = "",
    ) -> dict[NetworkClient, list[bool]]:
        """
        Return, for each client, whether each port answers it, on the server or on *address*.

        A client that is expected to get an answer tries again for a while, because a broker may be
        busy. Other clients try once, all ports at the same time.
        """
        answered: dict[NetworkClient, list[bool]] = {}

        def try_ports(client: NetworkClient) -> None:
            deadline = time.monotonic() + (90 if any(expected[client]) else 0)
            while True:
                answers = self.port_clients[client].request(
                    "try", targets(client, ports, address), 1.5
                )
                if answers == expected[client] or time.monotonic() >= deadline:
                    break
            answered[client] = answers

        threads = [threading.Thread(target=try_ports, args=(client,)) for client in expected]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {client: answered[client] for client in expected}

    def close(self) -> None:
        for port_client in self.port_clients.values():
            port_client.end()
        if self.with_docker:
            ids = self.docker("ps", "--all", "--quiet", check=False).split()
            if ids:
                self.docker("rm", "--force", "--volumes", *ids, check=False)
            self.stop_docker()
        assert self.holder.stdin is not None
        self.holder.stdin.close()
        self.holder.wait(30)
        for link in (*LINKS, "far"):
            _run("ip", "netns", "delete", f"{self.name}-{link}")
        shutil.rmtree(self.folder, ignore_errors=True)


def targets(client: NetworkClient, ports: dict[int, str], address: str = "") -> list[list[object]]:
    """Return address, port and protocol of each port that *client* tries."""
    server = SERVER_6 if client.version == 6 else SERVER
    return [[address or server, port, protocol] for port, protocol in ports.items()]


def start_port_client(*enter: str) -> PortClient:
    """Start port_client.py in the network namespace that the command *enter* enters."""
    return PortClient(
        subprocess.Popen(
            [*enter, sys.executable, str(PORT_CLIENT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )


def _run(*words: str) -> None:
    subprocess.run(words, check=True, env={**os.environ, "LANG": "C"}, capture_output=True)
