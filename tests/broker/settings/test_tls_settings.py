"""Settings of TLS, and the lines of mosquitto.conf that follow from them."""

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


def test_default_is_an_own_certificate_and_tls_1_2():
    assert block_of({}) == [
        "listener 8883",
        "protocol mqtt",
        "max_connections 1000",
        "certfile /mosquitto/config/tls/mqtts/pair.pem",
        "keyfile /mosquitto/config/tls/mqtts/pair.pem",
        "tls_version tlsv1.2",
    ]


def test_websockets_have_the_same_tls_options():
    lines = block_of({}, protocol="websockets")

    assert "protocol websockets" in lines
    assert lines[-1] == "tls_version tlsv1.2"


def test_minimum_version_1_3_is_an_error_for_websockets_of_2_0():
    """WebSocket listeners of Mosquitto 2.0 accept TLS 1.2 regardless."""
    newest = {"minimumVersion": "1.3"}
    assert block_of(newest)[-1] == "tls_version tlsv1.3"
    with pytest.raises(SettingsError, match=r"mqtts\.tls\.minimumVersion: '1\.3': .*2\.1"):
        block_of(newest, protocol="websockets")

    listeners = {"mqtt": PLAIN, "wss": {"port": 1, "protocol": "websockets", "tls": newest}}
    raw = smallest(listeners=listeners, image="eclipse-mosquitto:2.1.2")
    assert "tls_version tlsv1.3" in render_conf(Settings.parse(raw).broker)


@pytest.mark.parametrize(("identity", "word"), [(True, "true"), (False, "false")])
def test_client_certificates_can_be_required(identity, word):
    lines = block_of({"clientCertificates": "required", "identityAsUsername": identity})

    assert lines[-3:] == [
        "cafile /mosquitto/config/tls/mqtts/clients.pem",
        "require_certificate true",
        f"use_identity_as_username {word}",
    ]


def test_listener_without_tls_has_no_tls_options():
    text = render_conf(Settings.parse(smallest()).broker)

    assert not {"tls_version", "certfile", "cafile"} & set(text.split())


ERRORS = {
    "certificate alone": ({"certificate": "/a/b.pem"}, "certificate: '/a/b.pem': has no key"),
    "key alone": ({"key": "/a/b.key"}, "key: '/a/b.key': requires 'certificate'"),
    "ca alone": ({"ca": "/a/ca.pem"}, "ca: '/a/ca.pem': requires 'certificate'"),
    "a relative path": ({**GIVEN, "key": "b.key"}, "key: 'b.key': must be an absolute path"),
    "names of a given one": (
        {**GIVEN, "names": ["x.org"]},
        "names: .*a given one has its own names",
    ),
    "days of a given one": ({**GIVEN, "days": 30}, "days: 30: .*a given one has its own validity"),
    "an invalid name": ({"names": ["a b"]}, r"names\[0\]: 'a b': must be the host name"),
    "renewed by every up": ({"days": 30}, "renewBeforeDays: 30: must be less than days"),
    "old TLS": ({"minimumVersion": "1.1"}, "minimumVersion: '1.1': must be '1.2' or '1.3'"),
    "a number": ({"minimumVersion": 1.2}, "minimumVersion: 1.2: "),
    "identity without certificates": (
        {"identityAsUsername": True},
        "identityAsUsername: true: needs clientCertificates 'required'",
    ),
    "CA of clients without certificates": (
        {"clientCa": "/a/ca.pem"},
        "clientCa: '/a/ca.pem': needs clientCertificates 'required'",
    ),
    "an unknown key": ({"cert": "/x/y"}, "cert: unknown key"),
}


@pytest.mark.parametrize(("tls", "message"), ERRORS.values(), ids=ERRORS)
def test_error_is_one_line_with_path_value_and_rule(tls, message):
    with pytest.raises(
        SettingsError, match=rf"^sentient-mqtt:broker\.listeners\.mqtts\.tls\.{message}"
    ) as raised:
        broker_of(tls)
    assert "\n" not in str(raised.value)


