"""`--json` prints one document on stdout; progress and messages go to stderr."""

import json
from contextlib import suppress

import pytest
import yaml
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

import cli.backup.restore
import cli.backup.verify
import cli.lifecycle.leftovers
import cli.lifecycle.restart
import cli.lifecycle.up
import cli.messages.publish
import cli.setup.adopt
from bootstrap.broker_image import Image
from bootstrap.docker_daemon import Daemon
from bootstrap.pulumi_backend import Backend
from broker.checks.observations import Observations
from broker.host.facts import HostFacts
from cli.errors import CommandError, NotPerformedError
from cli.mqtt_client import Message, UnreachableError
from cli.run_on_host import HostResult
from cli.stack import Stack

UP = {
    "credentials": {"sensor": {"username": "sensor", "password": "s3cret", "url": ""}},
    "image": "image:1",
}
DECLARED_BACKUPS = {"folder": "/srv/backups"}
ARCHIVE = "/srv/backups/test.tar.gz"
REPORT = f"archive {ARCHIVE}\nwritten 2026-01-02\nretained 3\nsessions 2\nqueued 1\nlogins 4\n"


@pytest.fixture
def ready(desk, monkeypatch):
    """A machine that has all it needs, and a pulumi that prints on stdout."""
    daemon = Daemon(transport=Stack.read("test").transport)
    monkeypatch.setattr(cli.lifecycle.up, "ensure_daemon", lambda *_, **__: daemon)
    monkeypatch.setattr(cli.lifecycle.up, "ensure_image", lambda name, *_, **__: Image(name=name))
    monkeypatch.setattr(cli.lifecycle.up, "require_login", lambda _: None)
    monkeypatch.setattr(cli.lifecycle.up, "same_up", lambda *_: None)
    monkeypatch.setattr(cli.lifecycle.up, "record_up", lambda *_: None)
    desk.outputs = UP
    desk.pulumi('case "$*" in *output*|*export*) ;; *) echo "progress of pulumi" ;; esac')
    return desk


@pytest.fixture
def document(capfd):
    """``document()``: what the command printed on stdout as JSON, and its stderr."""

    def read():
        captured = capfd.readouterr()
        return json.loads(captured.out), captured.err

    return read


def answer_of_host(monkeypatch, module, *results):
    """Have *module* run its scripts on a host that answers with *results*, in order."""
    remaining = list(results)
    monkeypatch.setattr(module, "run_scripts", lambda *_, **__: remaining.pop(0))
    if hasattr(module, "image_for_root"):
        monkeypatch.setattr(module, "image_for_root", lambda _: "")


class TestUp:
    def test_the_document_has_the_endpoints(self, ready, document):
        ready.run("up", "--json")

        data, err = document()
        assert data == {
            "stack": "test",
            "unchanged": False,
            "container": "mosquitto-test",
            "image": Stack.read("test").settings.broker.image,
            "endpoints": {"mqtt": "mqtt://broker.example.org:1883"},
        }
        assert "progress of pulumi" in err
        assert "The broker is up" in err

    def test_a_failed_checklist_is_in_the_document(self, ready, document, monkeypatch):
        ready.write(checkAfterUp=True)
        facts = HostFacts(facts={("state", "mosquitto-test"): "exited"})
        monkeypatch.setattr(cli.lifecycle.up, "observe", lambda *_: Observations(host=facts))

        with pytest.raises(CommandError, match="container"):
            ready.run("up", "--json")

        data, _ = document()
        assert any("exited" in json.dumps(check) for check in data["checks"])

    def test_expectations_that_cannot_be_asked_are_named(self, ready, document, monkeypatch):
        content = yaml.safe_load(ready.file.read_text())
        content["config"]["sentient-mqtt:expect"] = ["sensor may write paragon/a/sensors/b"]
        ready.file.write_text(yaml.safe_dump(content))

        def unreachable(*_):
            raise UnreachableError("mqtt://x:1", "no route to host")

        monkeypatch.setattr(cli.lifecycle.up, "ask_all", unreachable)
        ready.run("up", "--json")

        data, _ = document()
        assert "no route to host" in data["expectationsNotAsked"]

    def test_a_failed_up_prints_no_document(self, ready, capfd):
        ready.pulumi('case "$*" in *"up --stack"*) echo noise; exit 1 ;; esac')

        with pytest.raises(CommandError, match="pulumi up failed"):
            ready.run("up", "--json")

        captured = capfd.readouterr()
        assert captured.out == ""
        assert "noise" in captured.err


