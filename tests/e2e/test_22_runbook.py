"""Incidents of the runbook, and the replacement of a host, with the documented commands."""

import re
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
from mqtt import Client, login_error
from newcomer import Newcomer
from patience import eventually
from site_under_test import ROOT

HOW_TO = ROOT / "docs" / "how-to"
RUNBOOK = (HOW_TO / "incident-runbook.md").read_text(encoding="utf-8")
REPLACE_THE_HOST = (HOW_TO / "replace-the-host.md").read_text(encoding="utf-8")


def blocks_of(page: str) -> list[str]:
    """Return the shell blocks of *page*, without the indentation of list items."""
    blocks = re.findall(r"```(?:ba)?sh\n(.*?)```", page, re.DOTALL)
    return ["\n".join(map(str.strip, block.strip().splitlines())) for block in blocks]


def section(title: str) -> str:
    """Return the section *title* of the runbook."""
    return RUNBOOK.partition(f"## {title}\n")[2].partition("\n## ")[0]


class Operator(Newcomer):
    """Types the blocks of the runbook, with the container and the folders of this test."""

    container = f"e2e-night-{secrets.token_hex(4)}"
    data: Path
    port: int
    before = ""
    """Typed before each line: where another state is, and its passphrase."""
    followed: set[str]

    def follows(self, title: str) -> str:
        """Type all blocks of the section *title*, and return the output."""
        blocks = blocks_of(section(title))
        assert blocks, title
        return "\n".join(map(self.types_block, blocks))

    def block(self, title: str, number: int) -> str:
        """Type one block of the section *title*, and return the output."""
        return self.types_block(blocks_of(section(title))[number])

    def types_block(self, text: str) -> str:
        return "\n".join(map(self._types_line, text.splitlines()))

    def _types_line(self, line: str) -> str:
        self.followed.add(line)
        folder = self.data.parent
        for documented, here in (
            ("/var/lib/sentient-mqtt/dev", str(folder)),
            ("/var/lib/sentient-mqtt/config-before", str(folder.parent / "config-before")),
            ("/mnt/elsewhere", str(folder.parent / "elsewhere")),
            ("mosquitto-dev", self.container),
            # Replace the host. The new host's folder takes the place of the old one's later.
            ("rsync -a --mkpath /opt/sentient/backups/mqtt/", f"cp -a {folder}/backups/."),
            ("root@NEW:/opt/sentient/backups/mqtt/", str(folder.parent / "new-host")),
            ("--stack prod", "--stack dev"),
            ("--confirm prod", "--confirm dev"),
        ):
            line = line.replace(documented, here)
        if line.startswith("./brokerctl check"):
            line += " || :"  # the tests look at its output
        if "backup restore" in line and "--yes" not in line:
            line = f"echo yes | {line}"
        return self.types(self.before + line)

    def client(self, port: int) -> Client:
        return Client(port, "admin", self.types("./brokerctl password admin").strip())


@pytest.fixture(scope="module")
def night(make_site, docker):
    site = make_site("night")
    operator = Operator(site.folder / "night", site.ports)
    operator.followed = set()
    # A small disk, which the test of a full disk fills.
    operator.data = site.folder / "night" / "site" / "data"
    operator.data.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", operator.data], check=True)
    try:
        operator.types("./brokerctl up")
        operator.port = site.ports[0]
        with operator.client(operator.port) as admin:
            admin.publish("paragon/room/status/door", "open", retain=True)
        operator.types("./brokerctl backup create")
        yield operator
    finally:
        container = operator.container
        docker("rm", "--force", "--volumes", container, check=False)
        docker("network", "rm", container, check=False)
        Path(f"/etc/logrotate.d/sentient-mqtt-{container}").unlink(missing_ok=True)
        shutil.rmtree(f"/etc/sentient-mqtt/{container}", ignore_errors=True)
        subprocess.run(["umount", operator.data], check=True)


