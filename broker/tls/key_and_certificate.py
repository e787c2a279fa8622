"""Check a key and its certificate chain in one PEM text (RFC 7468)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography import x509

# cryptography is imported inside the functions: loading it takes longer than most commands run,
# and most commands check no certificate.


def check_key_and_certificate(text: Any, now: datetime) -> None:
    """
    Check that the key belongs to the first certificate and that all certificates are valid now.

    Raises:
        ValueError: the text is unusable; the message quotes nothing of it.

    """
    if not isinstance(text, str) or "\0" in text:
        raise ValueError("must be text: the key and the certificates in PEM form")
    key, chain = _key(text), _certificates(text)
    if _public(key) != _public(chain[0].public_key()):
        raise ValueError(
            "the key does not belong to the first certificate; put the server's certificate first"
        )
    _check_chain(chain)
    _check_dates(chain, now)


def _key(text: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        return load_pem_private_key(text.encode(), password=None).public_key()
    except TypeError:
        raise ValueError(
            "the key is encrypted, and a broker can't ask for a passphrase; write it without "
            "one (openssl pkey -in key.pem -out ...)"
        ) from None
    except ValueError:
        raise ValueError("holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)") from None


def _certificates(text: str) -> list[x509.Certificate]:
    from cryptography import x509  # noqa: PLC0415

    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise ValueError("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)") from None


def _check_chain(chain: list[x509.Certificate]) -> None:
    for below, above in pairwise(chain):
        if above.subject != below.issuer:
            raise ValueError(
                f"the certificate of {above.subject.rfc4514_string()} did not sign the one before "
                "it; put the certificate of the issuer after each certificate"
            )


def _check_dates(chain: list[x509.Certificate], now: datetime) -> None:
    for certificate in chain:
        name = certificate.subject.rfc4514_string()
        if certificate.not_valid_after_utc <= now:
            raise ValueError(f"the certificate of {name} expired {_expiry(certificate)}")
        if certificate.not_valid_before_utc > now:
            begin = f"{certificate.not_valid_before_utc:%Y-%m-%d}"
            raise ValueError(f"the certificate of {name} is not valid before {begin}")


def ends_within(text: str, now: datetime, days: int) -> str:
    """Return when the first certificate expires (ISO 8601) if that is within *days*; else ''."""
    first = _certificates(text)[0]
    return _expiry(first) if first.not_valid_after_utc <= now + timedelta(days=days) else ""


def names_of(text: str) -> tuple[str, ...]:
    """Return the host names and IP addresses of the first certificate."""
    from cryptography import x509  # noqa: PLC0415

    first = _certificates(text)[0]
    try:
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = names.get_values_for_type(x509.DNSName)
    return (*hosts, *map(str, names.get_values_for_type(x509.IPAddress)))


def covers(names: Iterable[str], address: str) -> bool:
    """Return whether a certificate with *names* is one for *address* (RFC 9525)."""
    address = address.lower().rstrip(".")
    _, dot, parent = address.partition(".")
    wildcard = f"*{dot}{parent}" if dot and not _is_ip(address) else ""
    for name in names:
        if _is_ip(address):
            if _is_ip(name) and ip_address(name) == ip_address(address):
                return True
        elif name.lower().rstrip(".") in (address, wildcard):
            return True
    return False


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _expiry(certificate: x509.Certificate) -> str:
    return f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"


def _public(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
    )

    public: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public
