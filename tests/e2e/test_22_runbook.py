"""Each incident of the runbook, staged, and resolved by the commands of its section."""

import re
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
from mqtt import Client, login_error
from patience import eventually
from test_12_readme import ROOT, Newcomer

RUNBOOK = (ROOT / "docs" / "how-to" / "incident-runbook.md").read_text(encoding="utf-8")


class OnCall(Newcomer):
    """Somebody in a clone, at night."""

    container = f"e2e-night-{secrets.token_hex(4)}"
    data: Path
    port: int
    before = ""
    """Typed before each line: where another state is, and its passphrase."""
    followed: set[str]

    def follows(self, title: str) -> str:
        """Type what stands under *title*; return what was said."""
        section = RUNBOOK.partition(f"## {title}\n")[2].partition("\n## ")[0]
        blocks = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
        assert blocks, title
        return "\n".join(self._block(each) for each in blocks)

    def block(self, title: str, number: int) -> str:
        section = RUNBOOK.partition(f"## {title}\n")[2].partition("\n## ")[0]
        return self._block(re.findall(r"```bash\n(.*?)```", section, re.DOTALL)[number])

    def _block(self, text: str) -> str:
        return "\n".join(map(self._line, text.splitlines()))

    def _line(self, line: str) -> str:
        self.followed.add(line)
        for there, here in (
            ("/var/lib/sentient-mqtt/dev", str(self.data.parent)),
            ("/var/lib/sentient-mqtt/again", str(self.data.parent / "again")),
            ("/mnt/elsewhere", str(self.data.parent.parent / "elsewhere")),
            ("mosquitto-dev", self.container),
            ("mosquitto-again", f"{self.container}-again"),
        ):
            line = line.replace(there, here)
        # `./brokerctl check` fails on a night: what it says is what counts.
        return self.types(
            self.before + (f"{line} || :" if line.startswith("./brokerctl check") else line)
        )

    def client(self, port: int) -> Client:
        return Client(port, "admin", self.types("./brokerctl password admin").strip())


@pytest.fixture(scope="module")
def night(make_site, docker):
    site = make_site("night")
    someone = OnCall(site.folder / "night", site.ports)
    someone.followed = set()
    # A disk of its own, that can be full.
    someone.data = site.folder / "night" / "site" / "data"
    someone.data.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", someone.data], check=True)
    try:
        someone.types("./brokerctl up")
        someone.port = site.ports[0]
        with someone.client(someone.port) as admin:
            admin.publish("paragon/room/status/door", "open", retain=True)
        someone.types("./brokerctl backup create")
        yield someone
    finally:
        for each in (someone.container, f"{someone.container}-again"):
            docker("rm", "--force", "--volumes", each, check=False)
            docker("network", "rm", each, check=False)
            Path(f"/etc/logrotate.d/sentient-mqtt-{each}").unlink(missing_ok=True)
        subprocess.run(["umount", someone.data], check=True)


def config(night) -> Path:
    return night.data.parent / "config"


def knows_the_door(night) -> bool:
    with night.client(night.port) as admin:
        admin.subscribe("paragon/room/status/#", "paragon/room/events/end")
        admin.publish("paragon/room/events/end", "end")
        admin.got("paragon/room/events/end")
        return any(each.topic.endswith("/door") and each.text == "open" for each in admin.received)


def test_the_broker_does_not_start(night, docker):
    conf = config(night) / "mosquitto.conf"
    conf.write_text(conf.read_text() + "nonsense true\n")
    docker("restart", night.container, check=False)
    count = ("inspect", "--format", "{{.RestartCount}}", night.container)
    eventually(lambda: int(docker(*count)), 30)

    said = night.block("The broker does not start", 0)
    assert "FAIL" in said
    assert "Unknown configuration variable" in said

    night.edit("    container: ", "    health: {generation: '2'}\n    container: ")
    night.block("The broker does not start", 1)
    assert "FAIL" not in night.types("./brokerctl check")
    assert knows_the_door(night)


def test_a_password_leaked(night):
    leaked = night.types("./brokerctl password paragon_devices").strip()
    Client(night.port, "paragon_devices", leaked).close()
    said = night.follows("A password leaked")
    assert leaked not in said
    assert "#define MQTT_PASSWORD" in said
    assert "ot authori" in login_error(night.port, "paragon_devices", leaked)
    new = night.types("./brokerctl password paragon_devices").strip()
    Client(night.port, "paragon_devices", new).close()


def test_the_disk_is_full(night):
    filler = night.data / "filler"
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], check=False, capture_output=True
    )
    before = (night.data / "mosquitto.db").read_bytes()

    said = night.block("The disk is full", 0)
    assert "100%" in said
    assert re.search(r"FAIL +data, log and backups have room", said)
    assert "is the disk full?" in night.types("./brokerctl backup create", fails=True)
    assert (night.data / "mosquitto.db").read_bytes() == before

    filler.unlink()
    assert "Images" in night.block("The disk is full", 1)
    said = night.block("The disk is full", 2)
    assert "retained messages" in said
    assert "FAIL" not in said
    assert knows_the_door(night)


def test_what_the_broker_knew_is_gone(night, docker):
    docker("kill", night.container)
    for each in night.data.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    docker("start", night.container)
    eventually(lambda: not knows_the_door(night), 30)

    said = night.follows("The data is lost")

    assert "FAIL" not in said
    assert knows_the_door(night)


def test_the_restore_was_the_wrong_one(night):
    with night.client(night.port) as admin:
        admin.publish("paragon/room/status/door", "shut", retain=True)
    night.types("./brokerctl backup restore latest --yes")
    assert knows_the_door(night)

    night.follows("The wrong backup was restored")

    eventually(lambda: not knows_the_door(night), 30)
    with night.client(night.port) as admin:
        admin.publish("paragon/room/status/door", "open", retain=True)
    night.types("./brokerctl backup create")


def test_the_host_is_lost(night, docker):
    known = {
        name: night.types(f"./brokerctl password {name}") for name in ("admin", "paragon_devices")
    }
    night.block("The host is lost", 0)
    docker("rm", "--force", "--volumes", night.container)
    docker("network", "rm", night.container)
    for each in night.data.parent.iterdir():
        if each == night.data:
            for file in each.iterdir():
                shutil.rmtree(file) if file.is_dir() else file.unlink()
        else:
            shutil.rmtree(each)

    said = night.block("The host is lost", 1)

    assert "FAIL" not in said
    assert knows_the_door(night)
    assert known == {name: night.types(f"./brokerctl password {name}") for name in known}
    Client(night.port, "paragon_devices", known["paragon_devices"].strip()).close()


def test_the_state_is_lost(night):
    known = night.types("./brokerctl password paragon_devices").strip()
    shutil.rmtree(night.home / "state")
    state = night.home / "another"
    state.mkdir()
    (state / "passphrase").write_text("only for this test\n")
    night.before = (
        f"export PULUMI_BACKEND_URL=file://{state}; "
        f"export PULUMI_CONFIG_PASSPHRASE_FILE={state}/passphrase; "
    )
    said = night.block("The state is lost", 0)
    assert "3 users with the passwords that they have" in said
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

    said = night.block("The state is lost", 1)

    assert "FAIL" not in said, said
    Client(night.port, "paragon_devices", known).close()
    night.types(f"{night.before}./brokerctl down --stack again --confirm again --delete-passwords")


def test_every_command_of_the_runbook_was_typed(night):
    commands = [
        line
        for each in re.findall(r"```bash\n(.*?)```", RUNBOOK, re.DOTALL)
        for line in each.splitlines()
    ]
    assert commands
    assert not set(commands) - night.followed