def delete_content(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def delete_broker_folders(night) -> None:
    """Delete the folders of the broker; the data folder is a mount point and is emptied."""
    delete_content(night.data)
    for path in night.data.parent.iterdir():
        if path != night.data:
            shutil.rmtree(path)


def config(night) -> Path:
    return night.data.parent / "config"


def has_door_message(night) -> bool:
    with night.client(night.port) as admin:
        admin.subscribe("paragon/room/status/#", "paragon/room/events/end")
        admin.publish("paragon/room/events/end", "end")
        admin.got("paragon/room/events/end")
        return any(
            message.topic.endswith("/door") and message.text == "open" for message in admin.received
        )


def test_broker_does_not_start(night, docker):
    conf = config(night) / "mosquitto.conf"
    conf.write_text(conf.read_text() + "nonsense true\n")
    docker("restart", night.container, check=False)
    count = ("inspect", "--format", "{{.RestartCount}}", night.container)
    eventually(lambda: int(docker(*count)), 30)

    output = night.block("The broker does not start", 0)
    assert "FAIL" in output
    assert "Unknown configuration variable" in output

    night.block("The broker does not start", 1)
    assert "FAIL" not in night.types("./brokerctl check")
    assert has_door_message(night)


def test_password_leaked(night):
    leaked = night.types("./brokerctl password paragon_devices").strip()
    Client(night.port, "paragon_devices", leaked).close()
    output = night.follows("A password leaked")
    assert leaked not in output
    assert "#define MQTT_PASSWORD" in output
    assert "ot authori" in login_error(night.port, "paragon_devices", leaked)
    new = night.types("./brokerctl password paragon_devices").strip()
    Client(night.port, "paragon_devices", new).close()


def test_disk_is_full(night):
    filler = night.data / "filler"
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], check=False, capture_output=True
    )
    before = (night.data / "mosquitto.db").read_bytes()

    output = night.block("The disk is full", 0)
    assert "100%" in output
    assert re.search(r"FAIL +data, log and backups have room", output)
    assert "is the disk full?" in night.types("./brokerctl backup create", fails=True)
    assert (night.data / "mosquitto.db").read_bytes() == before

    filler.unlink()
    assert "Images" in night.block("The disk is full", 1)
    output = night.block("The disk is full", 2)
    assert "retained messages" in output
    assert "FAIL" not in output
    assert has_door_message(night)


def test_data_is_lost(night, docker):
    docker("kill", night.container)
    delete_content(night.data)
    docker("start", night.container)
    eventually(lambda: not has_door_message(night), 30)

    output = night.follows("The data is lost")

    assert "FAIL" not in output
    assert has_door_message(night)


def test_wrong_backup_was_restored(night):
    with night.client(night.port) as admin:
        admin.publish("paragon/room/status/door", "shut", retain=True)
    night.types("./brokerctl backup restore latest --yes")
    assert has_door_message(night)

    night.follows("The wrong backup was restored")

    eventually(lambda: not has_door_message(night), 30)
    with night.client(night.port) as admin:
        admin.publish("paragon/room/status/door", "open", retain=True)
    night.types("./brokerctl backup create")


def test_host_is_lost(night, docker):
    known = night.types("./brokerctl password paragon_devices").strip()
    night.block("The host is lost", 0)
    docker("rm", "--force", "--volumes", night.container)
    docker("network", "rm", night.container)
    delete_broker_folders(night)

    output = night.block("The host is lost", 1)

    assert "FAIL" not in output
    assert has_door_message(night)  # as admin, with the password in the state
    Client(night.port, "paragon_devices", known).close()


def test_host_is_replaced(night):
    """The new host is this machine without the broker's folders; it has the old address."""
    known = night.types("./brokerctl password paragon_devices").strip()
    copy_backups, remove, create = blocks_of(REPLACE_THE_HOST)

    night.types_block(copy_backups)
    assert "Kept: every password" in night.types_block(remove)
    assert (night.data / "mosquitto.db").exists()
    delete_broker_folders(night)
    (night.data.parent.parent / "new-host").rename(night.data.parent / "backups")
    output = night.types_block(create)

    assert "FAIL" not in output
    assert has_door_message(night)  # as admin, with the password in the state
    Client(night.port, "paragon_devices", known).close()


def test_state_is_lost(night):
    known = night.types("./brokerctl password paragon_devices").strip()
    shutil.rmtree(night.home / "state")
    state = night.home / "another"
    state.mkdir()
    (state / "passphrase").write_text("only for this test\n")
    night.before = (
        f"export PULUMI_BACKEND_URL=file://{state}; "
        f"export PULUMI_CONFIG_PASSPHRASE_FILE={state}/passphrase; "
    )
    output = night.block("The state is lost", 0)
    assert "3 users with their present password" in output
    file = night.clone / "Pulumi.again.yaml"
    text = file.read_text(encoding="utf-8")
    for line, more in (
        ("sentient-mqtt:broker:\n", "    allowStandIn: true\n"),
        (f"port: {night.port}\n", "        bindAddress: 127.0.0.1\n"),
    ):
        assert line in text
        text = text.replace(line, line + more)
    file.write_text(text)
    Client(night.port, "paragon_devices", known).close()

    output = night.block("The state is lost", 1)

    assert "FAIL" not in output, output
    Client(night.port, "paragon_devices", known).close()
    night.types(f"{night.before}./brokerctl down --stack again --confirm again --delete-passwords")


def test_every_command_of_the_pages_was_typed(night):
    blocks = (*blocks_of(RUNBOOK), *blocks_of(REPLACE_THE_HOST))
    commands = [line for block in blocks for line in block.splitlines()]
    assert commands
    assert not set(commands) - night.followed
