"""TLS from the stack file to a client: errors, certificates, renewal, replacement, removal."""

import ssl
import subprocess
from pathlib import Path

import pytest
from mqtt import Client
from ports import free_port

NO_CHANGES = "--expect-no-changes"


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def self_signed(folder, name, *more):
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *ec, "-keyout", key, "-out", certificate, "-subj", f"/CN={name}", *more)
    return certificate, key


@pytest.fixture(scope="module")
def tls_site(make_site):
    def change(config):
        broker = config["broker"]
        broker["firewall"] = {"backend": "none"}
        for listener in broker["listeners"].values():
            listener.pop("allowFrom", None)
        loopback = {"bindAddress": "127.0.0.1"}
        broker["listeners"]["mqtts"] = {"port": free_port(), **loopback, "tls": {}}
        broker["listeners"]["wss"] = {
            "port": free_port(),
            "protocol": "websockets",
            **loopback,
            "tls": {},
        }

    return make_site("tls", change)


@pytest.fixture(scope="module")
def up(tls_site):
    tls_site.up()
    return tls_site


def _port(site, name="mqtts"):
    return site.settings.broker.listeners[name].port


def _key_and_certificate(site, name="mqtts"):
    return Path(site.settings.broker.folders.config) / "tls" / name / "pair.pem"


def _host_folder(site):
    """Return the folder of the host's scripts and of the stack's own CA."""
    return Path("/etc/sentient-mqtt") / site.container


def _log_in(site, name="mqtts"):
    context = ssl.create_default_context(cadata=site.outputs()["certificates"]["ca"])
    websocket = name == "wss"
    return Client(
        _port(site, name), "admin", site.password("admin"), websocket=websocket, tls=context
    )


def _output_fingerprint(site):
    return site.outputs()["certificates"]["listeners"]["mqtts"]["sha256"]


def _served_fingerprint(site):
    pem = ssl.get_server_certificate(("127.0.0.1", _port(site)))
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"],
        input=pem,
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout.strip().partition("=")[2]


