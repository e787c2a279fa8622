"""Certificates: revision, renewal, warnings, errors and outputs."""

import pytest
from declared import smallest

from broker.findings import one_line
from broker.host.facts import HostFacts
from broker.settings.stack_settings import Settings
from broker.tls.certificates import (
    FIRST,
    LOST,
    certificate_errors,
    certificate_notes,
    certificate_warnings,
    describe_certificates,
    due,
    iso_date,
    revision,
)

GIVEN = {"certificate": "/etc/ssl/mqtt.pem", "key": "/etc/ssl/mqtt.key"}


def errors(*given):
    return list(one_line(certificate_errors(*given)))


def warnings(*given):
    return list(one_line(certificate_warnings(*given)))


def notes(*given):
    return list(one_line(certificate_notes(*given)))


def broker_of(tls=None, protocol="mqtt"):
    listeners = {"mqtt": {"port": 1883, "bindAddress": "127.0.0.1"}}
    if tls is not None:
        listeners["secure"] = {"port": 8883, "protocol": protocol, "tls": tls}
    return Settings.parse(smallest(listeners=listeners)).broker


def facts_of(*lines):
    return HostFacts.parse("\n".join(lines))


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ((), "1"),
        (("applied certificates=never", "certificate secure=due there is none yet"), "1"),
        (("applied certificates=1", "certificate secure=ok"), "1"),
        (("applied certificates=4", "certificate secure=ok"), "4"),
        (("applied certificates=4", "certificate secure=due it ends soon"), "5"),
        (("applied certificates=4", "clientca secure=due it is another"), "5"),
        (("applied certificates=never 1764110000", f"certificate secure=due {FIRST}"), "1"),
        (("applied certificates=never 1764110000", "known admin=1 32"), "1764110000"),
        (
            ("applied certificates=never 1764110000", "container mosquitto-test=prod"),
            "1764110000",
        ),
    ],
)
def test_revision_rises_only_if_a_certificate_is_due(lines, number):
    assert revision(broker_of({}), facts_of(*lines)) == number


def test_unusable_file_is_an_error_with_path_value_and_fix():
    facts = facts_of(
        "certificate secure=wrong key is not the key of /etc/ssl/mqtt.pem; name another"
    )

    assert errors(broker_of(GIVEN), facts) == [
        "sentient-mqtt:broker.listeners.secure.tls.key: '/etc/ssl/mqtt.key': is not the key of "
        "/etc/ssl/mqtt.pem; name another."
    ]


def test_good_files_and_an_unprobed_host_have_no_errors():
    assert errors(broker_of(GIVEN), facts_of("certificate secure=ok")) == []
    assert errors(broker_of(GIVEN), facts_of()) == []


def test_openssl_is_required_only_with_tls():
    facts = facts_of("openssl -=absent")

    (line,) = errors(broker_of({}), facts)
    assert "apt-get install openssl" in line
    assert errors(broker_of(), facts) == []


def test_given_certificate_for_another_name_is_a_warning():
    def of(names):
        return warnings(broker_of(GIVEN), facts_of(f"names secure={names}"))

    assert of("x.example.org broker.example.org") == of("") == []
    (line,) = of("x.example.org 192.0.2.7")
    assert "is for x.example.org, 192.0.2.7, and not for broker.address" in line


def test_given_certificate_that_expires_soon_is_a_warning():
    (line,) = warnings(broker_of(GIVEN), facts_of("ends secure=Nov  4 10:15:55 2027 GMT"))

    assert (
        "'/etc/ssl/mqtt.pem': expires 2027-11-04T10:15:55Z. Put the renewed certificate there"
        in line
    )


@pytest.mark.parametrize(("protocol", "restarted"), [("mqtt", False), ("websockets", True)])
def test_renewal_note_says_whether_clients_are_disconnected(protocol, restarted):
    facts = facts_of("applied certificates=1", "certificate secure=due it ends soon")

    broker = broker_of({}, protocol)
    (line,) = notes(broker, facts)

    assert due(broker, facts) == {"secure": "it ends soon"}
    assert line.startswith("Listener secure gets a new certificate: it ends soon. A reload")
    assert ("restart" in line) is restarted


def test_first_certificates_are_no_renewal():
    facts = facts_of("applied certificates=never", "certificate secure=due there is none yet")

    assert notes(broker_of({}), facts) == []


def test_lost_ca_is_a_warning():
    facts = facts_of("applied certificates=4", f"certificate secure=due {LOST}")

    (line,) = warnings(broker_of({}), facts)

    assert "The stack's own CA is no longer on the host (/etc/sentient-mqtt/mosq" in line
    assert "Install the new CA on every client" in line
    assert revision(broker_of({}), facts) == "5"


def test_expiring_own_ca_is_a_warning_if_it_is_used():
    facts = facts_of("authority mosquitto-test=ends Nov  4 10:15:55 2035 GMT")

    (line,) = warnings(broker_of({}), facts)

    assert "The stack's own CA expires 2035-11-04T10:15:55Z, and with it every certificate" in line
    assert warnings(broker_of(GIVEN), facts) == []


def test_output_contains_fingerprints_expiry_and_ca():
    printed = (
        "certificate mqtts AB:CD Nov  4 10:15:55 2027 GMT\n"
        "certificate wss EF:01 Dec 31 00:00:00 2027 GMT\n"
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    )

    assert describe_certificates(printed) == {
        "listeners": {
            "mqtts": {"sha256": "AB:CD", "notAfter": "2027-11-04T10:15:55Z"},
            "wss": {"sha256": "EF:01", "notAfter": "2027-12-31T00:00:00Z"},
        },
        "ca": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    }


def test_output_without_own_ca_has_no_ca():
    assert "ca" not in describe_certificates("certificate mqtts AB Nov  4 10:15:55 2027 GMT\n")


def test_iso_date_returns_other_text_unchanged():
    assert iso_date("soon") == "soon"
