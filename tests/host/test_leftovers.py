"""After a removal the host is asked for each thing that should be gone."""

import os

import pytest
from host_under_test import SOCKET, call

MARK = "# Written by Pulumi, stack test."
NOTHING = """case "$*" in *" ps "*|*" ls "*) ;; *) exit 1 ;; esac"""


@pytest.fixture
def look(host, tmp_path):
    """``look()`` returns the answer; nothing is there until a test makes it."""
    host.docker(NOTHING)
    for command in ("nft", "iptables", "ip6tables", "ufw"):
        host.program(command, "exit 0")

    def look():
        return host.run(
            "commands/leftovers.sh",
            call("removed", SOCKET, "image:1"),
            call("container", "broker.1"),
            call("network", "broker.1"),
            call("file", tmp_path / "conf"),
            call("env_file", tmp_path / "env" / "app.env", MARK),
            call("rules", "broker.1", "mqtt-1"),
            action="look",
        )

    (tmp_path / "env").mkdir()
    return look


def test_nothing_is_left(look):
    done = look()
    assert (done.returncode, done.stdout, done.stderr) == (0, "looked\n", "")


def test_nothing_is_changed(look, host, tmp_path):
    (tmp_path / "conf").write_text("x")
    look()
    assert (tmp_path / "conf").read_text() == "x"
    assert not [line for line in host.calls() if " rm" in line or "delete" in line]


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("*' ps '*) echo broker.1 ;;", "container broker.1"),
        ("*' network ls '*) echo broker.1 ;;", "network broker.1"),
        ("*' ps '*) echo broker-1; echo broker.1-old; echo another ;;", None),
    ],
)
def test_a_container_or_network_is_found_by_its_whole_name(look, host, body, left):
    host.docker(f'case "$*" in {body} esac')
    expected = f"left {left}\nlooked\n" if left else "looked\n"
    assert look().stdout == expected


@pytest.mark.parametrize("kind", ["file", "folder", "broken link"])
def test_a_file_is_found(look, tmp_path, kind):
    path = tmp_path / "conf"
    {
        "file": lambda: path.write_text(""),
        "folder": path.mkdir,
        "broken link": lambda: path.symlink_to("nowhere"),
    }[kind]()
    assert look().stdout == f"left file {path}\nlooked\n"


@pytest.mark.parametrize("owner", [0, 1000])
@pytest.mark.parametrize(("first", "left"), [(MARK, True), ("# of an application", False)])
def test_an_env_file_is_found_by_its_first_line(look, tmp_path, owner, first, left):
    file = tmp_path / "env" / "app.env"
    file.write_text(f"{first}\nMQTT_USER=x\n")
    os.chown(file, owner, owner)
    os.chown(tmp_path / "env", owner, owner)
    assert look().stdout == (f"left file {file}\n" if left else "") + "looked\n"


def test_a_link_of_another_user_is_not_followed(look, tmp_path):
    (tmp_path / "secret").write_text(f"{MARK}\n")
    (tmp_path / "env" / "app.env").symlink_to(tmp_path / "secret")
    os.chown(tmp_path / "env", 1000, 1000)
    assert look().stdout == "looked\n"


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("nft", "table inet sentient-mqtt-broker.1 {"),
        ("iptables", "-N MQTT-IN-mqtt-1"),
        ("ip6tables", "-A INPUT -j MQTT-IN-mqtt-1"),
        ("ufw", "ufw allow 1883 comment 'sentient-mqtt broker.1'"),
    ],
)
def test_firewall_rules_of_every_backend_are_found(look, host, command, output):
    host.program(command, f'cat <<"EOT"\n{output}\nEOT')
    assert look().stdout == "left rules broker.1\nlooked\n"


def test_firewall_rules_of_others_are_not_reported(look, host):
    host.program("iptables", "echo '-N MQTT-IN-mqtt-2'")
    host.program("ufw", "echo \"ufw allow 1883 comment 'sentient-mqtt broker-1'\"")
    assert look().stdout == "looked\n"


def test_without_an_answer_of_docker_nothing_is_claimed(look, host):
    host.docker('echo "Cannot connect to the Docker daemon" >&2; exit 1')
    done = look()
    assert done.returncode == 1
    assert "looked" not in done.stdout
    assert "Cannot connect" in done.stderr
