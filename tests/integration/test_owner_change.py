"""A change of `broker.owner` keeps messages and logins, in both directions."""

from pathlib import Path

import pytest

from broker.host.layout import folder_calls
from broker.host.transport import DEFAULT_SOCKET
from broker.settings.file_settings import Owner

NEW, FORMER = 2000, 1883


def change_owner(running, uid):
    """Apply the folders and the files, then replace the container: the order of an `up`."""
    broker = running.broker.model_copy(update={"owner": Owner(uid=uid, gid=uid)})
    running.settings = running.settings.model_copy(update={"broker": broker})
    calls = folder_calls(broker, DEFAULT_SOCKET, running.image)
    done = running.script("commands/folders.sh", "apply", calls)
    assert done.returncode == 0, done.stderr
    # The running broker could not read its files any more.
    assert running.state() == "exited"
    done = running.put_files()
    assert done.returncode == 0, done.stderr
    running.replace()
    running.await_answer()


def owners(running):
    folders = running.broker.folders
    return {
        path.stat().st_uid
        for folder in (folders.config, folders.data, folders.log)
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_messages_and_logins_survive_there_and_back(start):
    running = start()
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/kept", "retained", retain=True)

    for uid in (NEW, FORMER):
        change_owner(running, uid)

        assert owners(running) == {uid}
        with running.client("admin") as admin:
            admin.subscribe("paragon/room/status/kept")
            admin.got("paragon/room/status/kept", "retained")
        # A second run with the same owner does not stop the broker.
        calls = folder_calls(running.broker, DEFAULT_SOCKET, running.image)
        assert running.script("commands/folders.sh", "apply", calls).returncode == 0
        assert running.put_files().returncode == 0
        assert running.state() == "running"