def test_a_listener_without_tls_is_required_for_the_health_check():
    with pytest.raises(
        SettingsError, match=r"listeners: .*no tls.*bind that listener to 127\.0\.0\.1"
    ):
        Settings.parse(smallest(listeners={"mqtts": {"port": 8883, "tls": {}}}))


def test_plain_with_tls_is_an_error():
    with pytest.raises(SettingsError, match=r"mqtts\.plain: true: is for a listener without tls"):
        broker_of({}, plain=True)


def test_file_names_must_differ_from_the_certificate_folder():
    with pytest.raises(SettingsError, match=r"files: .*'tls'"):
        Settings.parse(smallest(files={"acl": "tls"}))


def test_urls_of_tls_listeners_have_the_schemes_mqtts_and_wss():
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
def test_env_file_has_the_first_listener_off_the_loopback(bound, scheme):
    raw = {"mqtt": {"port": 1883, "bindAddress": bound}, "mqtts": {"port": 8883, "tls": {}}}
    broker = Settings.parse(smallest(listeners=raw)).broker

    text = render_env(broker, broker.dialled_listener(), "sensor", "secret")

    assert text.startswith(f"MQTT_URL={scheme}://broker.example.org:")


def test_start_digest_depends_on_tls_protocol_settings_and_not_on_certificate_settings():
    digest = start_digest(broker_of({}))

    for tls in ({"minimumVersion": "1.3"}, {"clientCertificates": "required"}):
        assert start_digest(broker_of(tls)) != digest
    for tls in ({"days": 90}, {"names": ["mqtt.example.org"]}, GIVEN):
        assert start_digest(broker_of(tls)) == digest


NETWORK = {"allowFrom": ["192.168.0.0/16"]}
OPEN = {"port": 1883, **NETWORK}
SECURE = {"port": 8883, "tls": {}, **NETWORK}


def plain_listener_findings(**listeners):
    findings = guardrail_findings(Settings.parse(smallest(listeners=listeners)), "prod")
    return [
        finding.path.removeprefix("sentient-mqtt:")
        for finding in findings
        if "(guardrail plainListener)" in finding.message
    ]


def test_plain_listener_beside_tls_is_a_finding():
    assert plain_listener_findings(mqtt=OPEN, mqtts=SECURE) == ["broker.listeners.mqtt"]


@pytest.mark.parametrize("option", [{"plain": True}, {"bindAddress": "127.0.0.1"}], ids=str)
def test_confirmed_or_loopback_plain_listener_is_no_finding(option):
    assert plain_listener_findings(mqtt=OPEN | option, mqtts=SECURE) == []


def test_without_any_tls_a_plain_listener_is_no_finding():
    assert plain_listener_findings(mqtt=OPEN) == []


def test_env_file_names_the_ca_of_own_certificates_only():
    raw = smallest(
        listeners={"mqtt": PLAIN, "mqtts": SECURE, "public": {"port": 8884, "tls": GIVEN}},
        envFiles=[
            {"path": "/etc/a.env", "user": "sensor"},
            {"path": "/etc/b.env", "user": "sensor", "listener": "public"},
            {"path": "/etc/c.env", "user": "sensor", "listener": "mqtt"},
        ],
    )
    broker = Settings.parse(raw).broker

    texts = [host_env_file(broker, "prod", file, "sensor", "x").text for file in broker.env_files]

    assert "MQTT_CA=/etc/sentient-mqtt/mosquitto-test/ca.pem\n" in texts[0]
    assert "MQTT_URL=mqtts://broker.example.org:8883\n" in texts[0]
    assert "MQTT_CA" not in texts[1]
    assert "MQTT_CA" not in texts[2]


@pytest.mark.parametrize("by_certificate", [True, False])
def test_revoked_member_is_denied_in_the_acl_if_certificates_are_logins(by_certificate):
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


def test_password_listener_requires_no_client_certificate():
    listeners = {
        "mutual": {"port": 8884, "tls": {"clientCertificates": "required"}},
        "mqtt": {"port": 1883, "bindAddress": "127.0.0.1"},
        "mqtts": {"port": 8883, "tls": {}},
    }

    def port():
        return Settings.parse(smallest(listeners=listeners)).broker.password_listener().port

    assert port() == 8883
    del listeners["mqtts"]
    assert port() == 1883
