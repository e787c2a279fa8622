"""`./brokerctl credentials`, `password` and `certificate`."""

import stat
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from declared import SMALLEST
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

import cli.users.certificate
import cli.users.credentials
from cli.errors import CommandError, NotPerformedError
from cli.mqtt_client import ConnectionEndedError, UnreachableError

UP = {
    "credentials": {
        "sensor": {"username": "sensor", "password": "s3cret", "url": "mqtt://sensor:s3cret@x:1"}
    },
}


@pytest.fixture
def ready(desk):
    desk.outputs = UP
    desk.pulumi("exit 0")
    return desk


class TestCredentials:
    def test_a_login_is_printed_as_an_env_file(self, ready, capsys):
        ready.run("credentials", "sensor")

        captured = capsys.readouterr()
        assert captured.out == (
            "MQTT_URL=mqtt://broker.example.org:1883\n"
            "MQTT_HOST=broker.example.org\n"
            "MQTT_PORT=1883\n"
            "MQTT_USERNAME=sensor\n"
            "MQTT_PASSWORD=s3cret\n"
        )
        assert captured.err == ""

    def test_password_prints_the_password_alone(self, ready, capsys):
        ready.run("password", "sensor")

        assert capsys.readouterr().out == "s3cret\n"

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("sensr",), "no such user in Pulumi.test.yaml. Did you mean 'sensor'?"),
            ((), "name a user, or give --all FOLDER. There are: sensor."),
            (("sensor", "--all", "x"), "name a user, or give --all FOLDER. There are: sensor."),
        ],
    )
    def test_a_wrong_name_is_an_error_before_pulumi_runs(self, ready, words, message):
        with pytest.raises(NotPerformedError) as error:
            ready.run("credentials", *words)

        assert str(error.value).endswith(message)
        assert ready.calls() == []

    def test_a_stack_that_is_not_up_is_an_error(self, ready):
        ready.outputs = {}
        ready.pulumi("exit 0")

        with pytest.raises(CommandError, match=r"not up yet: run \./brokerctl up --stack test"):
            ready.run("credentials", "sensor")

    def test_all_writes_files_with_mode_0600(self, ready, tmp_path, capsys):
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

    def test_a_password_that_an_env_file_cannot_hold_is_an_error(self, misread, capsys):
        with pytest.raises(
            CommandError, match=r"^user person: the password contains characters"
        ) as why:
            misread.run("credentials", "person")

        assert capsys.readouterr().out == ""
        assert "--format header" in str(why.value)
        assert "$" not in str(why.value)
        misread.run("credentials", "person", "--format", "header")
        assert '"a $ecret of two words"' in capsys.readouterr().out
        misread.run("password", "person")
        assert capsys.readouterr().out == "a $ecret of two words\n"

    def test_all_writes_the_other_files_and_fails(self, misread, tmp_path, capsys):
        folder = tmp_path / "all"
        folder.mkdir()
        (folder / "person.env").write_text("outdated")

        with pytest.raises(CommandError, match=r"^No file for user person: the password contains"):
            misread.run("credentials", "--all", str(folder))

        assert [file.name for file in folder.iterdir()] == ["sensor.env"]
        assert "1 files" in capsys.readouterr().err
        misread.run("credentials", "--all", str(folder), "--format", "header")
        assert {file.name for file in folder.glob("*.h")} == {"person.h", "sensor.h"}


WITH_CERTIFICATES = {
    "mqtt": {"port": 1883, "bindAddress": "127.0.0.1"},
    "mqtts": {"port": 8883, "tls": {"clientCertificates": "required"}},
}


