"""An adopted broker gives no client a port, a login or a right that the original does not give."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import pytest
from conftest import SUITES
from original_and_adopted import (
    Client,
    Differences,
    Files,
    Start,
    adopted_files,
    both_started,
    compare,
    known_passwords,
    started,
    topics_near,
    with_publisher,
)

from broker.adopt.adopted_settings import Place
from broker.adopt.adoption import Adoption, adopt
from broker.credentials.password_hashes import hash_password
from broker.mosquitto.release_line import ReleaseLine
from broker.settings.stack_settings import Settings

HASH = hash_password("in use for years", bytes(12), 1)
IMAGES: dict[ReleaseLine, str] = {
    "2.0": "eclipse-mosquitto:2.0.22",
    "2.1": "eclipse-mosquitto:2.1.2",
}


def long_salt(password: str) -> str:
    """A hash as mosquitto_passwd of 2.1 writes it."""
    salt = bytes(range(64))
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 1, 64)
    return f"$7$1${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A configuration by hand, in /site, and what its adoption must not change or may take away."""

    release_line: ReleaseLine
    conf: str
    acl: str = ""
    passwd: str = f"bob:{HASH}\nann:{HASH}\n"
    others: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    """What somebody loses, as the comparison says it, and as the adoption says it."""

    def texts(self) -> dict[str, str]:
        named = {"mosquitto.conf": self.conf, "passwd": self.passwd, "acl": self.acl}
        return {name: text for name, text in {**named, **self.others}.items() if text}


RULES = (
    "# caf\udce9: byte order marks and Latin-1 in comments\n"
    "topic read public/#\n"
    "user bob\n"
    "topic write pump/on\N{NO-BREAK SPACE}\n"
    "topic read /a/#\n"
    "topic b//c\n"
    "topic write d/\n"
    "topic $aws/things/#\n"
    "topic readwrite all/+/of/#\n"
    "topic deny all/x/of/x/y\t\n"
    "user eve\n"
    "topic #\n"
    "pattern readwrite own/%u/#\n"
    "pattern read by-id/%c/+\n"
)
CONF = "listener 1883\npassword_file /site/passwd\nacl_file /site/acl\n"
LOCAL = "password_file /site/passwd\nmax_connections 50\n"
LOST_LOCALLY = {
    "::1 port 1883": "no longer on ::1",
    "anonymous as 'anonymous' on port 1883 logs in": "clients without a login may connect",
    "bob as 'bob' on port 1883 may publish '$aws/zz'": "no user may publish to any ($aws/...",
}
SAMPLES = {
    "blanks, empty levels, users without a login": Sample(
        release_line="2.0",
        conf=f"{CONF}max_packet_size 4096 # 4 KiB\nlistener 9001 127.0.0.1 # local\n",
        acl=RULES,
        lost={
            "bob as 'bob' on port 1883 may publish 'pump/on\\xa0'": "bob may no longer do this",
            ":: port 1883": "no client over IPv6",
        },
    ),
    "the same rules for 2.1": Sample(release_line="2.1", conf=CONF, acl=RULES),
    "no listener, no rules": Sample(release_line="2.0", conf=LOCAL, lost=LOST_LOCALLY),
    "the same for 2.1": Sample(release_line="2.1", conf=LOCAL, lost=LOST_LOCALLY),
    "listeners with the same files, a file found by its path": Sample(
        release_line="2.0",
        conf=(
            "per_listener_settings true\n"
            "listener 1883 192.168.77.4\npassword_file /site/passwd\nacl_file /site/rules/acl\n"
            "use_username_as_clientid true\n"
            "listener 1884 192.168.77.3\npassword_file /site/passwd\nacl_file /site/rules/acl\n"
        ),
        acl="user bob\ntopic #\n",
        others={"rules/acl": "user bob\ntopic a/#\npattern readwrite own/%u/#\n"},
    ),
    "plugins and hashes of 2.1": Sample(
        release_line="2.1",
        conf=(
            "plugin_load rules /usr/lib/mosquitto_acl_file.so\nplugin_opt_acl_file /site/acl\n"
            "listener 1883\nplugin_use rules\nplugin /usr/lib/mosquitto_password_file.so\n"
            "plugin_opt_password_file /site/passwd\n"
        ),
        acl="user bob\ntopic a/#\n",
        passwd=f"bob:{long_salt('password of bob')}\nann:{HASH}\n",
    ),
}


