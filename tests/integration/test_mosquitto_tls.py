"""TLS with MQTT clients and OpenSSL, on both release lines of Mosquitto."""

import ssl
import subprocess
from pathlib import Path

import killing
import pytest
from mqtt import DENIED, Client, Refused
from ports import free_port
from tls_listeners import ca_of, openssl, port_of, with_tls

from broker.settings.stack_settings import Settings
from broker.tls.certificates import certificate_calls, describe_certificates


@pytest.fixture(scope="module")
def running(start):
    return start(with_tls())


@pytest.fixture
def without_wss(start):
    return start(with_tls(websockets=False))


def trusting(running, *, certificate=None):
    """Return a client's TLS context: the CA of the outputs and, if given, its own certificate."""
    context = ssl.create_default_context(cafile=str(ca_of(running)))
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def handshake(port, *words):
    """Return whether a session was established, and the output of ``openssl s_client``."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *words],
        input="",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return "Cipher is (NONE)" not in done.stdout, done.stdout + done.stderr


def served(port):
    """Return the fingerprint of the served certificate."""
    output = handshake(port)[1]
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"],
        input=output,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().partition("=")[2]


def client_certificate(running, folder, name, *, own_ca=True):
    """Return a file with key and certificate of *name*, of the stack's own CA or self-signed."""
    key, request, made = (folder / f"{name}.{suffix}" for suffix in ("key", "csr", "pem"))
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    if own_ca:
        openssl("req", *ec, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        ca = ca_of(running)
        sign = ("-CA", ca, "-CAkey", ca.with_name("ca.key"), "-set_serial", "11", "-days", "2")
        openssl("x509", "-req", "-in", request, *sign, "-out", made)
    else:
        openssl("req", "-x509", *ec, "-keyout", key, "-out", made, "-subj", f"/CN={name}")
    made.write_text(key.read_text() + made.read_text())
    return made


@pytest.mark.parametrize("listener", ["mqtts", "newest", "wss"])
def test_client_with_the_ca_connects_and_one_without_it_refuses(running, listener):
    port, websocket = port_of(running, listener), listener == "wss"
    login = ("paragon_devices", running.passwords["paragon_devices"])

    with Client(port, *login, websocket=websocket, tls=trusting(running)) as client:
        assert client.publish("paragon/room/sensors/x", "1") != DENIED
        assert client.publish("paragon/room/commands/x", "1") == DENIED

    with pytest.raises(ssl.SSLCertVerificationError):
        Client(port, *login, websocket=websocket, tls=ssl.create_default_context())


def test_mosquitto_sub_accepts_the_certificate(running, docker, tmp_path):
    other = client_certificate(running, tmp_path, "other", own_ca=False)
    words = (
        *("run", "--rm", "--network", "host", "--volume", f"{ca_of(running)}:/ca.pem:ro"),
        *("--volume", f"{other}:/other.pem:ro"),
        *("--user", "0", running.image, "mosquitto_sub", "-h", "127.0.0.1"),
        *("-p", str(port_of(running, "mqtts")), "-u", "sentient_monitor_prod"),
        *("-P", running.passwords["sentient_monitor_prod"], "-t", "$SYS/broker/version"),
        *("-C", "1", "-W", "10"),
    )

    assert docker(*words, "--cafile", "/ca.pem").startswith("mosquitto version")
    # The client of 2.0 reports a protocol error.
    output = docker(*words, "--cafile", "/other.pem", check=False)
    assert "TLS" in output or output == "Error: Protocol error\n"


def test_wrong_password_is_refused_over_tls(running):
    with pytest.raises(Refused, match="Not authorized"):
        Client(port_of(running, "mqtts"), "admin", "wrong", tls=trusting(running))


# Allows OpenSSL's client the old versions; otherwise the client would refuse them.
OLD = ("-cipher", "ALL:@SECLEVEL=0")


@pytest.mark.parametrize(
    ("listener", "version", "spoken"),
    [
        ("mqtts", "-tls1_1", False),
        ("mqtts", "-tls1_2", True),
        ("mqtts", "-tls1_3", True),
        ("wss", "-tls1_1", False),
        ("wss", "-tls1_2", True),
        ("newest", "-tls1_1", False),
        ("newest", "-tls1_2", False),
        ("newest", "-tls1_3", True),
    ],
)
def test_minimum_tls_version_is_enforced(running, listener, version, spoken):
    came_about, output = handshake(port_of(running, listener), version, *OLD)

    assert came_about is spoken
    assert ("alert protocol version" in output) is not spoken


@pytest.mark.parametrize("listener", ["mutual", "mutualwss"])
def test_client_certificate_is_the_login_with_its_users_rules(running, tmp_path, listener):
    certificate = client_certificate(running, tmp_path, "paragon_devices")
    port, websocket = port_of(running, listener), listener == "mutualwss"
    context = trusting(running, certificate=certificate)

    with (
        running.client("admin") as observer,
        Client(port, websocket=websocket, tls=context) as device,
    ):
        observer.subscribe("paragon/#")
        assert device.publish("paragon/room/commands/x", "no") == DENIED
        assert device.publish("paragon/room/sensors/x", "yes") == "Success"
        observer.got("paragon/room/sensors/x", "yes")
        assert [message.text for message in observer.received] == ["yes"]


@pytest.mark.parametrize("listener", ["mutual", "mutualwss"])
def test_password_does_not_replace_a_client_certificate(running, tmp_path, listener):
    port, websocket = port_of(running, listener), listener == "mutualwss"
    stranger = client_certificate(running, tmp_path, "admin", own_ca=False)

    for context in (trusting(running), trusting(running, certificate=stranger)):
        with pytest.raises((OSError, Refused, TimeoutError)):
            Client(port, "admin", running.passwords["admin"], websocket=websocket, tls=context)


def test_revoked_controller_has_no_rights_with_its_certificate(running, tmp_path):
    """The controller can still connect: its certificate is the login; patterns name no user."""
    for name, answer in (("teensy-1", "Success"), ("teensy-2", DENIED)):
        certificate = client_certificate(running, tmp_path, name)
        context = trusting(running, certificate=certificate)
        with (
            running.client("admin") as observer,
            Client(port_of(running, "mutual"), tls=context) as device,
        ):
            observer.subscribe("paragon/#")
            assert device.publish(f"paragon/{name}/sensors/x", "21") == answer


def _change(running, listener, **tls):
    raw = running.settings.model_dump(mode="json", by_alias=True, exclude_unset=True)
    raw["broker"]["listeners"][listener]["tls"] |= tls
    running.settings = Settings.parse(raw)


def _fingerprint(done, listener):
    assert done.returncode == 0, done.stderr
    return describe_certificates(done.stdout)["listeners"][listener]["sha256"]


def test_renewed_certificate_is_served_and_clients_stay_connected(without_wss):
    running = without_wss
    port = port_of(running, "mqtts")
    before = served(port)
    with Client(port, "admin", running.passwords["admin"], tls=trusting(running)) as connected:
        connected.subscribe("a")
        _change(running, "mqtts", days=90)

        after = _fingerprint(running.put_certificates(), "mqtts")

        assert served(port) == after != before
        assert connected.publish("a", "still here") == "Success"
        connected.got("a", "still here")
        assert connected.disconnected is None
    Client(port, "admin", running.passwords["admin"], tls=trusting(running)).close()


def test_unchanged_certificates_do_not_signal_the_broker(without_wss):
    before = without_wss.log().count("Reloading config")

    assert without_wss.put_certificates().returncode == 0
    assert without_wss.log().count("Reloading config") == before


def chain_at(port):
    return handshake(port, "-showcerts")[1].count("BEGIN CERTIFICATE")


@pytest.fixture
def chain(tmp_path):
    """Return the files of a root, an intermediate, a leaf, and the leaf's key."""
    files = {name: tmp_path / name for name in ("root", "leaf", "leaf.key", "between")}
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    root = ("-keyout", tmp_path / "root.key", "-out", files["root"], "-subj", "/CN=root")
    openssl("req", "-x509", *ec, *root, "-days", "30")
    for name, issuer, extensions in (
        ("between", "root", "basicConstraints=critical,CA:true\n"),
        ("leaf", "between", "subjectAltName=IP:127.0.0.1\n"),
    ):
        key, request, extension_file = (
            tmp_path / f"{name}.{suffix}" for suffix in ("key", "csr", "ext")
        )
        extension_file.write_text(extensions)
        openssl("req", *ec, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        sign = ("-CA", files[issuer], "-CAkey", tmp_path / f"{issuer}.key", "-set_serial", "7")
        made = ("-days", "30", "-extfile", extension_file, "-out", files[name])
        openssl("x509", "-req", "-in", request, *sign, *made)
    return files


def test_added_intermediate_certificate_is_served(start, chain, tmp_path):
    given = tmp_path / "given"
    leaf, between = chain["leaf"].read_text(), chain["between"].read_text()
    given.write_text(leaf)
    tls = {"certificate": str(given), "key": str(chain["leaf.key"])}

    def change(raw):
        raw["broker"]["listeners"] |= {
            "mqtts": {"port": free_port(), "tls": tls},
            "wss": {"port": free_port(), "protocol": "websockets", "tls": tls},
        }

    running = start(change)
    trusting_root = ssl.create_default_context(cafile=chain["root"])

    def log_in(listener):
        login = ("admin", running.passwords["admin"])
        port, websocket = port_of(running, listener), listener == "wss"
        Client(port, *login, websocket=websocket, tls=trusting_root).close()

    for listener in ("mqtts", "wss"):
        with pytest.raises(ssl.SSLCertVerificationError):
            log_in(listener)

    given.write_text(leaf + between)
    done = running.put_certificates()

    assert done.returncode == 0, done.stderr
    running.await_answer()
    for listener in ("mqtts", "wss"):
        log_in(listener)


def _started(running):
    return running.docker("inspect", "--format", "{{.State.StartedAt}}", running.broker.container)


def test_renewal_of_a_wss_listener_restarts_only_2_0(running, line):
    began = _started(running)
    with running.client("admin") as admin:
        admin.publish("paragon/kept", "retained", retain=True)
        before = served(port_of(running, "wss"))
        _change(running, "wss", days=91)

        after = _fingerprint(running.put_certificates(), "wss")

        assert served(port_of(running, "wss")) == after != before
        # libwebsockets (2.0) rarely loads a certificate at a reload, and always at a start.
        if _started(running) == began:
            assert admin.disconnected is None
        else:
            assert line == "2.0"
            admin.is_dropped()
    with running.client("admin") as admin:
        admin.subscribe("paragon/kept")
        admin.got("paragon/kept", "retained")


def test_certificate_that_mosquitto_rejects_changes_nothing(without_wss, tmp_path):
    """OpenSSL accepts the certificate; the broker rejects its key as too short."""
    running = without_wss
    certificate, key = tmp_path / "short.pem", tmp_path / "short.key"
    openssl(
        *("req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=short"),
        *("-keyout", key, "-out", certificate),
    )
    before = served(port_of(running, "mqtts")), running.files()
    with running.client("admin") as connected:
        raw = running.settings.model_dump(mode="json", by_alias=True, exclude_unset=True)
        given = {"certificate": str(certificate), "key": str(key)}
        raw["broker"]["listeners"]["mqtts"]["tls"] = given
        running.settings = Settings.parse(raw)

        done = running.put_certificates()

        assert done.returncode == 1
        assert "Mosquitto refuses the certificates; nothing was changed. It said:" in done.stderr
        assert (served(port_of(running, "mqtts")), running.files()) == before
        assert connected.disconnected is None


def test_another_ca_for_clients_is_in_force_after_a_start(start, tmp_path):
    """Neither release line reads it at a reload."""
    running = start(with_tls(websockets=False))
    own_ca_certificate = client_certificate(running, tmp_path, "admin")
    other_ca_certificate = client_certificate(running, tmp_path, "paragon_devices", own_ca=False)
    _change(running, "mutual", clientCa=str(other_ca_certificate))

    done = running.put_certificates()

    assert done.returncode == 0, done.stderr
    port = port_of(running, "mutual")
    with Client(port, tls=trusting(running, certificate=other_ca_certificate)) as device:
        assert device.publish("paragon/room/commands/x", "no") == DENIED
    with pytest.raises((OSError, Refused, TimeoutError)):
        Client(port, tls=trusting(running, certificate=own_ca_certificate))
    data = Path(running.broker.folders.data)
    assert {path.name for path in data.iterdir()} == {"mosquitto.db"}


FAILS_ONCE = """#!/bin/sh
# The first start fails, for a reason that no trial can detect.
case "$*" in
  *' start '* | *' restart '*)
    read -r n <"$COUNT"
    echo "$((n + 1))" >"$COUNT"
    if [ "$n" -eq 0 ]; then
      echo 'pid_file /nowhere/mosquitto.pid' >>"$CONF"
    else
      sed -i /pid_file/d "$CONF"
    fi
    ;;
esac
exec {real} "$@"
"""


@pytest.mark.parametrize("line", ["2.1"], indirect=True)  # the line that empties its database
def test_failed_start_keeps_the_database(start, tmp_path, monkeypatch):
    running = start(with_tls(websockets=False))
    other_ca_certificate = client_certificate(running, tmp_path, "paragon_devices", own_ca=False)
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/x", "kept", retain=True)
    _change(running, "mutual", clientCa=str(other_ca_certificate))
    shims = tmp_path / "shims"
    shims.mkdir()
    killing.put_before(shims, "docker", FAILS_ONCE)
    folders = running.broker.folders
    monkeypatch.setenv("CONF", f"{folders.config}/{running.broker.files.conf}")

    scripts = (
        "lib/put_files.sh lib/key_and_certificate.sh commands/apply_configuration.sh "
        "commands/certificates.sh"
    )
    calls = certificate_calls(running.broker, "unix:///var/run/docker.sock", {})
    code, starts, output = killing.run(scripts, calls, running.broker.host, shims, kill_at=0)

    assert (code, starts) == (1, 2), output
    assert "the previous ones are in place again" in output
    with running.client("admin") as admin:
        admin.subscribe("paragon/#")
        admin.got("paragon/room/status/x", "kept")
    assert {path.name for path in Path(folders.data).iterdir()} == {"mosquitto.db"}


def test_trial_of_users_includes_the_certificates(without_wss):
    """The trial starts every listener of the new files."""
    without_wss.passwords["admin"] = "rotated-under-tls"
    without_wss.generations["admin"] = "2"

    done = without_wss.put_files()

    assert done.returncode == 0, done.stderr
    without_wss.client("admin").close()
