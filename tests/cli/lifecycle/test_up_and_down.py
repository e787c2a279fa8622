"""The commands up, down, outputs and env."""

import shlex
from contextlib import nullcontext

import pytest
import yaml
from owner_containers import OWNER_CONTAINERS

import cli.lifecycle.status
import cli.lifecycle.up
from bootstrap.broker_image import Image
from bootstrap.docker_daemon import Daemon
from bootstrap.pulumi_backend import Backend
from broker.checks.observations import Observations
from broker.host.facts import HostFacts
from cli.errors import CommandError, NotPerformedError
from cli.exit_codes import finish
from cli.mqtt_client import UnreachableError

IMAGE = "eclipse-mosquitto:2.0.22"
UP = {
    "credentials": {
        "sensor": {"username": "sensor", "password": "s3cret", "url": "mqtt://sensor:s3cret@x:1"}
    },
    "image": IMAGE,
}


PASSWORD = "random:index/randomPassword:RandomPassword"
RUNNING = 'case "$*" in "ps "*) echo running ;; esac'


@pytest.fixture
def ready(desk, monkeypatch, fake_docker):
    """A machine that has all it needs, and a broker that runs and accepts logins."""
    fake_docker(RUNNING)
    daemon = Daemon(transport=cli.lifecycle.up.Stack.read("test").transport)
    monkeypatch.setattr(cli.lifecycle.up, "ensure_daemon", lambda *_, **__: daemon)
    monkeypatch.setattr(cli.lifecycle.up, "ensure_image", lambda name, *_, **__: Image(name=name))
    monkeypatch.setattr(cli.lifecycle.up, "same_up", lambda *_: None)
    monkeypatch.setattr(cli.lifecycle.up, "record_up", lambda *_: None)
    desk.outputs = UP
    desk.pulumi("exit 0")
    return desk