def _subject(path):
    done = subprocess.run(
        ["openssl", "x509", "-in", str(path), "-noout", "-subject"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_key_of_another_certificate_is_one_error(tls_site, tmp_path):
    certificate, _ = self_signed(tmp_path, "one")
    _, key = self_signed(tmp_path, "two")

    def declare(config):
        tls = {"certificate": str(certificate), "key": str(key)}
        config["broker"]["listeners"]["mqtts"]["tls"] = tls

    with tls_site.edited(declare):
        preview = tls_site.preview(fails=True)

    error = (
        f"sentient-mqtt:broker.listeners.mqtts.tls.key: '{key}': is not the key of {certificate}"
    )
    assert preview.diagnostics.count(error) == 1
    assert "Traceback" not in preview.output
    assert not tls_site.is_there()
    assert not _host_folder(tls_site).exists()


@pytest.mark.parametrize("listener", ["mqtts", "wss"])
def test_clients_connect_with_the_ca_and_password_of_the_outputs(up, listener):
    with _log_in(up, listener) as client:
        client.subscribe("paragon/#")
        assert client.publish("paragon/room/status/x", "over tls") == "Success"


def test_outputs_describe_the_served_certificate_fingerprint(up):
    described = up.outputs()["certificates"]["listeners"]

    assert described["mqtts"]["sha256"] == _served_fingerprint(up)
    assert described["mqtts"]["notAfter"].endswith("Z")
    assert up.outputs()["endpoints"]["mqtts"] == f"mqtts://127.0.0.1:{_port(up)}"
    # Readable without --show-secrets.
    assert "BEGIN CERTIFICATE" in up.stack("output", "certificates", "--json").output


def test_no_private_key_in_the_state_and_in_any_output(up):
    key = _key_and_certificate(up).read_text().partition("\n")[2].partition("\n")[0]
    state = up.stack("export", "--show-secrets", quiet=True).output

    assert len(key) > 40
    assert key not in state
    assert not any("PRIVATE KEY" in output or key in output for output in up.printed)


def test_preview_after_the_first_up_changes_nothing(up):
    up.preview(NO_CHANGES)


def test_certificate_near_its_end_is_renewed_and_then_nothing_changes(up):
    ca = _host_folder(up) / "certificates" / "ca"
    file = _key_and_certificate(up)
    openssl("req", "-new", "-key", file, "-subj", "/CN=soon", "-out", ca / "csr")
    openssl(
        *("x509", "-req", "-in", ca / "csr", "-CA", ca / "ca.pem", "-CAkey", ca / "ca.key"),
        *("-set_serial", "9", "-days", "29", "-out", ca / "soon"),
    )
    key = file.read_text().partition("-----BEGIN CERT")[0]
    file.write_text(key + (ca / "soon").read_text())
    for name in ("csr", "soon"):
        (ca / name).unlink()
    up.docker("exec", up.container, "kill", "-HUP", "1")
    started = up.inspect()["State"]["StartedAt"]

    with up.client("admin") as connected:
        preview = up.preview()
        assert "Listener mqtts gets a new certificate: it ends" in preview.output
        assert "Listener wss" not in preview.output
        up.up()
        assert connected.disconnected is None

    assert up.inspect()["State"]["StartedAt"] == started
    assert _output_fingerprint(up) == _served_fingerprint(up)
    _log_in(up).close()
    up.up(NO_CHANGES)


def test_own_certificate_files_are_used_and_replaced_files_are_noticed(up, tmp_path):
    certificate, key = self_signed(tmp_path, "given", "-days", "90")

    def declare(config):
        tls = {"certificate": str(certificate), "key": str(key)}
        config["broker"]["listeners"]["mqtts"]["tls"] = tls

    container = up.inspect()["Id"]
    with up.edited(declare):
        up.up()
        assert "CN = given" in _subject(_key_and_certificate(up))
        assert _output_fingerprint(up) == _served_fingerprint(up)
        self_signed(tmp_path, "given", "-days", "91")
        assert f"{certificate} is another one than before" in up.preview().output
        up.up()
        up.up(NO_CHANGES)
    assert up.inspect()["Id"] == container


def test_supplied_certificate_is_served_and_its_key_is_nowhere_in_clear(up, tmp_path):
    certificate, key = self_signed(tmp_path, "supplied")
    _, another = self_signed(tmp_path, "another")
    secret = key.read_text().splitlines()[1]

    def declare(*listeners):
        def change(config):
            for listener in listeners:
                config["broker"]["listeners"][listener]["tls"] = {"certificate": "supplied"}

        return change

    def supply(text):
        path = "sentient-mqtt:certificates.mqtts"
        words = ("config", "set", "--stack", "e2e", "--secret", "--path", path)
        up.pulumi(*words, stdin=text, quiet=True)

    started = up.inspect()["State"]["StartedAt"]
    with up.edited(declare("mqtts")):
        supply(another.read_text() + certificate.read_text())
        with up.edited(declare("mqtts", "wss")):
            errors = up.preview(fails=True).output
        assert "listeners.wss.tls.certificate: 'supplied': the secret is missing" in errors
        assert "sentient-mqtt:certificates.mqtts: the key does not belong to the first" in errors
        supply(key.read_text() + certificate.read_text())
        output = up.up("--diff").output
        up.up(NO_CHANGES)
        assert _output_fingerprint(up) == _served_fingerprint(up)
        assert "CN = supplied" in _subject(_key_and_certificate(up))
        for text in (output, up.stack_file.read_text(), up.stack("export").output):
            assert secret not in text
        assert another.read_text().splitlines()[1] not in errors
    assert up.inspect()["State"]["StartedAt"] == started


def test_destroy_deletes_every_key(up):
    up.destroy()

    assert not _host_folder(up).exists()
    assert not Path(up.settings.broker.folders.config).exists()
