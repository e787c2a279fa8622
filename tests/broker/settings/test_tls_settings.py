"""TLS as the stack file says it, and as mosquitto.conf then has it."""

import pytest
from declared import smallest

from broker.access.guardrails import guardrail_findings
from broker.credentials.env_files import endpoints, host_env_file, render_env
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.mosquitto_conf import render_conf
from broker.mosquitto.reload_or_replace import start_digest
from broker.settings.stack_settings import Settings, SettingsError

PLAIN = {"port": 1883, "bindAddress": "127.0.0.1"}
GIVEN = {"certificate": "/etc/ssl/mqtt.pem", "key": "/etc/ssl/private/mqtt.key"}


def broker_of(tls, **listener):
    listeners = {"mqtt": PLAIN, "mqtts": {"port": 8883, "tls": tls, **listener}}
    return Settings.parse(smallest(listeners=listeners)).broker


def block_of(tls, **listener):
    return render_conf(broker_of(tls, **listener)).split("\n\n")[-1].splitlines()


def test_nothing_said_is_a_certificate_and_tls_1_2():
    assert block_of({}) == [
        "listener 8883",
        "protocol mqtt",
        "max_connections 1000",
        "certfile /mosquitto/config/tls/mqtts/pair.pem",
        "keyfile /mosquitto/config/tls/mqtts/pair.pem",
        "tls_version tlsv1.2",
    ]


def test_websockets_are_encrypted_in_the_same_words():
    lines = block_of({}, protocol="websockets")

    assert "protocol websockets" in lines
    assert lines[-1] == "tls_version tlsv1.2"


def test_1_3_is_promised_only_where_it_is_kept():
    """The WebSockets of 2.0 speak 1.2 all the same."""
    newest = {"minimumVersion": "1.3"}
    assert block_of(newest)[-1] == "tls_version tlsv1.3"
    with pytest.raises(SettingsError, match=r"mqtts\.tls\.minimumVersion: '1\.3': .*2\.1"):
        block_of(newest, protocol="websockets")

    listeners = {"mqtt": PLAIN, "wss": {"port": 1, "protocol": "websockets", "tls": newest}}
    raw = smallest(listeners=listeners, image="eclipse-mosquitto:2.1.2")
    assert "tls_version tlsv1.3" in render_conf(Settings.parse(raw).broker)


@pytest.mark.parametrize(("identity", "word"), [(True, "true"), (False, "false")])
def test_clients_may_be_asked_for_certificates(identity, word):
    lines = block_of({"clientCertificates": "required", "identityAsUsername": identity})

    assert lines[-3:] == [
        "cafile /mosquitto/config/tls/mqtts/clients.pem",
        "require_certificate true",
        f"use_identity_as_username {word}",
    ]


def test_a_listener_without_tls_has_none_of_it():
    text = render_conf(Settings.parse(smallest()).broker)

    assert not {"tls_version", "certfile", "cafile"} & set(text.split())


SLIPS = {
    "certificate alone": ({"certificate": "/a/b.pem"}, "certificate: '/a/b.pem': has no key"),
    "key alone": ({"key": "/a/b.key"}, "key: '/a/b.key': belongs to a certificate"),
    "ca alone": ({"ca": "/a/ca.pem"}, "ca: '/a/ca.pem': belongs to a certificate"),
    "a relative path": ({**GIVEN, "key": "b.key"}, "key: 'b.key': must be an absolute path"),
    "names of a given one": ({**GIVEN, "names": ["x.org"]}, "names: .*a given one has its own"),
    "days of a given one": ({**GIVEN, "days": 30}, "days: 30: .*a given one ends when it says"),
    "a name that is none": ({"names": ["a b"]}, r"names\[0\]: 'a b': must be a host name"),
    "renewed at once": ({"days": 30}, "renewBeforeDays: 30: must be less than days"),
    "old TLS": ({"minimumVersion": "1.1"}, "minimumVersion: '1.1': must be '1.2' or '1.3'"),
    "a number": ({"minimumVersion": 1.2}, "minimumVersion: 1.2: "),
    "identity without certificates": (
        {"identityAsUsername": True},
        "identityAsUsername: true: needs clientCertificates 'required'",
    ),
    "their CA without certificates": (
        {"clientCa": "/a/ca.pem"},
        "clientCa: '/a/ca.pem': needs clientCertificates 'required'",
    ),
    "an unknown key": ({"cert": "/x/y"}, "cert: unknown key"),
}


@pytest.mark.parametrize(("tls", "said"), SLIPS.values(), ids=SLIPS)
def test_a_slip_is_one_line_that_names_it(tls, said):
    with pytest.raises(
        SettingsError, match=rf"^sentient-mqtt:broker\.listeners\.mqtts\.tls\.{said}"
    ) as told:
        broker_of(tls)
    assert "\n" not in str(told.value)


def test_the_health_check_needs_a_listener_without_tls():
    with pytest.raises(SettingsError, match=r"listeners: .*no tls.*bind it to 127\.0\.0\.1"):
        Settings.parse(smallest(listeners={"mqtts": {"port": 8883, "tls": {}}}))


