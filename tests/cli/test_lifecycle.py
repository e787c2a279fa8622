"""Up, down, outputs and env: each says what it did, or what to do first."""

import shlex
from contextlib import nullcontext

import pytest
import yaml
from owner_containers import OWNER_CONTAINERS

import cli.expect
import cli.up
from bootstrap.backend import Backend
from bootstrap.daemon import Daemon
from bootstrap.image import Image
from broker.checks.observations import Observations
from broker.host.facts import HostFacts
from cli.exit_codes import finish
from cli.refusals import NotAsked, Refusal

IMAGE = "eclipse-mosquitto:2.0.22"
UP = {
    "credentials": {
        "sensor": {"username": "sensor", "password": "s3cret", "url": "mqtt://sensor:s3cret@x:1"}
    },
    "image": IMAGE,
}


@pytest.fixture
def ready(desk, monkeypatch):
    """A machine that has all it needs."""
    daemon = Daemon(transport=cli.up.Stack.read("test").transport)
    monkeypatch.setattr(cli.up, "ensure_daemon", lambda *_, **__: daemon)
    monkeypatch.setattr(cli.up, "ensure_image", lambda name, *_, **__: Image(name=name))
    desk.outputs = UP
    desk.pulumi("exit 0")
    return desk


class TestUp:
    def test_what_can_not_be_asked_from_here_does_not_fail_it(self, ready, capsys, monkeypatch):
        content = yaml.safe_load(ready.file.read_text())
        content["config"]["sentient-mqtt:expect"] = ["sensor may write paragon/a/sensors/b"]
        ready.file.write_text(yaml.safe_dump(content))

        def nobody(*_):
            raise cli.expect.UnreachableError("mqtt://x:1: can't be reached from here")

        monkeypatch.setattr(cli.up, "ask_all", nobody)
        ready.run("up")

        assert "  not asked: mqtt://x:1: can't be reached from here\n" in capsys.readouterr().out

    @pytest.mark.parametrize("state", ["running", "exited"])
    def test_it_ends_with_the_checklist_where_that_is_declared(
        self, ready, capsys, monkeypatch, state
    ):
        seen = HostFacts(facts={("state", "mosquitto-test"): state})
        monkeypatch.setattr(cli.up, "sight", lambda *_: Observations(host=seen))
        ready.run("up")
        assert "The checklist" not in capsys.readouterr().out

        ready.write(checkAfterUp=True)
        with nullcontext() if state == "running" else pytest.raises(Refusal, match="container"):
            ready.run("up")
        assert f"mosquitto-test: {state}" in capsys.readouterr().out

    def test_it_ends_with_where_the_broker_is_and_how_to_get_in(self, ready, capsys):
        ready.run("up")

        said = capsys.readouterr().out
        assert f"The broker is up: container mosquitto-test, image {IMAGE}\n" in said
        assert "  mqtt: mqtt://broker.example.org:1883\n" in said
        assert "./brokerctl credentials sensor --stack test\n" in said
        assert "s3cret" not in said

    def test_the_line_that_listens_is_ready_to_paste(self, ready, capsys, monkeypatch):
        monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
        ready.run("up")

        line = capsys.readouterr().out.rstrip().splitlines()[-1].strip()
        words = shlex.split(line)
        assert words[:3] == ["mosquitto_sub", "-h", "broker.example.org"]
        assert words[words.index("-P") + 1] == "$(./brokerctl password sensor --stack test)"

    def test_without_a_client_here_the_one_in_the_container_listens(
        self, ready, capsys, monkeypatch
    ):
        monkeypatch.setattr("shutil.which", lambda _: None)
        ready.run("up")

        assert "  docker exec -it mosquitto-test mosquitto_sub -h" in capsys.readouterr().out

    def test_a_broker_that_nobody_shares_is_brought_up_without_a_question(self, ready):
        ready.run("up")

        assert ready.calls() == [
            "stack select --create test",
            "up --stack test --yes --skip-preview",
        ]

    def test_elsewhere_pulumi_shows_its_preview_and_asks(self, ready):
        ready.backend = Backend(ours=False)
        ready.run("up")
        assert ready.calls()[-1] == "up --stack test"

        ready.run("up", "--yes")
        assert ready.calls()[-1] == "up --stack test --yes --skip-preview"

    def test_a_failure_does_not_end_with_a_way_in(self, ready, capsys):
        ready.pulumi('case "$*" in *up*) exit 1 ;; esac')

        with pytest.raises(Refusal, match="pulumi up failed"):
            ready.run("up")
        assert "The broker is up" not in capsys.readouterr().out