class TestUp:
    def test_an_unreachable_broker_does_not_fail_up(self, ready, capsys, monkeypatch):
        content = yaml.safe_load(ready.file.read_text())
        content["config"]["sentient-mqtt:expect"] = ["sensor may write paragon/a/sensors/b"]
        ready.file.write_text(yaml.safe_dump(content))

        def unreachable(*_):
            raise UnreachableError("mqtt://x:1", "no route to host")

        monkeypatch.setattr(cli.lifecycle.up, "ask_all", unreachable)
        ready.run("up")

        assert (
            "  not asked: mqtt://x:1: can't be reached from here: no route to host\n"
            in capsys.readouterr().out
        )

    @pytest.mark.parametrize("state", ["running", "exited"])
    def test_check_after_up_runs_the_checklist(self, ready, capsys, monkeypatch, state):
        facts = HostFacts(facts={("state", "mosquitto-test"): state})
        monkeypatch.setattr(cli.lifecycle.up, "observe", lambda *_: Observations(host=facts))
        ready.run("up")
        assert "The checklist" not in capsys.readouterr().out

        ready.write(checkAfterUp=True)
        with (
            nullcontext() if state == "running" else pytest.raises(CommandError, match="container")
        ):
            ready.run("up")
        assert f"mosquitto-test: {state}" in capsys.readouterr().out

    def test_the_output_ends_with_the_endpoints_and_how_to_log_in(self, ready, capsys):
        ready.run("up")

        out = capsys.readouterr().out
        assert f"The broker is up: container mosquitto-test, image {IMAGE}\n" in out
        assert "  mqtt: mqtt://broker.example.org:1883\n" in out
        assert "./brokerctl credentials sensor --stack test\n" in out
        assert "s3cret" not in out

    def test_the_command_that_listens_can_be_pasted(self, ready, capsys, monkeypatch):
        monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
        ready.run("up")

        line = capsys.readouterr().out.rstrip().splitlines()[-1].strip()
        words = shlex.split(line)
        assert words[:3] == ["mosquitto_sub", "-h", "broker.example.org"]
        assert words[words.index("-P") + 1] == "$(./brokerctl password sensor --stack test)"

    def test_without_a_local_client_the_command_uses_the_container(
        self, ready, capsys, monkeypatch
    ):
        monkeypatch.setattr("shutil.which", lambda _: None)
        ready.run("up")

        assert "  docker exec -it mosquitto-test mosquitto_sub -h" in capsys.readouterr().out

    def test_a_backend_of_this_machine_needs_no_confirmation(self, ready):
        ready.run("up")

        assert ready.calls() == [
            "stack select --create test",
            "up --stack test --yes --skip-preview",
        ]

    def test_with_any_other_backend_pulumi_shows_a_preview_and_asks(self, ready):
        ready.backend = Backend(local_passphrase=False)
        ready.run("up")
        assert ready.calls()[-1] == "up --stack test"

        ready.run("up", "--yes")
        assert ready.calls()[-1] == "up --stack test --yes --skip-preview"

    def test_success_is_reported_after_a_login(self, ready, fake_docker):
        calls = fake_docker(RUNNING)
        ready.run("up")

        assert [call.split()[0] for call in calls()] == ["ps", "exec"]
        assert "mosquitto_sub" in calls()[1]

    @pytest.mark.parametrize(
        ("state", "command"),
        [
            ("exited", "start"),
            ("created", "start"),
            ("paused", "unpause"),
            ("restarting", "restart"),
        ],
    )
    def test_a_container_that_does_not_run_is_started(
        self, ready, fake_docker, capsys, state, command
    ):
        calls = fake_docker(f'case "$*" in "ps "*) echo {state} ;; esac')
        ready.run("up")

        assert f"{command} mosquitto-test" in calls()
        assert calls()[-1].startswith("exec ")
        assert f": docker {command} mosquitto-test\n" in capsys.readouterr().out

    def test_a_missing_container_is_an_error_although_pulumi_changed_nothing(
        self, ready, fake_docker, capsys
    ):
        fake_docker("exit 0")

        with pytest.raises(CommandError, match="there is no container mosquitto-test") as raised:
            ready.run("up")
        assert "./brokerctl up --stack test" in str(raised.value)
        assert "The broker is up" not in capsys.readouterr().out

    def test_a_broker_that_refuses_its_health_user_is_an_error(
        self, ready, fake_docker, capsys, monkeypatch
    ):
        monkeypatch.setattr(cli.lifecycle.status, "START_SECONDS", 0.3)
        fake_docker(f'{RUNNING}; case "$*" in "exec "*) echo refused >&2; exit 5 ;; esac')

        with pytest.raises(CommandError, match="does not accept the login of its health") as raised:
            ready.run("up")
        assert "refused" in str(raised.value)
        assert "brokerctl check --stack test" in str(raised.value)
        assert "The broker is up" not in capsys.readouterr().out

    def test_a_broker_that_answers_late_is_waited_for(self, ready, fake_docker):
        late = f'[ -e "{ready.folder}/late" ] || {{ touch "{ready.folder}/late"; exit 5; }}'
        calls = fake_docker(f'{RUNNING}; case "$*" in "exec "*) {late} ;; esac')
        ready.run("up")
        assert sum(call.startswith("exec ") for call in calls()) == 2

    def test_a_failed_up_does_not_print_how_to_log_in(self, ready, capsys):
        ready.pulumi('case "$*" in *up*) exit 1 ;; esac')

        with pytest.raises(CommandError, match="pulumi up failed"):
            ready.run("up")
        assert "The broker is up" not in capsys.readouterr().out


class TestAfterAFailedUp:
    """The state has the new password, and the broker may have the former one."""

    @pytest.mark.parametrize("command", ["password", "credentials"])
    def test_a_password_comes_with_a_warning_until_an_up_succeeds(self, ready, capsys, command):
        ready.run(command, "sensor")
        assert "did not succeed" not in capsys.readouterr().err

        ready.pulumi('case "$*" in *up*) exit 1 ;; esac')
        with pytest.raises(CommandError, match="pulumi up failed"):
            ready.run("up")
        ready.run(command, "sensor")
        captured = capsys.readouterr()
        assert "did not succeed: the broker may still have the former password" in captured.err
        assert "s3cret" in captured.out
        assert "did not succeed" not in captured.out

        ready.pulumi("exit 0")
        ready.run("up")
        ready.run(command, "sensor")
        assert "did not succeed" not in capsys.readouterr().err


