"""The files of an existing broker, and what their adoption returns."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from broker.adopt.adopted_settings import PRIVATE, Place
from broker.adopt.adoption import AdoptionError, adopt
from broker.credentials.external_secrets import secret_errors
from broker.credentials.password_hashes import hash_password
from broker.settings.stack_settings import Settings

PLACE = Place(
    address="192.168.2.3",
    config="/opt/sentient/config/mosquitto-prod",
    container="mosquitto-shared",
    data="/opt/sentient/volumes/mosquitto-data-shared",
    log="/opt/sentient/volumes/mosquitto-logs-shared",
)
ON_2_1 = replace(PLACE, image="eclipse-mosquitto:2.1.2")


def pbkdf2(password):
    return hash_password(password, bytes(12), 101)


def with_salt(salt, kind="7"):
    """A hash of 2.1, whose salt has 64 bytes, or one that no release line accepts."""
    words = {"7": ["7", "1000"], "6": ["6"]}[kind]
    return "$" + "$".join(
        [*words, *(base64.b64encode(part).decode() for part in (salt, bytes(64)))]
    )


def sha512(salt=bytes(12), digest=bytes(64)):
    return f"$6${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


HASH = pbkdf2("s3cret")
CONF = """\
listener 1883
max_connections 1000
max_packet_size 2000000
persistence true
password_file /etc/mosquitto/mosquitto_passwd
acl_file /etc/mosquitto/mosquitto.acl
"""


def read(conf=CONF, passwd=f"bob:{HASH}\n", acl="user bob\ntopic read a\n", place=PLACE, **others):
    """Adopt; *others* are files by name, with ``__`` for a slash and ``_`` for a dot."""
    texts = {"mosquitto.conf": conf, "mosquitto_passwd": passwd, "mosquitto.acl": acl}
    texts |= {name.replace("__", "/").replace("_", "."): text for name, text in others.items()}
    texts = {name: text for name, text in texts.items() if text is not None}
    adoption = adopt("mosquitto.conf", texts, place)
    settings = Settings.parse(adoption.settings)
    assert secret_errors(settings, {"hashes": adoption.hashes}, datetime.now(UTC)) == []
    return adoption


def broker(*lines, conf=CONF):
    return read(conf=conf + "".join(f"{line}\n" for line in lines)).settings["broker"]


PRIVATE_NETWORKS = [*PRIVATE]


def remarks(**files):
    """The remarks about lines, without the assumptions about every broker."""
    return [remark for remark in read(**files).remarks if not remark.startswith("broker.")]


def errors(**files):
    with pytest.raises(AdoptionError) as error:
        read(**files)
    return str(error.value).split("\n")


def unguarded(listeners):
    """Return *listeners* without the assumed networks."""
    return {
        name: {key: value for key, value in listener.items() if key != "allowFrom"}
        for name, listener in listeners.items()
    }