class TestDown:
    @pytest.fixture
    def site(self, ready, tmp_path):
        """Folders with something in them, and a Docker that knows of no container."""
        srv = tmp_path / "srv"
        folders = {name: str(srv / name) for name in ("config", "data", "log")}
        for folder in folders.values():
            (srv / folder).mkdir(parents=True)
            name = "mosquitto.log" if folder.endswith("log") else "mosquitto.db"
            (srv / folder / name).write_text("x")
        ready.write(folders=folders)
        (ready.bin / "docker").write_text(f"#!/bin/sh\n{OWNER_CONTAINERS}\nexit 0\n")
        (ready.bin / "docker").chmod(0o755)
        ready.srv = srv
        return ready

    def left(self, site):
        return sorted(each.name for each in site.srv.iterdir())

    def test_data_and_logs_stay_and_that_is_said(self, site, capsys):
        site.run("down", "--confirm", "test")

        assert self.left(site) == ["config", "data", "log"]
        assert capsys.readouterr().out.splitlines()[-1] == (
            f"Kept: {site.srv}/data and {site.srv}/log. --delete-data deletes them."
        )

    @pytest.mark.parametrize("more", [(), ("--yes",), ("--delete-data",)])
    def test_passwords_stay_whatever_else_is_said(self, site, capsys, more):
        site.run("down", "--confirm", "test", *more)

        assert site.calls()[-1] == (
            "destroy --stack test --yes --skip-preview --refresh "
            "--exclude **random:index/** --exclude **sentient-mqtt:index:Rotations**"
        )
        assert "Kept: every password. ./brokerctl up --stack test" in capsys.readouterr().out

    def test_passwords_go_where_that_is_said(self, site, capsys):
        site.run("down", "--confirm", "test", "--delete-passwords")

        assert site.calls()[-1] == "destroy --stack test --yes --skip-preview"
        assert "Deleted: every password." in capsys.readouterr().out

    def test_the_name_of_the_stack_has_to_be_typed(self, site, monkeypatch, capsys):
        monkeypatch.setattr("builtins.input", lambda _: " test ")
        site.run("down")
        assert site.calls()[-1].startswith("destroy ")
        assert "takes away mosquitto-test on unix:///" in capsys.readouterr().out

    @pytest.mark.parametrize("answer", ["", "yes", "y", "Test", "tes", "testt", "prod"])
    def test_any_other_answer_takes_nothing_away(self, site, monkeypatch, answer):
        monkeypatch.setattr("builtins.input", lambda _: answer)
        with pytest.raises(NotAsked, match=r"^nothing was taken away"):
            site.run("down", "--yes", "--delete-data", "--delete-passwords")
        with pytest.raises(NotAsked, match=r"^nothing was taken away"):
            site.run("down", "--yes", "--confirm", answer or " ")
        assert site.calls() == []
        assert self.left(site) == ["config", "data", "log"]

    def test_without_anybody_to_type_it_nothing_is_taken_away(self, site, monkeypatch):
        def nobody(_):
            raise EOFError

        monkeypatch.setattr("builtins.input", nobody)
        with pytest.raises(NotAsked, match="Without a terminal: --confirm test"):
            site.run("down", "--yes")
        assert site.calls() == []

    def test_on_dev_nobody_is_asked(self, site, monkeypatch):
        site.rename("dev")
        monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked"))
        site.run("down", "--stack", "dev")
        assert site.calls()[-1].startswith("destroy --stack dev --yes --skip-preview")

    def test_they_are_deleted_where_that_is_said(self, site, capsys):
        site.run("down", "--confirm", "test", "--delete-data")

        # Its files were Pulumi's to remove.
        assert self.left(site) == ["config"]
        assert capsys.readouterr().out.splitlines()[-1] == (
            f"Deleted: what the broker wrote in {site.srv}/data and {site.srv}/log."
        )

    def test_what_is_not_the_brokers_stays_and_that_is_said(self, site, capsys):
        (site.srv / "data" / "notes.txt").write_text("mine")

        site.run("down", "--confirm", "test", "--delete-data")

        assert self.left(site) == ["config", "data"]
        assert [path.name for path in (site.srv / "data").iterdir()] == ["notes.txt"]
        assert "data: stays, since it holds other files than the broker's: notes.txt" in (
            capsys.readouterr().out
        )

    def test_not_while_a_container_has_them(self, site):
        (site.bin / "docker").write_text("#!/bin/sh\necho another\n")

        with pytest.raises(Refusal, match=r"^--delete-data: .*/data: still mounted by another"):
            site.run("down", "--confirm", "test", "--delete-data")
        assert self.left(site) == ["config", "data", "log"]

    def test_not_where_destroying_failed(self, site):
        site.pulumi('case "$*" in *destroy*) exit 1 ;; esac')

        with pytest.raises(Refusal, match="pulumi destroy failed"):
            site.run("down", "--confirm", "test", "--delete-data")
        assert self.left(site) == ["config", "data", "log"]

    def test_on_dev_with_a_state_of_ones_own_pulumi_asks(self, site):
        site.rename("dev")
        site.backend = Backend(ours=False)

        site.run("down", "--stack", "dev")
        assert "--yes" not in site.calls()[-1]

        site.run("down", "--stack", "dev", "--yes")
        assert "--yes --skip-preview" in site.calls()[-1]

    SEED = (
        "urn:pulumi:test::sentient-mqtt::sentient-mqtt:index:MqttBroker$sentient-mqtt:index:"
        "Credentials$random:index/randomPassword:RandomPassword::credentials.salts"
    )

    def protect(self, site, body="exit 0"):
        site.resources = [
            {"urn": self.SEED, "protect": True},
            {"urn": "urn:pulumi:test::sentient-mqtt::other::database", "protect": True},
        ]
        site.pulumi(body)

    def test_the_protected_seed_is_released_before_the_passwords_are_destroyed(self, site):
        self.protect(site)

        site.run("down", "--confirm", "test", "--delete-passwords")

        assert site.calls()[-2:] == [
            f"state unprotect {self.SEED} --yes --stack test",
            "destroy --stack test --yes --skip-preview",
        ]
        # What somebody else protects is not ours to release.
        assert not [call for call in site.calls() if "database" in call]

    def test_the_seed_stays_protected_where_the_passwords_are_kept(self, site):
        self.protect(site)

        site.run("down", "--confirm", "test")

        assert not [call for call in site.calls() if call.startswith("state ")]
        assert site.calls()[-1].startswith("destroy --stack test --yes --skip-preview --refresh")

    def test_the_seed_is_protected_again_where_destroying_failed(self, site):
        self.protect(site, 'case "$*" in *destroy*) exit 1 ;; esac')

        with pytest.raises(Refusal, match="pulumi destroy failed"):
            site.run("down", "--confirm", "test", "--delete-passwords")

        assert site.calls()[-1] == f"state protect {self.SEED} --yes --stack test"

    def test_a_state_of_version_0_1_has_nothing_to_release(self, site):
        site.resources = [{"urn": self.SEED}]
        site.pulumi("exit 0")

        site.run("down", "--confirm", "test", "--delete-passwords")

        assert not [call for call in site.calls() if call.startswith("state ")]


class TestOutputs:
    def test_secrets_are_shown_only_where_they_are_asked_for(self, ready):
        ready.run("outputs")
        ready.run("outputs", "--show-secrets")

        assert ready.calls() == [
            "stack output --stack test",
            "stack output --stack test --show-secrets",
        ]


class TestEnv:
    def test_what_it_prints_is_what_a_shell_needs_and_no_passphrase(self, ready, capsys):
        ready.backend = Backend(
            environment={"PULUMI_CONFIG_PASSPHRASE_FILE": "/a b/passphrase"}, ours=True
        )

        ready.run("env")

        lines = capsys.readouterr().out.splitlines()
        assert "export PULUMI_CONFIG_PASSPHRASE_FILE='/a b/passphrase'" in lines
        (path,) = [line for line in lines if line.startswith("export PATH=")]
        # It goes before whatever PATH is there by then.
        assert path.endswith('"$PATH"')


def test_a_refusal_is_a_sentence_and_an_exit_code(capsys):
    def refuse():
        raise Refusal("stack x: there is none.")

    with pytest.raises(SystemExit) as ended:
        finish(refuse)

    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: stack x: there is none.\n"


def test_a_person_who_interrupts_sees_no_traceback():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        finish(interrupt)

    assert ended.value.code == 130
