"""Run the scripts that make, verify and restore backups, and fill a broker with data."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from mqtt import Client

from broker.backup.backups import (
    SCRIPTS,
    Report,
    archive_calls,
    backup_calls,
    drill_calls,
    restore_calls,
)

SOCKET = "unix:///var/run/docker.sock"
STACK = "prod"


def folder(running) -> Path:
    return Path(running.broker.backups.folder)


def archives(running) -> list[Path]:
    found = folder(running).glob("*Z.tar.gz*")
    return sorted(path for path in found if not path.name.startswith("."))


def backup(running, *, recipient=None, well=True, keep=None):
    declared = running.broker.backups.model_copy(
        update={"recipient": recipient, "keep": keep or running.broker.backups.keep}
    )
    done = running.script(
        " ".join(SCRIPTS), "apply", backup_calls(running.broker, declared, STACK, SOCKET)
    )
    assert (done.returncode == 0) is well, done.stderr
    return Report.parse(done.stdout) if well else done.stderr


def drill(running, archive="latest", *, identity="", stack=STACK, well=True):
    calls = [
        *archive_calls(running.broker, running.broker.backups, stack, SOCKET, identity),
        *drill_calls(running.broker, str(archive)),
    ]
    done = running.script(
        "lib/database.sh lib/archive.sh commands/verify_backup.sh", "apply", calls
    )
    assert (done.returncode == 0) is well, done.stderr
    return Report.parse(done.stdout) if well else done.stderr


def restore(
    running, archive="latest", *, identity="", action="apply", stack=STACK, other=False, well=True
):
    calls = [
        *archive_calls(running.broker, running.broker.backups, stack, SOCKET, identity),
        *drill_calls(running.broker, str(archive)),
        *restore_calls(running.broker, other=other),
    ]
    names = (
        "lib/database.sh commands/await_ready.sh lib/archive.sh commands/verify_backup.sh "
        "commands/restore.sh"
    )
    done = running.script(names, action, calls)
    assert (done.returncode == 0) is well, done.stderr
    return Report.parse(done.stdout) if well else done.stderr


def publish_messages(running, number, *, text="as it was"):
    """Publish *number* retained messages, and as many for a disconnected client."""
    with session(running) as reader:
        reader.subscribe("paragon/room/events/#")
    with running.client("admin") as admin:
        for index in range(number):
            admin.publish(f"paragon/room/status/{index}", f"{text} {index}", retain=True)
            admin.publish(f"paragon/room/events/{index}", f"{text} {index}")


def session(running) -> Client:
    return running.client("sentient_api_prod", session="away")


def retained_messages(running) -> dict[str, str]:
    """Return the retained messages by topic."""
    with running.client("admin") as admin:
        admin.subscribe("paragon/room/status/#")
        with running.client("admin") as other:
            other.publish("paragon/room/status/last", "last")
        admin.got("paragon/room/status/last", "last", within=300)
        return {message.topic: message.text for message in admin.received if message.retained}


def delivered(running) -> list[str]:
    """Return the messages that were queued for the disconnected client."""
    with session(running) as reader, running.client("admin") as admin:
        admin.publish("paragon/room/events/last", "last")
        reader.got("paragon/room/events/last", "last", within=300)
        return [message.text for message in reader.received if message.text != "last"]


def replace_with_empty_data(running):
    """Replace the broker by one with an empty data folder."""
    running.docker("rm", "--force", "--volumes", running.broker.container)
    shutil.rmtree(running.broker.folders.data)
    running.start()


def assert_no_leftovers(running):
    data = {path.name for path in Path(running.broker.folders.data).iterdir()}
    assert data <= {"mosquitto.db"}
    assert not [
        path.name
        for path in folder(running).glob(".*")
        if path.name.startswith((".partial", ".stage"))
    ]


def give_to_the_broker(place):
    for path in (place, *place.iterdir()):
        os.lchown(path, 1883, 1883)


def repack(archive, tmp_path, change):
    place = tmp_path / "unpacked"
    place.mkdir()
    # Python 3.11.2 of Debian 12 has no `filter` of TarFile.extractall.
    subprocess.run(["tar", "-xzpf", archive, "--numeric-owner", "-C", place], check=True)
    change(place)
    with tarfile.open(tmp_path / archive.name, "w:gz") as packed:
        for path in sorted(place.iterdir()):
            packed.add(path, path.name)


def shim(tmp_path, monkeypatch, body):
    """Put a ``docker`` before the real one, ``$real``; *body* is its sh."""
    file = tmp_path / "bin" / "docker"
    file.parent.mkdir()
    file.write_text(f'#!/bin/sh\nreal={shutil.which("docker")}\n{body}\nexec "$real" "$@"\n')
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{file.parent}:{os.environ['PATH']}")
