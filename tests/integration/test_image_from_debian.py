"""The fallback image of Debian's packages runs like the official image, on both release lines."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

SUITES = {"trixie": "2.0.21", "forky": "2.1.2"}
PASSWORD = "a-password-of-this-test"
CONFIG = """\
listener 1883
listener 9001
protocol websockets
allow_anonymous false
password_file /mosquitto/config/passwd
persistence true
persistence_location /mosquitto/data/
"""
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=1883:1883")


@pytest.fixture(scope="module", params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def image(suite: str, fallback_image) -> str:
    return fallback_image(suite)


@pytest.fixture(scope="module")
def broker(image: str, docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a hardened container with one user on loopback ports; return its name."""
    config = tmp_path_factory.mktemp("config")
    salt = b"twelve bytes"
    digest = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), salt, 101, 64)
    encoded = [base64.b64encode(value).decode() for value in (salt, digest)]
    (config / "mosquitto.conf").write_text(CONFIG)
    (config / "passwd").write_text(f"alice:$7$101${encoded[0]}${encoded[1]}\n")
    for path in (config, *config.iterdir()):
        os.chown(path, 1883, 1883)
        path.chmod(0o700 if path.is_dir() else 0o600)
    name = f"integration-{uuid.uuid4().hex[:8]}"
    docker(
        *("run", "--detach", "--name", name, *HARDENED),
        *("--volume", f"{config}:/mosquitto/config:ro"),
        *("--publish", "127.0.0.1::1883", "--publish", "127.0.0.1::9001"),
        image,
    )
    yield name
    docker("rm", "--force", "--volumes", name)


def login(docker, broker: str, port: int, transport: str, password: str) -> str:
    """Log in from outside the container; return the broker's answer."""
    published = int(docker("port", broker, f"{port}/tcp").rsplit(":", 1)[1])
    answered = threading.Event()
    answers: list[str] = []

    def on_connect(_client, _data, _flags, reason, _properties) -> None:
        answers.append(str(reason))
        answered.set()

    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, transport=transport, reconnect_on_failure=False
    )
    client.username_pw_set("alice", password)
    client.on_connect = on_connect
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            client.connect("127.0.0.1", published)
            client.loop_start()
            if answered.wait(5):
                return answers[0]
        except OSError:
            time.sleep(0.2)  # the broker is still starting
        finally:
            client.loop_stop()
            client.disconnect()
    pytest.fail(f"no answer; the broker says: {docker('logs', broker, check=False)}")


def test_version_is_that_of_its_name(docker, suite: str, image: str) -> None:
    output = docker("run", "--rm", image, "mosquitto", "-h", check=False)
    assert output.startswith(f"mosquitto version {SUITES[suite]}\n")
    assert image == f"localhost/mosquitto-from-debian:{SUITES[suite]}-{suite}"


def test_labels_tell_it_from_the_official_image(docker, image: str) -> None:
    labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", image))
    assert labels["sentient-mqtt.stand-in"] == "eclipse-mosquitto"
    assert "not the official one" in labels["org.opencontainers.image.description"]


def test_command_volumes_and_ports_are_those_of_the_official_image(docker, image: str) -> None:
    config = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image))
    assert config["Cmd"] == ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
    assert sorted(config["Volumes"]) == ["/mosquitto/data", "/mosquitto/log"]
    assert list(config["ExposedPorts"]) == ["1883/tcp"]
    assert not config.get("User")


def test_paths_and_owners_are_those_of_the_official_image(docker, image: str) -> None:
    folders = ("/mosquitto", "/mosquitto/config", "/mosquitto/data", "/mosquitto/log")
    output = docker("run", "--rm", image, "stat", "-c", "%n %U:%G %u:%g", *folders)
    assert output.split("\n")[:-1] == [
        f"{folder} mosquitto:mosquitto 1883:1883" for folder in folders
    ]
    found = docker("run", "--rm", image, "sh", "-c", 'id mosquitto; echo "$HOME"; stat -c %a /tmp')
    assert found == "uid=1883(mosquitto) gid=1883(mosquitto) groups=1883(mosquitto)\n/root\n1777\n"


@pytest.mark.parametrize(
    "tool",
    ["sh", "cat", "kill", "chroot", "stat", "mosquitto_sub", "mosquitto_pub", "mosquitto_rr"],
)
def test_common_tools_are_installed(docker, image: str, tool: str) -> None:
    assert docker("run", "--rm", image, "sh", "-c", f"command -v {tool}").strip()


def test_image_has_no_setuid_files_and_no_mirror_address(docker, image: str) -> None:
    assert docker("run", "--rm", image, "find", "/", "-xdev", "-perm", "/6000") == ""
    files = docker("run", "--rm", image, "find", "/etc/apt", "/var/lib/apt", "/var/cache/apt")
    assert "sources.list\n" not in files
    assert ".deb\n" not in files


def test_package_list_is_readable_by_scanners(docker, suite: str, image: str) -> None:
    control = docker("run", "--rm", image, "cat", "/var/lib/dpkg/status.d/mosquitto")
    assert f"\nVersion: {SUITES[suite]}-" in control
    packages = docker("run", "--rm", image, "ls", "/var/lib/dpkg/status.d").split()
    assert any(package.startswith("libssl") for package in packages)


def test_default_configuration_listens_on_loopback_only(docker, image: str) -> None:
    name = f"integration-{uuid.uuid4().hex[:8]}"
    docker("run", "--detach", "--name", name, image)
    try:
        deadline = time.monotonic() + 90
        hello = ("-t", "a", "-m", "hello")
        while docker("exec", name, "mosquitto_pub", *hello, check=False) != "":
            assert time.monotonic() < deadline, docker("logs", name, check=False)
            time.sleep(0.2)
        address = docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name).strip()
        for host, answer in (("127.0.0.1", "in\n"), (address, "out\n")):
            ask = f"mosquitto_pub -h {host} -t a -m hello >/dev/null 2>&1 && echo in || echo out"
            assert docker("exec", name, "sh", "-c", ask) == answer
    finally:
        docker("rm", "--force", "--volumes", name)


@pytest.mark.parametrize(("port", "transport"), [(1883, "tcp"), (9001, "websockets")])
def test_hardened_container_admits_only_the_right_password(
    docker, broker: str, port: int, transport: str
) -> None:
    assert login(docker, broker, port, transport, PASSWORD) == "Success"
    assert login(docker, broker, port, transport, "wrong") in {
        "Not authorized",
        "Bad user name or password",
    }


def test_hardened_container_has_no_capabilities(docker, broker: str) -> None:
    status = docker("exec", broker, "cat", "/proc/1/status")
    found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert found["Uid"].split() == ["1883"] * 4
    assert found["CapEff"] == found["CapBnd"] == "0" * 16
    assert found["NoNewPrivs"] == "1"
    assert "Read-only file system" in docker("exec", broker, "touch", "/etc/x", check=False)


def test_hardened_container_saves_into_its_volume(docker, broker: str) -> None:
    docker("exec", broker, "kill", "-USR1", "1")
    deadline = time.monotonic() + 90
    while "mosquitto.db" not in docker("exec", broker, "ls", "/mosquitto/data"):
        assert time.monotonic() < deadline, docker("logs", broker, check=False)
        time.sleep(0.2)


def test_recipe_names_no_mirror() -> None:
    folder = Path(__file__).parents[2] / "images"
    text = "".join(path.read_text() for path in sorted(folder.iterdir()))
    assert set(re.findall(r"https?://[a-z][^ }\"']+", text)) == set()
