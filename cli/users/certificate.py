"""Issue a client certificate: the key is made here, the stack's CA signs on its host."""

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
from cli.deployment_state import require_up
from cli.errors import CommandError
from cli.run_on_host import image_for_root, require_success, run_scripts
from cli.stack import Stack
from cli.users.credentials import check_declared

CA = "ca"
"""Name of the file with the CA's certificate, without its suffix."""


def make_certificate(stack: Stack, user: str, days: int, out: Path) -> dict[str, str]:
    """
    Write a key, its certificate and the CA into *out*, mode 0600, and return their names.

    Raises:
        CommandError: nothing was written.

    """
    check_declared(user, stack)
    _require_stack_ca(stack)
    stem = _stem(user)
    key_file = out / f"{stem}.key"
    if key_file.exists():
        raise CommandError(f"--out {out}: {key_file.name} already exists; move it away first")
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
    """Return the name of the user's files without suffix; it differs from the CA's."""
    # Some file systems ignore case. No user name contains '=', so the name stays unique.
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
        CommandError: the host has no CA, or can't be reached.

    """
    folder = certificates_folder(stack.settings.broker)
    calls = [SignCertificate.sign(folder, days=days, request=pem)]
    result = run_scripts(
        stack,
        (HostScript.SIGN_CERTIFICATE,),
        calls,
        action="look",
        image=image_for_root(stack),
    )
    return require_success(stack, result).stdout


def _require_stack_ca(stack: Stack) -> None:
    """
    Return if a listener asks for client certificates of the stack's own CA.

    Raises:
        CommandError: none does.

    """
    listeners = stack.settings.broker.tls_listeners
    if not any(
        listener.tls is not None
        and listener.tls.requires_client_certificate
        and listener.tls.client_ca is None
        for listener in listeners.values()
    ):
        raise CommandError(
            f"{stack.file.name}: no listener asks for certificates of the stack's own CA. Set "
            "clientCertificates: required on a listener with tls."
        )


def _write(file: Path, content: bytes) -> None:
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as opened:
        opened.write(content)
