"""TLS as clients, OpenSSL and a browser meet it, on Mosquitto of either release line."""

import os
import queue
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import killing
import pytest
from mqtt import DENIED, Client, Refused
from ports import free_port

from broker.settings.stack_settings import Settings
from broker.tls.certificates import certificate_calls, describe_certificates, keeps

MUTUAL = {"clientCertificates": "required", "identityAsUsername": True}


def with_tls(*, websockets=True):
    def change(raw):
        listeners = raw["broker"]["listeners"]
        listeners |= {
            "mqtts": {"port": free_port(), "tls": {}},
            "newest": {"port": free_port(), "tls": {"minimumVersion": "1.3"}},
            "mutual": {"port": free_port(), "tls": MUTUAL},
        }
        raw["fleets"] = {
            "teensy": {
                "names": ["teensy-1", "teensy-2"],
                "write": ["paragon/%u/sensors/#"],
                "overrides": {"teensy-2": {"revoked": True}},
            }
        }
        if websockets:
            wss = {"protocol": "websockets"}
            listeners["wss"] = {"port": free_port(), **wss, "tls": {}}
            listeners["mutualwss"] = {"port": free_port(), **wss, "tls": MUTUAL}

    return change


@pytest.fixture(scope="module")
def running(start):
    return start(with_tls())


@pytest.fixture
def without_wss(start):
    return start(with_tls(websockets=False))


def ca_of(running):
    return Path(keeps(running.broker)) / "ca" / "ca.pem"


def port_of(running, listener):
    return running.broker.listeners[listener].port


def trusting(running, *, certificate=None):
    """What a client is given: the CA of the outputs and, where asked, a certificate of its own."""
    context = ssl.create_default_context(cafile=str(ca_of(running)))
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=True)
    return done.stdout


def handshake(port, *words):
    """Return what ``openssl s_client`` says, and whether a session came about."""
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
    """Return the fingerprint of what is served."""
    said = handshake(port)[1]
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"],
        input=said,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().partition("=")[2]


