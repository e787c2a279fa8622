"""A browser connects over wss if it trusts the CA and the name is in the certificate."""

import os
import queue
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tls_listeners import ca_of, openssl, port_of, with_tls

ELSEWHERE = "elsewhere.test"


PAGE = """<!doctype html><script>
const report = text => fetch('/report?' + encodeURIComponent(text));
const socket = new WebSocket('wss://%(host)s:%(port)d/', 'mqtt');
socket.binaryType = 'arraybuffer';
socket.onopen = () => socket.send(new Uint8Array(%(packet)s));
socket.onmessage = event => report('answer ' + Array.from(new Uint8Array(event.data)));
socket.onerror = () => report('refused');
</script>"""


def connect_packet(user, password):
    """Return an MQTT 3.1.1 CONNECT."""
    texts = b"".join(
        len(text).to_bytes(2, "big") + text
        for text in (b"browser", user.encode(), password.encode())
    )
    body = b"\x00\x04MQTT\x04\xc2\x00\x3c" + texts
    assert len(body) < 128
    return [0x10, len(body), *body]


def browse(folder, page, ca):
    """Return what *page* reports in a browser that also trusts *ca*."""
    reports = queue.Queue()
    trusted = folder / ".pki" / "nssdb"
    trusted.mkdir(parents=True)
    certutil = ("certutil", "-d", f"sql:{trusted}")
    subprocess.run([*certutil, "-N", "--empty-password"], check=True)
    subprocess.run([*certutil, "-A", "-n", "trusted", "-t", "C,,", "-i", ca], check=True)

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/report?"):
                reports.put(self.path.partition("?")[2].replace("%20", " ").replace("%2C", ","))
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
            return reports.get(timeout=300)
        finally:
            browser.terminate()
            browser.wait(20)
            server.shutdown()


@pytest.fixture(scope="module")
def running(start):
    return start(with_tls())


def test_browser_connects_over_wss_with_the_right_ca_and_name_only(running, tmp_path):
    packet = connect_packet("sentient_monitor_prod", running.passwords["sentient_monitor_prod"])
    port, another = port_of(running, "wss"), tmp_path / "another.pem"
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *ec, "-keyout", tmp_path / "key", "-out", another, "-subj", "/CN=CA")

    def result(case, host, ca):
        page = PAGE % {"host": host, "port": port, "packet": packet}
        return browse(tmp_path / case, page, ca)

    # CONNACK with return code 0.
    assert result("own CA", "127.0.0.1", ca_of(running)) == "answer 32,2,0,0"
    assert result("another CA", "127.0.0.1", another) == "refused"
    assert result("another name", ELSEWHERE, ca_of(running)) == "refused"
