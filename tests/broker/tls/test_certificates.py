"""What a look at the host makes of certificates: nothing to do, a renewal, or one clear error."""

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


def seen(*lines):
    return HostFacts.parse("\n".join(lines))


@pytest.mark.parametrize(
    ("facts", "number"),
    [
        ((), "1"),
        (("certificates mosquitto-test=never", "certificate secure=due there is none yet"), "1"),
        (("certificates mosquitto-test=1", "certificate secure=ok"), "1"),
        (("certificates mosquitto-test=4", "certificate secure=ok"), "4"),
        (("certificates mosquitto-test=4", "certificate secure=due it ends soon"), "5"),
        (("certificates mosquitto-test=4", "clientca secure=due it is another"), "5"),
        (("certificates mosquitto-test=never 1764110000", f"certificate secure=due {FIRST}"), "1"),
        (("certificates mosquitto-test=never 1764110000", "known admin=1 32"), "1764110000"),
        (
            ("certificates mosquitto-test=never 1764110000", "container mosquitto-test=prod"),
            "1764110000",
        ),
    ],
)
def test_the_number_rises_when_one_is_due_and_stays_when_none_is(facts, number):
    assert revision(broker_of({}), seen(*facts)) == number


def test_a_bad_file_is_one_line_with_its_path_value_and_way_out():
    look = seen("certificate secure=wrong key is not the key of /etc/ssl/mqtt.pem; name another")

    assert errors(broker_of(GIVEN), look) == [
        "sentient-mqtt:broker.listeners.secure.tls.key: '/etc/ssl/mqtt.key': is not the key of "
        "/etc/ssl/mqtt.pem; name another."
    ]


def test_good_files_or_a_host_that_nobody_looked_at_are_no_problem():
    assert errors(broker_of(GIVEN), seen("certificate secure=ok")) == []
    assert errors(broker_of(GIVEN), seen()) == []


def test_openssl_is_asked_for_only_where_there_is_tls():
    look = seen("openssl -=absent")

    (line,) = errors(broker_of({}), look)
    assert "apt-get install openssl" in line
    assert errors(broker_of(), look) == []


def test_a_given_certificate_that_ends_soon_is_a_warning():
    (line,) = warnings(broker_of(GIVEN), seen("ends secure=Nov  4 10:15:55 2027 GMT"))

    assert "'/etc/ssl/mqtt.pem': ends 2027-11-04T10:15:55Z. Put the renewed one there" in line


@pytest.mark.parametrize(("protocol", "restarted"), [("mqtt", False), ("websockets", True)])
def test_a_preview_says_who_notices_a_renewal(protocol, restarted):
    look = seen("certificates mosquitto-test=1", "certificate secure=due it ends soon")

    broker = broker_of({}, protocol)
    (line,) = notes(broker, look)

    assert due(broker, look) == {"secure": "it ends soon"}
    assert line.startswith("Listener secure gets another certificate: it ends soon. A reload")
    assert ("restart" in line) is restarted


def test_the_first_ones_are_no_renewal():
    look = seen("certificates mosquitto-test=never", "certificate secure=due there is none yet")

    assert notes(broker_of({}), look) == []


def test_a_ca_that_was_lost_is_a_warning_and_says_who_must_be_told():
    look = seen("certificates mosquitto-test=4", f"certificate secure=due {LOST}")

    (line,) = warnings(broker_of({}), look)

    assert "The stack's own CA is not on the host any more (/etc/sentient-mqtt/mosq" in line
    assert "Give it to every client" in line
    assert revision(broker_of({}), look) == "5"


def test_the_end_of_the_own_ca_is_a_warning_where_it_is_used():
    look = seen("authority mosquitto-test=ends Nov  4 10:15:55 2035 GMT")

    (line,) = warnings(broker_of({}), look)

    assert "The stack's own CA ends 2035-11-04T10:15:55Z, and no certificate lasts longer" in line
    assert warnings(broker_of(GIVEN), look) == []


def test_the_output_has_fingerprints_ends_and_the_ca():
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


def test_without_an_own_ca_there_is_none_in_the_output():
    assert "ca" not in describe_certificates("certificate mqtts AB Nov  4 10:15:55 2027 GMT\n")


def test_words_that_are_no_date_stay_as_they_are():
    assert iso_date("soon") == "soon"