def test_down_tells_what_was_kept(ready, document, monkeypatch):
    answer_of_host(monkeypatch, cli.lifecycle.leftovers, HostResult(exit_code=0, stdout="looked\n"))
    monkeypatch.setattr("builtins.input", lambda _: "test")

    ready.run("down", "--json")

    data, err = document()
    assert data == {
        "stack": "test",
        "container": "mosquitto-test",
        "folders": {"data": "/srv/mqtt/data", "log": "/srv/mqtt/log"},
        "dataDeleted": False,
        "passwordsDeleted": False,
        "left": [],
    }
    assert "progress of pulumi" in err
    assert "This removes mosquitto-test" in err


def test_down_tells_what_is_left(ready, document, monkeypatch):
    found = HostResult(exit_code=0, stdout="left container mosquitto-test\nlooked\n")
    answer_of_host(monkeypatch, cli.lifecycle.leftovers, found)

    with pytest.raises(CommandError, match="not everything was removed"):
        ready.run("down", "--json", "--confirm", "test")

    assert document()[0]["left"] == ["container mosquitto-test (docker rm --force mosquitto-test)"]


def test_down_without_the_name_prints_no_document(ready, capfd):
    with pytest.raises(NotPerformedError):
        ready.run("down", "--json", "--confirm", "prod")

    assert capfd.readouterr().out == ""


def test_restart_tells_the_container(ready, document, monkeypatch, fake_docker):
    fake_docker(
        f'case "$*" in *StartedAt*) echo x >>"{ready.folder}/looks"; '
        f'echo "running 2026-01-02T03:04:0$(wc -l <"{ready.folder}/looks")Z" ;; '
        "*) echo sha256:1 ;; esac"
    )
    answer_of_host(monkeypatch, cli.lifecycle.restart, HostResult(exit_code=0))

    ready.run("restart", "--json")

    data, err = document()
    assert data == {
        "stack": "test",
        "container": "mosquitto-test",
        "image": "sha256:1",
        "restarted": True,
        "startedAt": "2026-01-02T03:04:02Z",
    }
    assert "restarted" in err


class TestRotate:
    @pytest.fixture
    def rotate(self, ready, monkeypatch):
        def run(case=""):
            ready.pulumi(
                f'case "$*" in *set-all*) sed -i "s/^    sensor:/&\\n      generation: 2/" '
                f'"{ready.file}" ;; {case} *preview*) echo "a preview" ;; esac'
            )
            monkeypatch.setattr("builtins.input", lambda _: "no")
            ready.run("rotate", "sensor", "--json")

        return run

    def test_the_document_has_the_keys_and_who_is_disconnected(self, rotate, document):
        rotate()

        data, err = document()
        assert data == {
            "stack": "test",
            "changed": {"sentient-mqtt:users.sensor.generation": "2"},
            "disconnected": ["sensor"],
            "skipped": [],
            "applied": True,
            "newAccepted": 0,
            "formerRefused": 0,
        }
        assert "a preview" in err

    def test_an_up_that_failed_is_not_applied(self, rotate, document):
        with pytest.raises(CommandError, match="pulumi up failed"):
            rotate('"--non-interactive up "*) exit 1 ;;')

        assert document()[0]["applied"] is False

    def test_an_answer_other_than_yes_prints_no_document(self, ready, rotate, capfd):
        ready.backend = Backend(local_passphrase=False)

        with pytest.raises(CommandError, match="nothing was rotated"):
            rotate()

        assert capfd.readouterr().out == ""


