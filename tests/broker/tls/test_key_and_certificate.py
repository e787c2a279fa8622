"""Supplied certificates are checked before a deployment, and never quoted."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from declared import smallest

from broker.credentials.external_secrets import (
    external_certificates,
    secret_errors,
    secret_warnings,
)
from broker.findings import one_line
from broker.settings.stack_settings import Settings, SettingsError
from broker.tls.certificates import certificate_calls, certificate_probes
from broker.tls.key_and_certificate import covers

NOW = datetime(2027, 1, 31, tzinfo=UTC)


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key, passphrase=None, form=PrivateFormat.PKCS8):
    secrecy = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, secrecy).decode()


def certificate(subject, key, *, issuer=None, issuer_key=None, begins=-1, ends=90, names=()):
    def name(text):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    signer = issuer_key or key
    made = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer or subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=begins))
        .not_valid_after(NOW + timedelta(days=ends))
    )
    if names:
        hosts = x509.SubjectAlternativeName([x509.DNSName(host) for host in names])
        made = made.add_extension(hosts, critical=False)
    made = made.sign(
        signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    )
    return made.public_bytes(Encoding.PEM).decode()


KEY, CA_KEY = new_key(), new_key()
CA = certificate("ca", CA_KEY)
OWN = certificate("mqtt", KEY, issuer="ca", issuer_key=CA_KEY)


def settings(**tls):
    return Settings.parse(
        smallest(
            listeners={
                "mqtt": {"port": 1883, "bindAddress": "127.0.0.1"},
                "mqtts": {"port": 8883, "tls": {"certificate": "supplied", **tls}},
            }
        )
    )


def errors(*given):
    return list(one_line(secret_errors(*given)))


def warnings(*given):
    return list(one_line(secret_warnings(*given)))


def errors_of(text):
    return errors(settings(), {"certificates": {"mqtts": text}}, NOW)


@pytest.mark.parametrize(
    "text",
    [
        key_pem(KEY) + OWN,
        OWN + key_pem(KEY),
        key_pem(KEY) + OWN + CA,
        key_pem(KEY, form=PrivateFormat.TraditionalOpenSSL) + OWN,
        key_pem(rsa_key := rsa.generate_private_key(65537, 2048)) + certificate("r", rsa_key),
        key_pem(ed_key := ed25519.Ed25519PrivateKey.generate()) + certificate("e", ed_key),
    ],
)
def test_key_and_chain_are_accepted_in_any_order_and_of_any_type(text):
    assert errors_of(text) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (OWN, "holds no private key in PEM form"),
        (key_pem(KEY), "holds no certificate in PEM form"),
        (key_pem(KEY, b"secret") + OWN, "the key is encrypted"),
        (key_pem(CA_KEY) + OWN, "the key does not belong to the first certificate"),
        (key_pem(KEY) + CA + OWN, "the key does not belong to the first certificate"),
        (
            key_pem(KEY) + OWN + certificate("other", new_key()),
            "the certificate of CN=other did not sign the one before it",
        ),
        (
            key_pem(KEY) + certificate("late", KEY, begins=-9, ends=0),
            "the certificate of CN=late expired 2027-01-31T00:00:00Z",
        ),
        (
            key_pem(KEY) + certificate("early", KEY, begins=2),
            "the certificate of CN=early is not valid before 2027-02-02",
        ),
        (key_pem(KEY)[:80] + OWN, "holds no private key"),
        (key_pem(KEY) + OWN[:80], "holds no certificate"),
        ("\0" + key_pem(KEY) + OWN, "must be text"),
        (7, "must be text"),
    ],
)
def test_unusable_text_is_an_error_that_does_not_quote_it(text, rule):
    (message,) = errors_of(text)

    assert message.startswith(f"sentient-mqtt:certificates.mqtts: {rule}")
    assert "BEGIN " not in message.replace("-----BEGIN PRIVATE KEY-----", "").replace(
        "-----BEGIN CERTIFICATE-----", ""
    )


def test_missing_certificate_is_an_error_with_the_command_that_sets_it():
    (message,) = errors(settings(), {}, NOW)

    assert message.startswith("sentient-mqtt:broker.listeners.mqtts.tls.certificate: 'supplied': ")
    assert "pulumi config set --secret --path 'sentient-mqtt:certificates[\"mqtts\"]'" in message
    assert errors(settings(), {"certificates": "text"}, NOW) == [
        "sentient-mqtt:certificates: must be an object with one text per listener."
    ]


def test_expiring_or_unused_certificate_is_a_warning():
    soon = key_pem(KEY) + certificate("soon", KEY, ends=30)
    later = key_pem(KEY) + certificate("later", KEY, ends=31)

    assert list(warnings(settings(), {"certificates": {"mqtts": later}}, NOW)) == []
    assert list(warnings(settings(), {"certificates": {"mqtts": soon, "wss": soon}}, NOW)) == [
        "sentient-mqtt:certificates.mqtts: expires 2027-03-02T00:00:00Z. "
        "Set the renewed certificate.",
        "sentient-mqtt:certificates: unused: no listener with certificate 'supplied' is named wss.",
    ]


@pytest.mark.parametrize(
    ("names", "address", "covered"),
    [
        (["broker.example.org"], "broker.example.org", True),
        (["a", "BROKER.example.org."], "broker.example.org", True),
        (["*.example.org"], "broker.example.org", True),
        (["*.example.org"], "a.broker.example.org", False),
        (["*.org"], "org", False),
        (["other.example.org"], "broker.example.org", False),
        (["192.0.2.7"], "192.0.2.7", True),
        (["2001:DB8:0:0:0:0:0:1"], "2001:db8::1", True),
        (["*.0.2.7"], "192.0.2.7", False),
        ([], "broker.example.org", False),
    ],
)
def test_names_that_cover_an_address(names, address, covered):
    assert covers(names, address) is covered


def test_a_certificate_for_another_name_is_a_warning():
    def of(*names):
        text = key_pem(KEY) + certificate("mqtt", KEY, names=names)
        return list(warnings(settings(), {"certificates": {"mqtts": text}}, NOW))

    assert of("broker.example.org") == of("*.example.org", "x") == []
    (line,) = of("other.example.org", "x")
    assert line.startswith(
        "sentient-mqtt:certificates.mqtts: is for other.example.org, x, and not for "
        "broker.address (broker.example.org): clients that verify it refuse the broker."
    )


def test_certificate_text_is_on_stdin_and_no_file_is_probed():
    broker, text = settings().broker, key_pem(KEY) + OWN
    given = external_certificates(settings(), {"certificates": {"mqtts": text, "wss": "unused"}})

    *_, call = certificate_calls(broker, "unix:///s", given)

    assert given == {"mqtts": text}
    assert call.words == ("supplied", "mqtts", "127.0.0.1", "8883")
    assert call.text == text
    assert [call.words[0] for call in certificate_probes(broker)] == ["certificates"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"key": "/k.pem"}, "tls.key: '/k.pem': must not be set: it is in the secret"),
        ({"names": ["a.example"]}, "tls.names: "),
        ({"certificate": "suplied"}, "tls.certificate: 'suplied': "),
    ],
)
def test_contradicting_settings_are_rejected(more, message):
    with pytest.raises(SettingsError) as error:
        settings(**more)

    assert message in str(error.value)