class TestCertificate:
    def test_without_a_listener_that_asks_for_certificates_it_fails(self, desk, tmp_path):
        with pytest.raises(CommandError, match="Set clientCertificates: required"):
            desk.run("certificate", "sensor", "--out", str(tmp_path / "out"))
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("user", ["sensr", ""])
    def test_an_undeclared_user_gets_no_certificate(self, desk, tmp_path, user):
        desk.write(listeners=WITH_CERTIFICATES)
        with pytest.raises(CommandError, match="no such user"):
            desk.run("certificate", user, "--out", str(tmp_path / "out"))

    def test_without_a_ca_on_the_host_nothing_is_written(self, desk, tmp_path):
        desk.write(listeners=WITH_CERTIFICATES, container="never-was-up")
        with pytest.raises(CommandError, match=r"run \./brokerctl up first"):
            desk.run("certificate", "sensor", "--out", str(tmp_path / "out"))
        assert not (tmp_path / "out").exists()

    def test_an_existing_key_is_not_overwritten(self, desk, tmp_path):
        desk.write(listeners=WITH_CERTIFICATES)
        (tmp_path / "sensor.key").write_text("in use")
        with pytest.raises(CommandError, match=r"sensor\.key already exists"):
            desk.run("certificate", "sensor", "--out", str(tmp_path))
        assert (tmp_path / "sensor.key").read_text() == "in use"

    @pytest.mark.parametrize(
        ("user", "stem"), [("sensor", "sensor"), ("ca", "user=ca"), ("CA", "user=CA")]
    )
    def test_no_user_has_the_file_name_of_the_ca(self, desk, tmp_path, monkeypatch, user, stem):
        desk.write(listeners=WITH_CERTIFICATES)
        content = yaml.safe_load(desk.file.read_text())
        content["config"]["sentient-mqtt:users"] |= {user: {"read": ["a"]}}
        desk.file.write_text(yaml.safe_dump(content))
        monkeypatch.setattr(cli.users.certificate, "sign", lambda _, pem, __: signed(pem))
        out = tmp_path / "out"

        desk.run("certificate", user, "--out", str(out))
        desk.run("certificate", "sensor", "--out", str(tmp_path / "other"))

        assert {file.name for file in out.iterdir()} == {f"{stem}.key", f"{stem}.pem", "ca.pem"}
        assert common_name(out / f"{stem}.pem") == user
        assert common_name(out / "ca.pem") == "the CA"
        with pytest.raises(CommandError, match="already exists"):
            desk.run("certificate", user, "--out", str(out))


class TestCertificateIsTried:
    """The files are tried on the broker before the command reports success."""

    @pytest.fixture
    def issue(self, desk, tmp_path, monkeypatch):
        """``issue(answer)``: the broker answers so; it may be an error, or a reason code."""

        def issue(answer, sign=lambda _, pem, __: signed(pem)):
            class Client:
                url = "mqtts://broker.example.org:8883"

                def __init__(self, *_, **options):
                    certificate, key = options["certificate"]
                    assert common_name(certificate) == "sensor"
                    assert key.exists()

                def connect(self):
                    if isinstance(answer, Exception):
                        raise answer
                    return ReasonCode(PacketTypes.CONNACK, identifier=answer)

                def close(self):
                    pass

            monkeypatch.setattr(cli.users.certificate, "sign", sign)
            monkeypatch.setattr(cli.users.certificate, "MqttClient", Client)
            tls = {"clientCertificates": "required", "identityAsUsername": True}
            plain = WITH_CERTIFICATES["mqtt"]
            desk.write(listeners={"mqtt": plain, "mqtts": {"port": 8883, "tls": tls}})
            desk.run("certificate", "sensor", "--out", str(tmp_path / "out"))

        return issue

    def test_a_login_with_it_is_reported(self, issue, capsys):
        issue(0)
        assert "mqtts://broker.example.org:8883: logged in\n" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "answer",
        [
            0x87,
            ConnectionEndedError("mqtts://x", ReasonCode(PacketTypes.DISCONNECT, identifier=0x80)),
            UnreachableError("mqtts://x", "[SSL: CERTIFICATE_VERIFY_FAILED]"),
        ],
        ids=["not authorized", "connection closed", "TLS"],
    )
    def test_a_broker_that_refuses_it_is_an_error(self, issue, capsys, answer):
        with pytest.raises(CommandError, match=r"the files are written, but .*refuses"):
            issue(answer)
        assert "until" not in capsys.readouterr().err

    def test_a_broker_that_cannot_be_reached_is_named(self, issue, capsys):
        issue(UnreachableError("mqtts://x", "no route to host"))
        err = capsys.readouterr().err
        assert "not tried: mqtts://x: can't be reached from here: no route to host" in err
        assert "logged in" not in err

    @pytest.mark.parametrize(
        ("sign", "message"),
        [
            (lambda _, pem, __: signed(pem, user="admin"), "is for another user"),
            (lambda _, pem, __: signed(pem, other_key=True), "is for another key"),
            (lambda _, pem, __: signed(pem, other_ca=True), "is not signed by its CA"),
        ],
    )
    def test_a_wrong_certificate_of_the_host_is_not_written(self, issue, tmp_path, sign, message):
        with pytest.raises(CommandError, match=message):
            issue(0, sign)
        assert not (tmp_path / "out").exists()


def signed(pem, *, user="", other_key=False, other_ca=False):
    """Return the certificate for a request, then the certificate of the CA; or wrong ones."""
    request = x509.load_pem_x509_csr(pem.encode())
    subject, public = request.subject, request.public_key()
    if user:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, user)])
    if other_key:
        public = ec.generate_private_key(ec.SECP256R1()).public_key()
    another = ec.generate_private_key(ec.SECP256R1())
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
        .sign(signer, SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
        for subject, public, signer in (
            (subject, public, another if other_ca else key),
            (issuer, key.public_key(), key),
        )
    ]
    return "".join(texts)


def common_name(file):
    subject = x509.load_pem_x509_certificate(file.read_bytes()).subject
    return subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
