"""Clients of commands trust the stack's CA only if the stack issued the certificate."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from declared import smallest

from broker.settings.stack_settings import Settings
from cli.mqtt_client import tls_context

EXTERNAL = {"certificate": "/c.pem", "key": "/k.pem"}
SYSTEM = ssl.create_default_context().cert_store_stats()


@pytest.fixture(scope="module")
def ca():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the stack's CA")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("tls", "trusted"), [({}, {"x509": 1, "crl": 0, "x509_ca": 1}), (EXTERNAL, SYSTEM)]
)
def test_an_external_certificate_is_verified_with_the_system_cas(ca, tls, trusted):
    listeners = {
        "mqtt": {"port": 1883, "bindAddress": "127.0.0.1"},
        "mqtts": {"port": 8883, "tls": tls},
    }
    listener = Settings.parse(smallest(listeners=listeners)).broker.listeners["mqtts"]
    assert tls_context(listener, ca).cert_store_stats() == trusted