class TestPublish:
    @pytest.fixture
    def client(self, ready, monkeypatch):
        """Have the broker answer with a reason code, and retain ``kept``; sensor may read it."""
        text = ready.file.read_text()
        ready.file.write_text(text.replace("    sensor:", "    sensor:\n      read: ['#']", 1))

        class Client:
            code = 0
            kept = b"open"

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

            def publish(self, *_, **__):
                return ReasonCode(PacketTypes.PUBACK, identifier=self.code)

            def require_subscription(self, _):
                pass

            def pending_messages(self):
                if self.kept is None:
                    return []
                return [Message(topic="paragon/x", payload=self.kept, retained=True)]

        monkeypatch.setattr(cli.messages.publish, "client_of_user", lambda *_: Client())
        return Client

    @pytest.mark.parametrize("kept", [None, b"of another client"])
    def test_a_message_that_the_broker_does_not_retain_is_an_error(
        self, ready, client, capfd, kept
    ):
        client.kept = kept

        with pytest.raises(CommandError, match="retain"):
            ready.run("publish", "sensor", "paragon/x", "open", "--retain")
        assert "accepted" not in capfd.readouterr().out

    def test_an_empty_message_deletes_the_retained_one(self, ready, client, capfd):
        client.kept = None
        ready.run("publish", "sensor", "paragon/x", "--retain")
        assert "paragon/x: accepted, delivered" in capfd.readouterr().out

        client.kept = b"open"
        with pytest.raises(CommandError, match="retains another one"):
            ready.run("publish", "sensor", "paragon/x", "--retain")

    def test_without_the_right_to_read_nothing_is_claimed(self, ready, document, client):
        ready.write()
        client.kept = b"open"

        ready.run("publish", "sensor", "paragon/x", "open", "--retain", "--json")

        data, err = document()
        assert data["retained"] is None
        assert "not known to be retained (sensor may not read it)" in err

    @pytest.mark.parametrize(("code", "subscribers"), [(0x00, True), (0x10, False)])
    def test_an_accepted_message(self, ready, document, client, code, subscribers):
        client.code = code

        ready.run("publish", "sensor", "paragon/x", "open", "--retain", "--json")

        data, err = document()
        assert data["accepted"] is True
        assert data["retained"] is True
        assert data["hasSubscribers"] is subscribers
        assert "paragon/x: accepted, retained" in err

    def test_a_denied_message_is_in_the_document(self, ready, document, client):
        client.code = 0x87

        with pytest.raises(CommandError, match="did not accept it: Not authorized"):
            ready.run("publish", "sensor", "paragon/x", "--json")

        assert document()[0] == {
            "user": "sensor",
            "topic": "paragon/x",
            "accepted": False,
            "reason": "Not authorized",
            "retained": False,
            "hasSubscribers": False,
        }


class TestBackup:
    @pytest.fixture
    def site(self, ready):
        ready.write(backups=DECLARED_BACKUPS)
        return ready

    @pytest.mark.parametrize(
        ("command", "module"), [("create", cli.backup.create), ("verify", cli.backup.verify)]
    )
    def test_create_and_verify(self, site, document, monkeypatch, command, module):
        answer_of_host(monkeypatch, module, HostResult(exit_code=0, stdout=REPORT))

        site.run("backup", command, "--json")

        assert document()[0]["archive"] == ARCHIVE

    def test_a_restore_tells_the_downtime_and_where_the_previous_database_is(
        self, site, document, monkeypatch
    ):
        answer_of_host(
            monkeypatch,
            cli.backup.restore,
            HostResult(exit_code=0, stdout=f"{REPORT}replaces 1 1 1\n"),
            HostResult(exit_code=0, stdout="seconds 3\nkept /srv/kept\nback 3 1 0\n"),
        )

        site.run("backup", "restore", "latest", "--yes", "--json")

        data, err = document()
        assert data == {
            "archive": ARCHIVE,
            "written": "2026-01-02",
            "container": "mosquitto-test",
            "downtimeSeconds": 3,
            "previousDatabase": "/srv/kept",
            "retained": 3,
            "sessions": 2,
            "queued": 1,
            "held": {"retained": 3, "sessions": 1, "queued": 0},
        }
        assert "downtime: 3 s. The broker now holds 3 retained messages, 1 sessions" in err

    @pytest.mark.parametrize(
        ("back", "message"),
        [
            ("back 2 2 1\n", "holds 2 of its 3 retained messages"),
            ("back unknown\n", "could not be counted"),
            ("", "could not be counted"),
        ],
    )
    def test_a_restore_after_which_messages_are_missing_claims_no_success(
        self, site, document, monkeypatch, back, message
    ):
        answer_of_host(
            monkeypatch,
            cli.backup.restore,
            HostResult(exit_code=0, stdout=f"{REPORT}replaces 1 1 1\n"),
            HostResult(exit_code=0, stdout=f"seconds 3\nkept /srv/kept\n{back}"),
        )

        with pytest.raises(CommandError, match=message):
            site.run("backup", "restore", "latest", "--yes", "--json")

        data, err = document()
        assert data["previousDatabase"] == "/srv/kept"
        assert "Restored" not in err

    def test_a_restore_that_nobody_agrees_to_prints_no_document(self, site, capfd, monkeypatch):
        look = HostResult(exit_code=0, stdout=f"{REPORT}replaces 1 1 1\n")
        answer_of_host(monkeypatch, cli.backup.restore, look)
        monkeypatch.setattr("builtins.input", lambda _: "no")

        with pytest.raises(CommandError, match="not restored"):
            site.run("backup", "restore", "latest", "--json")

        captured = capfd.readouterr()
        assert captured.out == ""
        assert "It replaces what" in captured.err


