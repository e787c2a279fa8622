"""TLS from the stack file to a client: refused when bad, up, the same again, renewed, and gone."""

import ssl
import subprocess
from pathlib import Path

import pytest
from mqtt import Client
from ports import free_port

SAME = "--expect-no-changes"


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def self_signed(folder, name, *more):
    key, made = folder / f"{name}.key", folder / f"{name}.pem"
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *ec, "-keyout", key, "-out", made, "-subj", f"/CN={name}", *more)
    return made, key


@pytest.fixture(scope="module")
def tls_site(make_site):
    def change(config):
        broker = config["broker"]
        broker["firewall"] = {"backend": "none"}
        for each in broker["listeners"].values():
            each.pop("allowFrom", None)
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


def _pair(site, name="mqtts"):
    return Path(site.settings.broker.folders.config) / "tls" / name / "pair.pem"


def _keeps(site):
    return Path("/etc/sentient-mqtt") / site.container


def _log_in(site, name="mqtts"):
    context = ssl.create_default_context(cadata=site.outputs()["certificates"]["ca"])
    websocket = name == "wss"
    return Client(
        _port(site, name), "admin", site.password("admin"), websocket=websocket, tls=context
    )


def _served(site):
    pem = ssl.get_server_certificate(("127.0.0.1", _port(site)))
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"],
        input=pem,
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout.strip().partition("=")[2]


def test_a_key_of_another_certificate_is_one_error_of_the_preview(tls_site, tmp_path):
    certificate, _ = self_signed(tmp_path, "one")
    _, key = self_signed(tmp_path, "two")

    def given(config):
        tls = {"certificate": str(certificate), "key": str(key)}
        config["broker"]["listeners"]["mqtts"]["tls"] = tls

    with tls_site.edited(given):
        refused = tls_site.preview(fails=True)

    said = f"sentient-mqtt:broker.listeners.mqtts.tls.key: '{key}': is not the key of {certificate}"
    assert refused.diagnostics.count(said) == 1
    assert "Traceback" not in refused.output
    assert not tls_site.is_there()
    assert not _keeps(tls_site).exists()


@pytest.mark.parametrize("listener", ["mqtts", "wss"])
def test_clients_log_in_with_nothing_but_the_outputs(up, listener):
    with _log_in(up, listener) as client:
        client.subscribe("paragon/#")
        assert client.publish("paragon/room/status/x", "over tls") == "Success"


def test_the_outputs_say_what_is_served(up):
    said = up.outputs()["certificates"]["listeners"]

    assert said["mqtts"]["sha256"] == _served(up)
    assert said["mqtts"]["notAfter"].endswith("Z")
    assert up.outputs()["endpoints"]["mqtts"] == f"mqtts://127.0.0.1:{_port(up)}"
    # Plain, for whoever has no passphrase.
    assert "BEGIN CERTIFICATE" in up.stack("output", "certificates", "--json").output


def test_no_key_is_in_the_state_nor_anywhere_on_screen(up):
    key = _pair(up).read_text().partition("\n")[2].partition("\n")[0]
    state = up.stack("export", "--show-secrets", quiet=True).output

    assert len(key) > 40
    assert key not in state
    assert not any("PRIVATE KEY" in each or key in each for each in up.said)


def test_again_nothing_changes(up):
    up.up(SAME)
    up.preview(SAME)


def test_one_that_is_about_to_end_is_renewed_and_then_nothing_changes(up):
    ca = _keeps(up) / "certificates" / "ca"
    pair = _pair(up)
    openssl("req", "-new", "-key", pair, "-subj", "/CN=soon", "-out", ca / "csr")
    openssl(
        *("x509", "-req", "-in", ca / "csr", "-CA", ca / "ca.pem", "-CAkey", ca / "ca.key"),
        *("-set_serial", "9", "-days", "29", "-out", ca / "soon"),
    )
    key = pair.read_text().partition("-----BEGIN CERT")[0]
    pair.write_text(key + (ca / "soon").read_text())
    for name in ("csr", "soon"):
        (ca / name).unlink()
    up.docker("exec", up.container, "kill", "-HUP", "1")
    started = up.inspect()["State"]["StartedAt"]

    with _log_in_anyhow(up) as connected:
        preview = up.preview()
        assert "Listener mqtts gets a new certificate: it ends" in preview.output
        assert "Listener wss" not in preview.output
        up.up()
        assert connected.disconnected is None

    assert up.inspect()["State"]["StartedAt"] == started
    assert up.outputs()["certificates"]["listeners"]["mqtts"]["sha256"] == _served(up)
    _log_in(up).close()
    up.up(SAME)


def _log_in_anyhow(site):
    return site.client("admin")


def test_what_was_given_is_taken_instead(up, tmp_path):
    certificate, key = self_signed(tmp_path, "given", "-days", "90")

    def given(config):
        tls = {"certificate": str(certificate), "key": str(key)}
        config["broker"]["listeners"]["mqtts"]["tls"] = tls

    container = up.inspect()["Id"]
    with up.edited(given):
        up.up()
        assert "CN = given" in _subject(_pair(up))
        assert up.outputs()["certificates"]["listeners"]["mqtts"]["sha256"] == _served(up)
        # The files may be replaced at any time: the next `up` sees it.
        up.up(SAME)
        self_signed(tmp_path, "given", "-days", "91")
        assert f"{certificate} is another one than before" in up.preview().output
        up.up()
        up.up(SAME)
    assert up.inspect()["Id"] == container


def test_a_pair_from_the_stacks_secrets_is_served_and_nowhere_in_clear(up, tmp_path):
    certificate, key = self_signed(tmp_path, "supplied")
    _, another = self_signed(tmp_path, "another")
    secret = key.read_text().splitlines()[1]

    def supplied(config):
        config["broker"]["listeners"]["mqtts"]["tls"] = {"certificate": "supplied"}

    def supply(text):
        path = "sentient-mqtt:certificates.mqtts"
        words = ("config", "set", "--stack", "e2e", "--secret", "--path", path)
        up.pulumi(*words, given=text, quiet=True)

    started = up.inspect()["State"]["StartedAt"]
    with up.edited(supplied):
        assert "tls.certificate: 'supplied': nothing is there" in up.preview(fails=True).output
        supply(another.read_text() + certificate.read_text())
        refused = up.preview(fails=True).output
        assert "sentient-mqtt:certificates.mqtts: the key does not belong to the first" in refused
        supply(key.read_text() + certificate.read_text())
        shown = up.preview("--diff").output
        up.up()
        up.up(SAME)
        assert up.outputs()["certificates"]["listeners"]["mqtts"]["sha256"] == _served(up)
        assert "CN = supplied" in _subject(_pair(up))
        for text in (shown, up.stack_file.read_text(), up.stack("export").output):
            assert secret not in text
        assert another.read_text().splitlines()[1] not in refused
    assert up.inspect()["State"]["StartedAt"] == started


def _subject(path):
    done = subprocess.run(
        ["openssl", "x509", "-in", str(path), "-noout", "-subject"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_destroyed_no_key_is_left(up):
    up.destroy()

    assert not _keeps(up).exists()
    assert not Path(up.settings.broker.folders.config).exists()