class TestDown:
    @pytest.fixture
    def site(self, ready, tmp_path):
        """Folders with a file in each, and a Docker without containers."""
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

    def remaining(self, site):
        return sorted(path.name for path in site.srv.iterdir())

    def test_data_and_logs_are_kept_by_default(self, site, capsys):
        site.run("down", "--confirm", "test")

        assert self.remaining(site) == ["config", "data", "log"]
        assert capsys.readouterr().out.splitlines()[-1] == (
            f"Kept: {site.srv}/data and {site.srv}/log. --delete-data deletes them."
        )

    @pytest.mark.parametrize("more", [(), ("--yes",), ("--delete-data",)])
    def test_passwords_are_kept_without_delete_passwords(self, site, capsys, more):
        site.run("down", "--confirm", "test", *more)

        assert site.calls()[-1] == (
            "destroy --stack test --yes --skip-preview --refresh "
            "--exclude **random:index/** --exclude **sentient-mqtt:index:Rotations**"
        )
        assert "Kept: every password. ./brokerctl up --stack test" in capsys.readouterr().out

    def test_delete_passwords_deletes_them(self, site, capsys):
        site.run("down", "--confirm", "test", "--delete-passwords")

        assert site.calls()[-1] == "destroy --stack test --yes --skip-preview"
        assert "Deleted: every password." in capsys.readouterr().out

    def test_the_name_of_the_stack_must_be_typed(self, site, monkeypatch, capsys):
        monkeypatch.setattr("builtins.input", lambda _: " test ")
        site.run("down")
        assert site.calls()[-1].startswith("destroy ")
        assert "removes mosquitto-test on unix:///" in capsys.readouterr().out

    @pytest.mark.parametrize("answer", ["", "yes", "y", "Test", "tes", "testt", "prod"])
    def test_any_other_answer_removes_nothing(self, site, monkeypatch, answer):
        monkeypatch.setattr("builtins.input", lambda _: answer)
        with pytest.raises(NotPerformedError, match=r"^nothing was removed"):
            site.run("down", "--yes", "--delete-data", "--delete-passwords")
        with pytest.raises(NotPerformedError, match=r"^nothing was removed"):
            site.run("down", "--yes", "--confirm", answer or " ")
        assert site.calls() == []
        assert self.remaining(site) == ["config", "data", "log"]

    def test_without_a_terminal_nothing_is_removed(self, site, monkeypatch):
        def no_terminal(_):
            raise EOFError

        monkeypatch.setattr("builtins.input", no_terminal)
        with pytest.raises(NotPerformedError, match="Add --confirm test"):
            site.run("down", "--yes")
        assert site.calls() == []

    def test_the_stack_dev_needs_no_confirmation(self, site, monkeypatch):
        site.rename("dev")
        monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked"))
        site.run("down", "--stack", "dev")
        assert site.calls()[-1].startswith("destroy --stack dev --yes --skip-preview")

    def test_delete_data_deletes_data_and_log(self, site, capsys):
        site.run("down", "--confirm", "test", "--delete-data")

        # `pulumi destroy` removes the files in config.
        assert self.remaining(site) == ["config"]
        assert capsys.readouterr().out.splitlines()[-1] == (
            f"Deleted: what the broker wrote in {site.srv}/data and {site.srv}/log."
        )

    def test_files_of_others_are_kept_and_named(self, site, capsys):
        (site.srv / "data" / "notes.txt").write_text("mine")

        site.run("down", "--confirm", "test", "--delete-data")

        assert self.remaining(site) == ["config", "data"]
        assert [path.name for path in (site.srv / "data").iterdir()] == ["notes.txt"]
        assert "data: stays, since it holds other files than the broker's: notes.txt" in (
            capsys.readouterr().out
        )

    def test_mounted_folders_are_not_deleted(self, site):
        (site.bin / "docker").write_text("#!/bin/sh\necho another\n")

        with pytest.raises(
            CommandError, match=r"^--delete-data: .*/data: still mounted by another"
        ):
            site.run("down", "--confirm", "test", "--delete-data")
        assert self.remaining(site) == ["config", "data", "log"]

    def test_no_data_is_deleted_after_a_failed_destroy(self, site):
        site.pulumi('case "$*" in *destroy*) exit 1 ;; esac')

        with pytest.raises(CommandError, match="pulumi destroy failed"):
            site.run("down", "--confirm", "test", "--delete-data")
        assert self.remaining(site) == ["config", "data", "log"]

    def test_the_stack_dev_with_another_backend_needs_confirmation(self, site):
        site.rename("dev")
        site.backend = Backend(local_passphrase=False)

        site.run("down", "--stack", "dev")
        assert "--yes" not in site.calls()[-1]

        site.run("down", "--stack", "dev", "--yes")
        assert "--yes --skip-preview" in site.calls()[-1]

    @pytest.mark.parametrize(
        ("docker", "left"),
        [
            ("*' ps '*) echo mosquitto-test ;;", "container mosquitto-test (docker rm --force"),
            ("*' network ls '*) echo mosquitto-test ;;", "network mosquitto-test (docker network"),
        ],
    )
    @pytest.mark.parametrize("more", [(), ("--delete-data", "--delete-passwords")])
    def test_what_is_still_there_is_named_and_no_success_claimed(
        self, site, capsys, docker, left, more
    ):
        """`pulumi destroy` succeeds and removes nothing."""
        (site.bin / "docker").write_text(
            f'#!/bin/sh\n{OWNER_CONTAINERS}\ncase "$*" in {docker} esac\n'
        )

        with pytest.raises(CommandError, match="not everything was removed") as raised:
            site.run("down", "--confirm", "test", *more)

        assert left in str(raised.value)
        out = capsys.readouterr().out
        assert not any(word in out for word in ("Removed", "Deleted", "Kept"))
        assert self.remaining(site) == ["config", "data", "log"]

    def test_a_file_that_is_still_there_is_named(self, site):
        (site.srv / "config" / "mosquitto.conf").write_text("listener 1883\n")

        with pytest.raises(CommandError, match="not everything was removed") as raised:
            site.run("down", "--confirm", "test")
        assert f"  {site.srv}/config/mosquitto.conf (rm -r " in str(raised.value)

    def test_without_a_look_afterwards_no_success_is_claimed(self, site, capsys):
        (site.bin / "docker").write_text("#!/bin/sh\necho 'Cannot connect' >&2; exit 1\n")

        with pytest.raises(CommandError, match=r"the host is unknown: Cannot connect"):
            site.run("down", "--confirm", "test")
        assert "Removed" not in capsys.readouterr().out

    SEED = (
        "urn:pulumi:test::sentient-mqtt::sentient-mqtt:index:MqttBroker$sentient-mqtt:index:"
        "Credentials$random:index/randomPassword:RandomPassword::credentials.salts"
    )

    def protect(self, site, body="exit 0"):
        site.resources = [
            site.broker,
            {"urn": self.SEED, "type": PASSWORD, "protect": True},
            {"urn": f"{self.SEED}::database", "type": "other", "protect": True},
        ]
        site.pulumi(body)

    def test_the_protected_seed_is_released_before_the_passwords_are_destroyed(self, site):
        self.protect(site)

        site.run("down", "--confirm", "test", "--delete-passwords")

        assert site.calls()[-2:] == [
            f"state unprotect {self.SEED} --yes --stack test",
            "destroy --stack test --yes --skip-preview",
        ]
        # The protection of other resources does not change.
        assert not [call for call in site.calls() if "database" in call]

    def test_the_seed_stays_protected_if_the_passwords_are_kept(self, site):
        self.protect(site)

        site.run("down", "--confirm", "test")

        assert not [call for call in site.calls() if call.startswith("state ")]
        assert site.calls()[-1].startswith("destroy --stack test --yes --skip-preview --refresh")

    def test_the_seed_is_protected_again_after_a_failed_destroy(self, site):
        self.protect(site, 'case "$*" in *destroy*) exit 1 ;; esac')

        with pytest.raises(CommandError, match="pulumi destroy failed"):
            site.run("down", "--confirm", "test", "--delete-passwords")

        assert site.calls()[-1] == f"state protect {self.SEED} --yes --stack test"

    def test_a_state_of_version_0_1_has_no_protected_seed(self, site):
        site.resources = [site.broker, {"urn": self.SEED, "type": PASSWORD}]
        site.pulumi("exit 0")

        site.run("down", "--confirm", "test", "--delete-passwords")

        assert not [call for call in site.calls() if call.startswith("state ")]


