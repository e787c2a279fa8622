"""A host that can't be reached ends a command with a sentence, whatever is wrong with ssh."""

import shutil
from pathlib import Path

import pytest

import cli.backup
import cli.certificate
import cli.down
import cli.firewall
import cli.inventory
import cli.logs
import cli.refused
import cli.restart
import cli.restore
import cli.status
import cli.up
import cli.verify_backup
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
    "backup": (cli.backup.main,),
    "certificate": (cli.certificate.main, "--user", "sensor", "--out", "OUT"),
    "down": (cli.down.main, "--delete-data"),
    "firewall": (cli.firewall.main,),
    "inventory": (cli.inventory.main,),
    "logs": (cli.logs.main,),
    "refused": (cli.refused.main,),
    "restart": (cli.restart.main,),
    "restore": (cli.restore.main, "--archive", "latest"),
    "status": (cli.status.main,),
    "up": (cli.up.main,),
    "verify-backup": (cli.verify_backup.main,),
}


def refuse(file: Path) -> None:
    file.write_text("#!/bin/sh\necho 'Host key verification failed.' >&2\nexit 255\n")
    file.chmod(0o755)


def not_a_program(file: Path) -> None:
    file.write_text("#!/nowhere/sh\n")
    file.chmod(0o644)


CLIENTS = {
    "absent": (lambda _: None, "the OpenSSH client is not installed here"),
    "not executable": (not_a_program, "Permission denied"),
    "refused": (refuse, "its host key is not the one in known_hosts"),
}


@pytest.fixture
def site(desk, tmp_path, monkeypatch):
    """A stack on a host behind ssh; PATH has what a test puts there, and little more."""
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
def test_a_command_ends_with_a_sentence(site, tmp_path, command, client):
    put, said = CLIENTS[client]
    put(site.bin / "ssh")
    main, *words = COMMANDS[command]
    words = [str(tmp_path / "out") if word == "OUT" else word for word in words]

    with pytest.raises(SystemExit) as ended:
        finish(lambda: site.run(main, *words))

    assert str(ended.value.code).startswith("error: ")
    assert f"host {HOST}: " in ended.value.code
    assert said in ended.value.code


def test_down_says_that_the_data_was_not_deleted(site):
    with pytest.raises(SystemExit, match=f"error: DATA=delete: host {HOST}: "):
        finish(lambda: site.run(cli.down.main, "--delete-data"))

    assert site.calls()[-1].startswith("destroy ")
