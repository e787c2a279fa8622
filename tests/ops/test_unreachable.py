"""A host that can't be reached ends a command with a sentence, whatever is wrong with ssh."""

import shutil
from pathlib import Path

import pytest

import ops.backup
import ops.certificate
import ops.down
import ops.firewall
import ops.inventory
import ops.logs
import ops.refused
import ops.restart
import ops.restore
import ops.status
import ops.up
import ops.verify_backup
from ops.command import finish

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
    "backup": (ops.backup.main,),
    "certificate": (ops.certificate.main, "--user", "sensor", "--out", "OUT"),
    "down": (ops.down.main, "--delete-data"),
    "firewall": (ops.firewall.main,),
    "inventory": (ops.inventory.main,),
    "logs": (ops.logs.main,),
    "refused": (ops.refused.main,),
    "restart": (ops.restart.main,),
    "restore": (ops.restore.main, "--archive", "latest"),
    "status": (ops.status.main,),
    "up": (ops.up.main,),
    "verify-backup": (ops.verify_backup.main,),
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
        finish(lambda: site.run(ops.down.main, "--delete-data"))

    assert site.calls()[-1].startswith("destroy ")