OTHER_STATE = """case "$*" in
  *" ps "*) ;;
  *sentient-mqtt.stack*) echo test ;;
esac"""
"""sh: a docker with a container of the name, whose label is that of the stack."""


class TestDownOfAnotherState:
    """The state of the stack did not make the broker that is on the host."""

    @pytest.fixture
    def site(self, ready, fake_docker):
        fake_docker(OTHER_STATE)
        ready.resources = []
        ready.pulumi("exit 0")
        return ready

    def refused(self, site, capsys, *words):
        with pytest.raises(SystemExit) as ended:
            finish(lambda: site.run("down", "--confirm", "test", *words))
        assert ended.value.code == 1
        assert not [call for call in site.calls() if call.startswith(("destroy", "state"))]
        return capsys.readouterr().err

    @pytest.mark.parametrize("more", [(), ("--delete-data", "--delete-passwords")])
    def test_nothing_is_removed_and_the_broker_is_named(self, site, capsys, more):
        error = self.refused(site, capsys, *more)

        assert error.startswith("error: container mosquitto-test: a broker of this name exists ")
        assert "Nothing was removed.\n  On the host: stack 'test', " in error
        assert "This state: stack 'test', an empty state.\n" in error
        assert "'./brokerctl up --take-over'" in error

    def test_without_any_state(self, site, capsys):
        site.state_file.unlink()

        assert "Nothing was removed.\n  On the host: stack 'test', " in self.refused(site, capsys)

    def test_a_state_with_passwords_only(self, site, capsys):
        site.resources = [
            {"urn": "urn::credentials-sensor", "type": PASSWORD},
            {"urn": "urn::identity-id", "type": "random", "outputs": {"result": "state-1"}},
        ]
        site.pulumi("exit 0")

        assert "This state: stack 'test', state state-1, deployed last: never" in self.refused(
            site, capsys
        )

    def test_a_state_that_made_it_removes_it(self, site):
        site.resources = [site.broker]
        site.pulumi("exit 0")

        site.run("down", "--confirm", "test")

        assert site.calls()[-1].startswith("destroy ")

    def test_without_a_broker_on_the_host_the_rest_of_the_state_is_removed(self, site, fake_docker):
        fake_docker('case "$*" in *inspect*) exit 1 ;; esac')

        site.run("down", "--confirm", "test")

        assert site.calls()[-1].startswith("destroy ")

    def test_a_host_that_does_not_answer_is_an_error(self, site, capsys):
        (site.bin / "sh").write_text("#!/bin/sh\nexit 1\n")
        (site.bin / "sh").chmod(0o755)

        assert "host unix:///" in self.refused(site, capsys)


