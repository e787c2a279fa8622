"""Each bad night of the runbook, staged, and ended by the commands that stand there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from mqtt import Client, refusal
from patience import eventually
from test_12_readme import ROOT, Newcomer

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")


class OnCall(Newcomer):
    """Somebody in a clone, at night."""

    container = "e2e-night"
    typed: list[str]

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
        # `make check` fails on a night: what it says is what counts.
        return "\n".join(
            self.types(f"{line} || :" if line == "make check" else line)
            for line in text.splitlines()
        )

    def client(self, port: int) -> Client:
        return Client(port, "admin", self.types("make -s password USER=admin").strip())


@pytest.fixture(scope="module")
def night(make_site, docker):
    site = make_site("night")
    someone = OnCall(site.folder / "night", site.ports)
    # A disk of its own, that can be full.
    someone.data = site.folder / "night" / "site" / "data"
    someone.data.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", someone.data], check=True)
    try:
        someone.types("make up")
        someone.port = site.ports[0]
        with someone.client(someone.port) as admin:
            admin.publish("paragon/room/status/door", "open", retain=True)
        someone.types("make backup")
        yield someone
        someone.types("make down YES=1")
    finally:
        docker("rm", "--force", "--volumes", someone.container, check=False)
        docker("network", "rm", someone.container, check=False)
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

    said = night.block("The broker doesn't start", 0)
    assert "FAIL" in said
    assert "Unknown configuration variable" in said

    night.edit("    container: ", "    health: {generation: '2'}\n    container: ")
    night.block("The broker doesn't start", 1)
    assert "FAIL" not in night.types("make check")
    assert knows_the_door(night)


def test_a_password_leaked(night):
    leaked = night.types("make -s password USER=paragon_devices").strip()
    Client(night.port, "paragon_devices", leaked).close()
    said = night.follows("A password leaked")
    assert leaked not in said
    assert "#define MQTT_PASSWORD" in said
    assert "ot authori" in refusal(night.port, "paragon_devices", leaked)
    new = night.types("make -s password USER=paragon_devices").strip()
    Client(night.port, "paragon_devices", new).close()


def test_the_disk_is_full(night):
    filler = night.data / "filler"
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], check=False, capture_output=True
    )
    before = (night.data / "mosquitto.db").read_bytes()

    assert "100%" in night.block("The disk is full", 0)
    assert "is the disk full?" in night.types("make backup", fails=True)
    assert (night.data / "mosquitto.db").read_bytes() == before

    filler.unlink()
    said = night.block("The disk is full", 1)
    assert "retained messages" in said
    assert "FAIL" not in said
    assert knows_the_door(night)


def test_what_the_broker_knew_is_gone(night, docker):
    docker("kill", night.container)
    for each in night.data.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    docker("start", night.container)
    eventually(lambda: not knows_the_door(night), 30)

    said = night.follows("What the broker knew is gone")

    assert "FAIL" not in said
    assert knows_the_door(night)


def test_every_command_of_the_runbook_was_typed(night):
    commands = [
        line
        for each in re.findall(r"```bash\n(.*?)```", RUNBOOK, re.DOTALL)
        for line in each.splitlines()
    ]
    typed = {each.removesuffix(" || :") for each in night.typed}
    assert commands
    assert not set(commands) - typed
