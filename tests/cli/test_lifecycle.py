"""What a person runs: each command says what it did, or what to do first."""

import shlex
import stat
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from declared import SMALLEST
from owner_containers import OWNER_CONTAINERS

import cli.certificate
import cli.credentials
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
        assert "data: stays, since it holds what is not the broker's: notes.txt" in (
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


class TestCredentials:
    def test_a_login_is_an_env_file_on_stdout(self, ready, capsys):
        ready.run("credentials", "sensor")

        said = capsys.readouterr()
        assert said.out == (
            "MQTT_URL=mqtt://broker.example.org:1883\n"
            "MQTT_HOST=broker.example.org\n"
            "MQTT_PORT=1883\n"
            "MQTT_USERNAME=sensor\n"
            "MQTT_PASSWORD=s3cret\n"
        )
        assert said.err == ""

    def test_a_password_alone_is_one_line(self, ready, capsys):
        ready.run("password", "sensor")

        assert capsys.readouterr().out == "s3cret\n"

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("sensr",), "no such user in Pulumi.test.yaml. Did you mean 'sensor'?"),
            ((), "name a user, or give --all FOLDER. There are: sensor."),
            (("sensor", "--all", "x"), "name a user, or give --all FOLDER. There are: sensor."),
        ],
    )
    def test_a_wrong_name_is_told_before_pulumi_is_asked(self, ready, words, said):
        with pytest.raises(NotAsked) as refused:
            ready.run("credentials", *words)

        assert str(refused.value).endswith(said)
        assert ready.calls() == []

    def test_a_broker_that_is_not_up_yet(self, ready):
        ready.outputs = {}
        ready.pulumi("exit 0")

        with pytest.raises(Refusal, match=r"not up yet: run \./brokerctl up --stack test"):
            ready.run("credentials", "sensor")

    def test_all_of_them_are_files_that_nobody_else_may_read(self, ready, tmp_path, capsys):
        folder = tmp_path / "handed out"
        folder.mkdir(mode=0o755)
        (folder / "sensor.env").write_text("old")
        (folder / "sensor.env").chmod(0o644)

        ready.run("credentials", "--all", str(folder))

        file = folder / "sensor.env"
        assert "MQTT_PASSWORD=s3cret\n" in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
        assert "s3cret" not in "".join(capsys.readouterr())

    @pytest.fixture
    def misread(self, ready):
        users = SMALLEST["users"] | {"person": {"read": ["a"], "password": "supplied"}}
        named = {"broker": SMALLEST["broker"], "users": users}
        config = {f"sentient-mqtt:{key}": value for key, value in named.items()}
        ready.file.write_text(yaml.safe_dump({"config": config}))
        login = {"username": "person", "password": "a $ecret of two words"}
        ready.outputs = UP | {"credentials": UP["credentials"] | {"person": login}}
        ready.pulumi("exit 0")
        return ready

    def test_no_env_file_is_printed_that_a_shell_reads_otherwise(self, misread, capsys):
        with pytest.raises(Refusal, match=r"^user person: the password holds characters") as why:
            misread.run("credentials", "person")

        assert capsys.readouterr().out == ""
        assert "--format header" in str(why.value)
        assert "$" not in str(why.value)
        misread.run("credentials", "person", "--format", "header")
        assert '"a $ecret of two words"' in capsys.readouterr().out
        misread.run("password", "person")
        assert capsys.readouterr().out == "a $ecret of two words\n"

    def test_the_others_have_their_files_and_the_command_fails(self, misread, tmp_path, capsys):
        folder = tmp_path / "all"
        folder.mkdir()
        (folder / "person.env").write_text("of before")

        with pytest.raises(Refusal, match=r"^No file for user person: the password holds"):
            misread.run("credentials", "--all", str(folder))

        assert [file.name for file in folder.iterdir()] == ["sensor.env"]
        assert "1 files" in capsys.readouterr().err
        misread.run("credentials", "--all", str(folder), "--format", "header")
        assert {file.name for file in folder.glob("*.h")} == {"person.h", "sensor.h"}


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


WITH_CERTIFICATES = {
    "mqtt": {"port": 1883, "bindAddress": "127.0.0.1"},
    "mqtts": {"port": 8883, "tls": {"clientCertificates": "required"}},
}


class TestCertificate:
    def test_one_that_no_listener_asks_for_is_refused(self, desk, tmp_path):
        with pytest.raises(Refusal, match="say clientCertificates: required"):
            desk.run("certificate", "sensor", "--out", str(tmp_path / "out"))
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("user", ["sensr", ""])
    def test_nobody_gets_one_who_is_not_declared(self, desk, tmp_path, user):
        desk.write(listeners=WITH_CERTIFICATES)
        with pytest.raises(Refusal, match="no such user"):
            desk.run("certificate", user, "--out", str(tmp_path / "out"))

    def test_a_host_without_the_ca_says_what_to_do_and_nothing_is_written(self, desk, tmp_path):
        desk.write(listeners=WITH_CERTIFICATES, container="never-was-up")
        with pytest.raises(Refusal, match=r"run \./brokerctl up first"):
            desk.run("certificate", "sensor", "--out", str(tmp_path / "out"))
        assert not (tmp_path / "out").exists()

    def test_a_key_that_is_there_is_never_written_over(self, desk, tmp_path):
        desk.write(listeners=WITH_CERTIFICATES)
        (tmp_path / "sensor.key").write_text("in use")
        with pytest.raises(Refusal, match=r"sensor\.key is there already"):
            desk.run("certificate", "sensor", "--out", str(tmp_path))
        assert (tmp_path / "sensor.key").read_text() == "in use"

    @pytest.mark.parametrize(
        ("user", "stem"), [("sensor", "sensor"), ("ca", "user=ca"), ("CA", "user=CA")]
    )
    def test_no_user_has_the_file_of_the_ca(self, desk, tmp_path, monkeypatch, user, stem):
        desk.write(listeners=WITH_CERTIFICATES)
        content = yaml.safe_load(desk.file.read_text())
        content["config"]["sentient-mqtt:users"] |= {user: {"read": ["a"]}}
        desk.file.write_text(yaml.safe_dump(content))
        monkeypatch.setattr(cli.certificate, "sign", lambda _, pem, __: signed(pem))
        out = tmp_path / "out"

        desk.run("certificate", user, "--out", str(out))
        desk.run("certificate", "sensor", "--out", str(tmp_path / "other"))

        assert {file.name for file in out.iterdir()} == {f"{stem}.key", f"{stem}.pem", "ca.pem"}
        assert common_name(out / f"{stem}.pem") == user
        assert common_name(out / "ca.pem") == "the CA"
        with pytest.raises(Refusal, match="is there already"):
            desk.run("certificate", user, "--out", str(out))


def signed(pem):
    """Return the certificate for a request, then that of the CA that signed it."""
    request = x509.load_pem_x509_csr(pem.encode())
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the CA")])
    now = datetime.now(UTC)
    texts = [
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
        for subject, public in (
            (request.subject, request.public_key()),
            (issuer, key.public_key()),
        )
    ]
    return "".join(texts)


def common_name(file):
    subject = x509.load_pem_x509_certificate(file.read_bytes()).subject
    return subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