@pytest.fixture(scope="module")
def start(daemon):
    """Return ``start(image, files)``, which runs a broker in a network of its own."""
    network = f"adopt-{secrets.token_hex(4)}"
    daemon.ask("network", "create", "--internal", network)
    yield partial(started, daemon.argv, network)
    daemon.ask("network", "rm", network)


def adoption_of(sample: Sample) -> Adoption:
    place = Place(address="127.0.0.1", config="/site", image=IMAGES[sample.release_line])
    return adopt("mosquitto.conf", sample.texts(), place)


def original_files(sample: Sample, texts: Mapping[str, str]) -> Files:
    acls = [name for name in texts if name.endswith("acl")]
    texts = with_publisher(texts, ["passwd"], acls)
    return Files(
        conf="/site/mosquitto.conf", texts={f"/site/{name}": text for name, text in texts.items()}
    )


def differences_of(start: Start, image: str, sample: Sample, adoption: Adoption) -> Differences:
    """Run both brokers; *adoption* need not be that of *sample*."""
    texts = sample.texts()
    texts["passwd"], passwords = known_passwords(sample.passwd, sample.release_line)
    known = {name: texts["passwd"].split(f"{name}:")[1].split("\n")[0] for name in passwords}
    adoption = Adoption(
        settings=adoption.settings,
        hashes={name: known[name] for name in adoption.hashes},
        remarks=adoption.remarks,
    )
    filters = [line.rpartition(" ")[2] for line in sample.acl.split("\n") if "user " not in line]
    clients = [
        Client(user=None, password="", client_id="anonymous"),
        *(
            Client(user=name, password=passwords[name], client_id=client_id)
            for name in passwords
            for client_id in (name, "another")
        ),
        Client(user="eve", password="password of eve", client_id="eve"),
    ]
    listeners = [*Settings.parse(adoption.settings).broker.listeners.values()]
    if "per_listener_settings" not in sample.conf:
        listeners = listeners[:1]
    plain = [(listener.bind_address, listener.port) for listener in listeners]
    files = original_files(sample, texts), adopted_files(adoption)
    with both_started(start, image, *files) as (original, adopted):
        topics = topics_near(filter(None, filters), ("bob", "another"))
        return compare(original, adopted, clients, topics, plain)


@pytest.mark.parametrize("name", SAMPLES)
def test_nobody_gains_anything(name, start, fallback_image):
    sample = SAMPLES[name]
    adoption = adoption_of(sample)

    found = differences_of(start, fallback_image(SUITES[sample.release_line]), sample, adoption)

    assert found.gained == []
    assert {*sample.lost} <= {*found.lost}
    for said in sample.lost.values():
        assert any(said in remark for remark in adoption.remarks), said
    assert found.compared > 50


def test_a_wider_broker_is_found(start, fallback_image):
    """The comparison itself: a port, an address, a login, a rule and a publish that are new."""
    narrow = Sample(
        release_line="2.0",
        conf=CONF.replace("1883", "1883 127.0.0.1"),
        acl="user bob\ntopic read a/#\n",
        passwd=f"bob:{HASH}\n",
    )
    wide = Sample(
        release_line="2.0",
        conf=f"{CONF}listener 1884 127.0.0.1\n",
        acl="user bob\ntopic a/#\nuser ann\ntopic read a/#\n",
    )
    known, _ = known_passwords(wide.passwd, "2.0")
    adoption = adoption_of(wide)
    adoption = Adoption(settings=adoption.settings, hashes={}, remarks=())
    for line in known.split():
        adoption.hashes[line.partition(":")[0]] = line.partition(":")[2]

    image = fallback_image(SUITES["2.0"])
    texts = original_files(narrow, {**narrow.texts(), "passwd": known.partition("\n")[0]})
    with both_started(start, image, texts, adopted_files(adoption)) as (original, adopted):
        clients = [
            Client(user=name, password=f"password of {name}", client_id=name)
            for name in ("bob", "ann")
        ]
        found = compare(original, adopted, clients, ["a/b"], [("127.0.0.1", 1883)])

    assert found.gained == [
        "0.0.0.0 port 1883",
        "127.0.0.1 port 1884",
        "bob as 'bob' on port 1883 may publish 'a/b'",
        "ann as 'ann' on port 1883 logs in",
        "ann as 'ann' on port 1883 may receive 'a/b'",
    ]
    assert found.lost == []