def test_plain_and_tls_at_once_is_a_contradiction():
    with pytest.raises(SettingsError, match=r"mqtts\.plain: true: a listener with tls is not"):
        broker_of({}, plain=True)


def test_no_file_of_ours_may_take_the_folder_of_the_certificates():
    with pytest.raises(SettingsError, match=r"files: .*'tls'"):
        Settings.parse(smallest(files={"acl": "tls"}))


def test_urls_say_that_they_are_encrypted():
    listeners = {
        "mqtt": PLAIN,
        "mqtts": {"port": 8883, "tls": {}},
        "wss": {"port": 9443, "protocol": "websockets", "tls": {}},
    }

    assert endpoints(Settings.parse(smallest(listeners=listeners)).broker) == {
        "mqtt": "mqtt://broker.example.org:1883",
        "mqtts": "mqtts://broker.example.org:8883",
        "wss": "wss://broker.example.org:9443",
    }


@pytest.mark.parametrize(("bound", "scheme"), [("127.0.0.1", "mqtts"), ("0.0.0.0", "mqtt")])
def test_clients_are_told_the_first_listener_that_they_can_reach(bound, scheme):
    raw = {"mqtt": {"port": 1883, "bindAddress": bound}, "mqtts": {"port": 8883, "tls": {}}}
    broker = Settings.parse(smallest(listeners=raw)).broker

    text = render_env(broker, broker.dialled_listener(), "sensor", "secret")

    assert text.startswith(f"MQTT_URL={scheme}://broker.example.org:")


def test_how_tls_is_spoken_needs_a_start_and_how_long_a_certificate_lasts_does_not():
    digest = start_digest(broker_of({}))

    for tls in ({"minimumVersion": "1.3"}, {"clientCertificates": "required"}):
        assert start_digest(broker_of(tls)) != digest
    for tls in ({"days": 90}, {"names": ["mqtt.example.org"]}, GIVEN):
        assert start_digest(broker_of(tls)) == digest


NETWORK = {"allowFrom": ["192.168.0.0/16"]}
OPEN = {"port": 1883, **NETWORK}
SECURE = {"port": 8883, "tls": {}, **NETWORK}


def spoken(**listeners):
    found = guardrail_findings(Settings.parse(smallest(listeners=listeners)), "prod")
    return [
        finding.path.removeprefix("sentient-mqtt:")
        for finding in found
        if "(guardrail plainListener)" in finding.message
    ]


def test_a_plain_listener_beside_tls_is_a_slip():
    assert spoken(mqtt=OPEN, mqtts=SECURE) == ["broker.listeners.mqtt"]


@pytest.mark.parametrize("meant", [{"plain": True}, {"bindAddress": "127.0.0.1"}], ids=str)
def test_unless_it_is_meant_or_stays_on_the_host(meant):
    assert spoken(mqtt=OPEN | meant, mqtts=SECURE) == []


def test_where_nobody_has_tls_nothing_is_said():
    assert spoken(mqtt=OPEN) == []


def test_an_env_file_on_the_host_names_the_ca_that_is_there():
    raw = smallest(
        listeners={"mqtt": PLAIN, "mqtts": SECURE, "given": {"port": 8884, "tls": GIVEN}},
        envFiles=[
            {"path": "/etc/a.env", "user": "sensor"},
            {"path": "/etc/b.env", "user": "sensor", "listener": "given"},
            {"path": "/etc/c.env", "user": "sensor", "listener": "mqtt"},
        ],
    )
    broker = Settings.parse(raw).broker

    texts = [host_env_file(broker, "prod", each, "sensor", "x").text for each in broker.env_files]

    assert "MQTT_CA=/etc/sentient-mqtt/mosquitto-test/ca.pem\n" in texts[0]
    assert "MQTT_URL=mqtts://broker.example.org:8883\n" in texts[0]
    assert "MQTT_CA" not in texts[1]
    assert "MQTT_CA" not in texts[2]


@pytest.mark.parametrize("by_certificate", [True, False])
def test_a_revoked_member_is_denied_by_name_where_a_certificate_is_the_login(by_certificate):
    tls = {"clientCertificates": "required", "identityAsUsername": by_certificate}
    raw = smallest(listeners={"mqtt": PLAIN, "mqtts": {"port": 8883, "tls": tls}})
    raw["fleets"] = {
        "teensy": {
            "names": ["t-1", "t-2"],
            "write": ["a/%u/#"],
            "overrides": {"t-2": {"revoked": True}},
        }
    }

    acl = render_acl(Settings.parse(raw))

    denied = "# Revoked\nuser t-2\ntopic deny #\ntopic deny $SYS/#\n"
    assert (denied in acl) is by_certificate
    assert "t-1" not in acl


def test_passwords_are_asked_for_where_no_certificate_is():
    listeners = {
        "mutual": {"port": 8884, "tls": {"clientCertificates": "required"}},
        "mqtt": {"port": 1883, "bindAddress": "127.0.0.1"},
        "mqtts": {"port": 8883, "tls": {}},
    }
    parse = lambda raw: Settings.parse(smallest(listeners=raw)).broker.password_listener().port  # noqa: E731

    assert parse(listeners) == 8883
    del listeners["mqtts"]
    assert parse(listeners) == 1883
