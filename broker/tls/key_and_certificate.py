"""A key and its certificates in one PEM text (RFC 7468): whether a broker can serve them."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography import x509

# cryptography is imported where it is used: it takes longer to load than most commands take to
# answer, and they look at no certificate.


def check_pair(text: Any, now: datetime) -> None:
    """
    Pass a text whose key is the first certificate's, and whose certificates are all valid now.

    Raises:
        ValueError: what is wrong with it; nothing of it is quoted.

    """
    if not isinstance(text, str) or "\0" in text:
        raise ValueError("must be text: the key and the certificates in PEM form")
    key, chain = _key(text), _certificates(text)
    if _public(key) != _public(chain[0].public_key()):
        raise ValueError(
            "the key is not that of the first certificate; put the server's own one first"
        )
    _check_chain(chain)
    _check_dates(chain, now)


def _key(text: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        return load_pem_private_key(text.encode(), password=None).public_key()
    except TypeError:
        raise ValueError(
            "the key is encrypted, and a broker that starts can't ask for a passphrase; write it "
            "without (openssl pkey -in key.pem -out ...)"
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
                "it; each is followed by its issuer's"
            )


def _check_dates(chain: list[x509.Certificate], now: datetime) -> None:
    for each in chain:
        name = each.subject.rfc4514_string()
        if each.not_valid_after_utc <= now:
            raise ValueError(f"the certificate of {name} has expired: it ended {_when(each)}")
        if each.not_valid_before_utc > now:
            begins = f"{each.not_valid_before_utc:%Y-%m-%d}"
            raise ValueError(f"the certificate of {name} begins {begins} only")


def ends_within(text: str, now: datetime, days: int) -> str:
    """Return when the first certificate ends, as ISO 8601, if that is within *days*."""
    first = _certificates(text)[0]
    return _when(first) if first.not_valid_after_utc <= now + timedelta(days=days) else ""


def _when(certificate: x509.Certificate) -> str:
    return f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"


def _public(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
    )

    public: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public