class TestTakeOver:
    def test_the_program_is_told_the_container(self, ready):
        ready.pulumi(f'echo "$SENTIENT_MQTT_TAKE_OVER." >>"{ready.folder}/variable"')

        ready.run("up", "--yes", "--take-over")
        ready.run("up", "--yes")

        lines = (ready.folder / "variable").read_text().splitlines()
        assert set(lines) == {"mosquitto-test.", "."}
        assert lines.index("mosquitto-test.") < lines.index(".")

    def test_pulumi_runs_although_nothing_changed(self, ready, monkeypatch):
        monkeypatch.setattr(cli.lifecycle.up, "same_up", lambda *_: pytest.fail("was asked"))

        ready.run("up", "--yes", "--take-over")

        assert [call for call in ready.calls() if call.startswith("up ")]


class TestOutputs:
    def test_secrets_are_shown_only_with_show_secrets(self, ready):
        ready.run("outputs")
        ready.run("outputs", "--show-secrets")

        assert ready.calls() == [
            "stack output --stack test",
            "stack output --stack test --show-secrets",
        ]


class TestEnv:
    def test_the_output_has_the_variables_and_no_passphrase(self, ready, capsys):
        ready.backend = Backend(
            environment={"PULUMI_CONFIG_PASSPHRASE_FILE": "/a b/passphrase"}, local_passphrase=True
        )

        ready.run("env")

        lines = capsys.readouterr().out.splitlines()
        assert "export PULUMI_CONFIG_PASSPHRASE_FILE='/a b/passphrase'" in lines
        (path,) = [line for line in lines if line.startswith("export PATH=")]
        # It is added before the PATH of the shell.
        assert path.endswith('"$PATH"')


def test_an_error_is_a_message_and_an_exit_code(capsys):
    def fail():
        raise CommandError("stack x: there is none.")

    with pytest.raises(SystemExit) as ended:
        finish(fail)

    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: stack x: there is none.\n"


def test_an_interrupt_prints_no_traceback():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        finish(interrupt)

    assert ended.value.code == 130