def client_certificate(running, folder, name, *, of_ours=True):
    """Return a file with key and certificate of *name*, of the stack's own CA or of nobody's."""
    key, request, made = (folder / f"{name}.{each}" for each in ("key", "csr", "pem"))
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    if of_ours:
        openssl("req", *ec, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        ca = ca_of(running)
        sign = ("-CA", ca, "-CAkey", ca.with_name("ca.key"), "-set_serial", "11", "-days", "2")
        openssl("x509", "-req", "-in", request, *sign, "-out", made)
    else:
        openssl("req", "-x509", *ec, "-keyout", key, "-out", made, "-subj", f"/CN={name}")
    made.write_text(key.read_text() + made.read_text())
    return made


@pytest.mark.parametrize("listener", ["mqtts", "newest", "wss"])
def test_a_client_with_the_ca_is_let_in_and_one_without_it_turns_away(running, listener):
    port, websocket = port_of(running, listener), listener == "wss"
    login = ("paragon_devices", running.passwords["paragon_devices"])

    with Client(port, *login, websocket=websocket, tls=trusting(running)) as client:
        assert client.publish("paragon/room/sensors/x", "1") != DENIED
        assert client.publish("paragon/room/commands/x", "1") == DENIED

    with pytest.raises(ssl.SSLCertVerificationError):
        Client(port, *login, websocket=websocket, tls=ssl.create_default_context())


def test_mosquittos_own_client_takes_it_too(running, docker, tmp_path):
    other = client_certificate(running, tmp_path, "other", of_ours=False)
    words = (
        *("run", "--rm", "--network", "host", "--volume", f"{ca_of(running)}:/ca.pem:ro"),
        *("--volume", f"{other}:/other.pem:ro"),
        *("--user", "0", running.image, "mosquitto_sub", "-h", "127.0.0.1"),
        *("-p", str(port_of(running, "mqtts")), "-u", "sentient_monitor_prod"),
        *("-P", running.passwords["sentient_monitor_prod"], "-t", "$SYS/broker/version"),
        *("-C", "1", "-W", "10"),
    )

    assert docker(*words, "--cafile", "/ca.pem").startswith("mosquitto version")
    # 2.0's client has no better word for it.
    said = docker(*words, "--cafile", "/other.pem", check=False)
    assert "TLS" in said or said == "Error: Protocol error\n"


def test_a_wrong_password_is_refused_inside_tls_as_well(running):
    with pytest.raises(Refused, match="Not authorized"):
        Client(port_of(running, "mqtts"), "admin", "wrong", tls=trusting(running))


# OpenSSL's own client must be allowed the old version, or it would be the one that refuses.
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
def test_the_oldest_version_that_is_spoken_is_the_one_that_is_set(
    running, listener, version, spoken
):
    came_about, said = handshake(port_of(running, listener), version, *OLD)

    assert came_about is spoken
    assert ("alert protocol version" in said) is not spoken


@pytest.mark.parametrize("listener", ["mutual", "mutualwss"])
def test_a_client_certificate_is_the_login_and_the_rules_are_its_users(running, tmp_path, listener):
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
        assert [each.text for each in observer.received] == ["yes"]


@pytest.mark.parametrize("listener", ["mutual", "mutualwss"])
def test_no_password_replaces_a_client_certificate(running, tmp_path, listener):
    port, websocket = port_of(running, listener), listener == "mutualwss"
    stranger = client_certificate(running, tmp_path, "admin", of_ours=False)

    for context in (trusting(running), trusting(running, certificate=stranger)):
        with pytest.raises((OSError, Refused, TimeoutError)):
            Client(port, "admin", running.passwords["admin"], websocket=websocket, tls=context)


def test_a_revoked_controller_may_do_nothing_with_the_certificate_that_it_has(running, tmp_path):
    """It may still connect: a certificate is the login, and patterns are for any name."""
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


def test_a_renewed_certificate_is_served_and_who_is_connected_stays(without_wss):
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


def test_the_same_again_does_not_even_signal_the_broker(without_wss):
    before = without_wss.log().count("Reloading config")

    assert without_wss.put_certificates().returncode == 0
    assert without_wss.log().count("Reloading config") == before


def chain_at(port):
    return handshake(port, "-showcerts")[1].count("BEGIN CERTIFICATE")


@pytest.fixture
def chain(tmp_path):
    """A root, a leaf, its key, and what is between them."""
    files = {each: tmp_path / each for each in ("root", "leaf", "leaf.key", "between")}
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    root = ("-keyout", tmp_path / "root.key", "-out", files["root"], "-subj", "/CN=root")
    openssl("req", "-x509", *ec, *root, "-days", "30")
    for name, of, extensions in (
        ("between", "root", "basicConstraints=critical,CA:true\n"),
        ("leaf", "between", "subjectAltName=IP:127.0.0.1\n"),
    ):
        key, request, said = (tmp_path / f"{name}.{each}" for each in ("key", "csr", "ext"))
        said.write_text(extensions)
        openssl("req", *ec, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        sign = ("-CA", files[of], "-CAkey", tmp_path / f"{of}.key", "-set_serial", "7")
        made = ("-days", "30", "-extfile", said, "-out", files[name])
        openssl("x509", "-req", "-in", request, *sign, *made)
    return files


def test_what_was_missing_behind_a_given_certificate_is_served_once_it_is_there(
    start, chain, tmp_path
):
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


def test_a_renewal_for_a_browser_restarts_no_broker_that_reloads_it(running, line):
    began = _started(running)
    with running.client("admin") as admin:
        admin.publish("paragon/kept", "retained", retain=True)
        before = served(port_of(running, "wss"))
        _change(running, "wss", days=91)

        after = _fingerprint(running.put_certificates(), "wss")

        assert served(port_of(running, "wss")) == after != before
        # libwebsockets (2.0) sometimes takes it at a reload and mostly at a start alone.
        if _started(running) == began:
            assert admin.disconnected is None
        else:
            assert line == "2.0"
            admin.is_dropped()
    with running.client("admin") as admin:
        admin.subscribe("paragon/kept")
        admin.got("paragon/kept", "retained")


def test_a_pair_that_mosquitto_refuses_leaves_the_one_in_place(without_wss, tmp_path):
    """OpenSSL calls it valid; the broker finds its key too short."""
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


def test_another_ca_for_clients_is_obeyed_after_a_start(start, tmp_path):
    """Neither release line reads it at a reload."""
    running = start(with_tls(websockets=False))
    ours = client_certificate(running, tmp_path, "admin")
    theirs = client_certificate(running, tmp_path, "paragon_devices", of_ours=False)
    _change(running, "mutual", clientCa=str(theirs))

    done = running.put_certificates()

    assert done.returncode == 0, done.stderr
    port = port_of(running, "mutual")
    with Client(port, tls=trusting(running, certificate=theirs)) as device:
        assert device.publish("paragon/room/commands/x", "no") == DENIED
    with pytest.raises((OSError, Refused, TimeoutError)):
        Client(port, tls=trusting(running, certificate=ours))
    data = Path(running.broker.folders.data)
    assert {each.name for each in data.iterdir()} == {"mosquitto.db"}


FAILS_ONCE = """#!/bin/sh
# The first start fails, for a reason that nobody could try before.
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
def test_a_start_that_fails_costs_no_database(start, tmp_path, monkeypatch):
    running = start(with_tls(websockets=False))
    theirs = client_certificate(running, tmp_path, "paragon_devices", of_ours=False)
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/x", "kept", retain=True)
    _change(running, "mutual", clientCa=str(theirs))
    shims = tmp_path / "shims"
    shims.mkdir()
    killing.put_before(shims, "docker", FAILS_ONCE)
    folders = running.broker.folders
    monkeypatch.setenv("CONF", f"{folders.config}/{running.broker.files.conf}")

    scripts = (
        "lib/put_files.sh lib/key_and_certificate.sh commands/apply_configuration.sh "
        "commands/certificates.sh"
    )
    calls = certificate_calls(running.broker, "unix:///var/run/docker.sock", "1", {})
    code, starts, said = killing.run(scripts, calls, running.broker.host, shims, kill_at=0)

    assert (code, starts) == (1, 2), said
    assert "the previous ones are in place again" in said
    with running.client("admin") as admin:
        admin.subscribe("paragon/#")
        admin.got("paragon/room/status/x", "kept")
    assert {each.name for each in Path(folders.data).iterdir()} == {"mosquitto.db"}


def test_a_reload_of_users_is_tried_with_the_certificates_there(without_wss):
    """The trial starts every listener of the new files."""
    without_wss.passwords["admin"] = "rotated-under-tls"
    without_wss.generations["admin"] = "2"

    done = without_wss.put_files()

    assert done.returncode == 0, done.stderr
    without_wss.client("admin").close()


ELSEWHERE = "elsewhere.test"
PAGE = """<!doctype html><script>
const tell = what => fetch('/told?' + encodeURIComponent(what));
const socket = new WebSocket('wss://%(host)s:%(port)d/', 'mqtt');
socket.binaryType = 'arraybuffer';
socket.onopen = () => socket.send(new Uint8Array(%(packet)s));
socket.onmessage = event => tell('answer ' + Array.from(new Uint8Array(event.data)));
socket.onerror = () => tell('refused');
</script>"""


def connect_packet(user, password):
    """Return an MQTT 3.1.1 CONNECT."""
    texts = b"".join(
        len(each).to_bytes(2, "big") + each
        for each in (b"browser", user.encode(), password.encode())
    )
    body = b"\x00\x04MQTT\x04\xc2\x00\x3c" + texts
    assert len(body) < 128
    return [0x10, len(body), *body]


def browse(folder, page, ca):
    """Return what *page* tells, in a browser whose owner trusts *ca* besides its own list."""
    told = queue.Queue()
    trusted = folder / ".pki" / "nssdb"
    trusted.mkdir(parents=True)
    certutil = ("certutil", "-d", f"sql:{trusted}")
    subprocess.run([*certutil, "-N", "--empty-password"], check=True)
    subprocess.run([*certutil, "-A", "-n", "trusted", "-t", "C,,", "-i", ca], check=True)

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/told?"):
                told.put(self.path.partition("?")[2].replace("%20", " ").replace("%2C", ","))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode() if self.path == "/" else b"")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = subprocess.Popen(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *("--disable-dev-shm-usage", "--no-proxy-server"),
                f"--user-data-dir={folder / 'browser'}",
                f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1",
                f"http://127.0.0.1:{server.server_port}/",
            ],
            env={**os.environ, "HOME": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return told.get(timeout=300)
        finally:
            browser.terminate()
            browser.wait(20)
            server.shutdown()


def test_a_browser_logs_in_over_wss_if_it_trusts_our_ca_and_dials_our_name(running, tmp_path):
    packet = connect_packet("sentient_monitor_prod", running.passwords["sentient_monitor_prod"])
    port, another = port_of(running, "wss"), tmp_path / "another.pem"
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *ec, "-keyout", tmp_path / "key", "-out", another, "-subj", "/CN=CA")

    def told(case, host, ca):
        page = PAGE % {"host": host, "port": port, "packet": packet}
        return browse(tmp_path / case, page, ca)

    # CONNACK, accepted.
    assert told("ours", "127.0.0.1", ca_of(running)) == "answer 32,2,0,0"
    assert told("another CA", "127.0.0.1", another) == "refused"
    assert told("another name", ELSEWHERE, ca_of(running)) == "refused"
