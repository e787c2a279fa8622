"""A client's certificate of the stack's own CA; its key is made here."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from broker.host.script_functions import SignCertificate
from broker.host.scripts import HostScript
from broker.tls.certificates import certificates_folder
from cli.credentials import check_declared
from cli.deployed import require_up
from cli.docker import image_for_root
from cli.refusals import Refusal
from cli.run_on_host import run_scripts
from cli.stack import Stack

CA = "ca"
"""The file of the CA's certificate, without its suffix."""


def make_certificate(stack: Stack, user: str, days: int, out: Path) -> dict[str, str]:
    """
    Write a key, its certificate and the CA into *out*, mode 0600, and return their names.

    Raises:
        Refusal: nothing was written.

    """
    check_declared(user, stack)
    _wanted(stack)
    stem = _stem(user)
    key_file = out / f"{stem}.key"
    if key_file.exists():
        raise Refusal(f"--out {out}: {key_file.name} is there already; move it away first")
    require_up(stack)
    key = ec.generate_private_key(ec.SECP256R1())
    signed = sign(stack, request(user, key), days)
    certificate, ca = x509.load_pem_x509_certificates(signed.encode())
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write(out / f"{stem}.pem", certificate.public_bytes(Encoding.PEM))
    _write(out / f"{CA}.pem", ca.public_bytes(Encoding.PEM))
    return {
        "key": f"{stem}.key",
        "certificate": f"{stem}.pem",
        "ca": f"{CA}.pem",
        "ends": f"{certificate.not_valid_after_utc:%Y-%m-%d}",
    }


def _stem(user: str) -> str:
    """Return what the user's files are named; not as the CA's, nor as any other user's."""
    # Some file systems take CA.pem for ca.pem. No user's name has a '='.
    return f"user={user}" if user.casefold() == CA else user


def request(user: str, key: ec.EllipticCurvePrivateKey) -> str:
    """Return a request (PKCS #10, RFC 2986) as PEM; the common name is the user."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, user)])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256())
    return made.public_bytes(Encoding.PEM).decode()


def sign(stack: Stack, pem: str, days: int) -> str:
    """
    Return the certificate for the request *pem*, then the CA's, both signed on the host.

    Raises:
        Refusal: the host has no CA, or can't be asked.

    """
    broker = stack.settings.broker
    calls = [SignCertificate.sign(certificates_folder(broker), days=days, request=pem)]
    image = image_for_root(stack)
    done = run_scripts(
        stack,
        (HostScript.SIGN_CERTIFICATE,),
        calls,
        action="look",
        become=broker.become,
        image=image,
    )
    if done.returncode:
        raise Refusal(f"host {stack.transport.host}: {done.stderr.strip()}")
    return done.stdout


def _wanted(stack: Stack) -> None:
    listeners = stack.settings.broker.tls_listeners
    if not any(
        each.tls is not None and each.tls.clients_named and each.tls.client_ca is None
        for each in listeners.values()
    ):
        raise Refusal(
            f"{stack.file.name}: no listener asks for certificates of the stack's own CA. On one "
            "with tls, say clientCertificates: required."
        )


def _write(file: Path, content: bytes) -> None:
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as opened:
        opened.write(content)