class TestLogs:
    def test_the_lines_of_both_streams(self, ready, document, fake_docker):
        fake_docker(
            'case "$1" in logs) echo "$*"; printf "1: a\\rb\\n" >&2 ;; esac',
        )

        ready.run("logs", "--lines", "7", "--json")

        assert document()[0] == {
            "stack": "test",
            "container": "mosquitto-test",
            "lines": ["logs --tail 7 mosquitto-test", "1: a\rb"],
        }

    def test_a_log_without_lines(self, ready, document, fake_docker):
        fake_docker("exit 0")

        ready.run("logs", "--json")

        assert document()[0]["lines"] == []

    def test_a_missing_container_is_an_error(self, ready, capfd, fake_docker):
        fake_docker('echo "Error: No such container: mosquitto-test" >&2; exit 1')

        with pytest.raises(CommandError, match=r"no container mosquitto-test\. Run: "):
            ready.run("logs", "--json")

        assert capfd.readouterr().out == ""

    def test_following_is_refused(self, ready):
        with pytest.raises(NotPerformedError, match="use one of them"):
            ready.run("logs", "--json", "--follow")


def test_env_has_the_variables_and_what_goes_before_path(ready, document):
    file = "/a b/passphrase"
    ready.backend = Backend(
        environment={"PULUMI_CONFIG_PASSPHRASE_FILE": file}, local_passphrase=True
    )

    ready.run("env", "--json")

    data, err = document()
    assert data["variables"] == {"PULUMI_CONFIG_PASSPHRASE_FILE": file}
    assert str(ready.bin) in data["pathBefore"]
    assert err == ""


def test_adopt_tells_the_users_the_assumptions_and_the_next_steps(
    ready, document, monkeypatch, tmp_path
):
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "mosquitto.conf").write_text(
        "listener 1883\npassword_file /c/passwd\nacl_file /c/acl\n"
    )
    (folder / "passwd").write_text("sensor:hunter2\n")
    (folder / "acl").write_text("user sensor\ntopic write paragon/#\n")
    ready.file.unlink()
    monkeypatch.setattr(cli.setup.adopt, "ROOT", ready.folder)

    ready.run("adopt", "--from", str(folder), "--address", "192.168.2.3", "--json")

    data, err = document()
    assert data["file"] == str(ready.file)
    assert data["users"] == ["sensor"]
    assert data["assumptions"]
    assert data["next"][-1] == "./brokerctl up --stack test"
    assert "hunter2" not in json.dumps(data) + err


def test_credentials_for_all_name_the_files_and_no_password(ready, document, tmp_path):
    ready.run("credentials", "--all", str(tmp_path / "out"), "--json")

    data, err = document()
    assert data == {"folder": str(tmp_path / "out"), "files": ["sensor.env"], "withoutFile": {}}
    assert "s3cret" not in err


def test_stdout_is_back_after_the_document(ready, capfd):
    with suppress(CommandError):
        ready.run("env", "--json")
    capfd.readouterr()

    print("on stdout again")

    assert capfd.readouterr().out == "on stdout again\n"
