"""With an unreachable host a command fails with a message, whatever is wrong with ssh."""

import shutil
from pathlib import Path

import pytest

from cli.exit_codes import finish

HOST = "ssh://site@host.example.org"
TLS = {
    "mqtt": {"port": 1883, "bindAddress": "127.0.0.1"},
    "mqtts": {
        "port": 8883,
        "allowFrom": ["192.0.2.0/24"],
        "tls": {"clientCertificates": "required"},
    },
}
COMMANDS = {
    # Queries exit with 2.
    "backup create": 1,
    "backup restore latest": 1,
    "backup verify": 1,
    "certificate sensor --out OUT": 1,
    "down --confirm test --delete-data": 1,
    "firewall": 2,
    "inventory": 2,
    "logs": 1,
    "refused": 2,
    "restart": 1,
    "status": 2,
    "up": 1,
}


def refuse_host_key(file: Path) -> None:
    file.write_text("#!/bin/sh\necho 'Host key verification failed.' >&2\nexit 255\n")
    file.chmod(0o755)


def not_a_program(file: Path) -> None:
    file.write_text("#!/nowhere/sh\n")
    file.chmod(0o644)


CLIENTS = {
    "absent": (lambda _: None, "the OpenSSH client is not installed here"),
    "not executable": (not_a_program, "Permission denied"),
    "host key refused": (refuse_host_key, "its host key differs from the one in known_hosts"),
}


@pytest.fixture
def site(desk, tmp_path, monkeypatch):
    """A stack on a host behind ssh; PATH has the test's programs, sh and cat."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "cat"):
        (tools / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", f"{desk.bin}:{tools}")
    desk.write(host=HOST, listeners=TLS, backups={"folder": "/srv/backups"})
    desk.outputs = {"image": "eclipse-mosquitto:2.0.22"}
    desk.pulumi("exit 0")
    return desk


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_fails_with_a_message(site, tmp_path, capsys, command, client):
    put_ssh, message = CLIENTS[client]
    put_ssh(site.bin / "ssh")
    words = [str(tmp_path / "out") if word == "OUT" else word for word in command.split()]

    with pytest.raises(SystemExit) as ended:
        finish(lambda: site.run(*words))

    assert ended.value.code == COMMANDS[command]
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert f"host {HOST}: " in err
    assert message in err


def test_down_reports_that_the_data_is_kept(site, capsys):
    with pytest.raises(SystemExit):
        finish(lambda: site.run("down", "--confirm", "test", "--delete-data"))

    captured = capsys.readouterr()
    assert "data and logs are kept, and what else is left on the host is unknown" in captured.err
    assert f"host {HOST}: " in captured.err
    assert "Deleted" not in captured.out
    assert site.calls()[-1].startswith("destroy ")
