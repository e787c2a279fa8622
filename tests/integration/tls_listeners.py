"""Listeners with TLS for the stack files of tests, and what their clients need."""

import subprocess
from pathlib import Path

from ports import free_port

from broker.tls.certificates import certificates_folder

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


def ca_of(running):
    return Path(certificates_folder(running.broker)) / "ca" / "ca.pem"


def port_of(running, listener):
    return running.broker.listeners[listener].port


def openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=True)
    return done.stdout
