"""Issue a client certificate: the key is made here, the stack's CA signs on its host."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from broker.host.script_functions import SignCertificate
from broker.host.scripts import HostScript
from broker.logs.log_parser import CHECK
from broker.tls.certificates import certificates_folder
from cli.deployment_state import require_up
from cli.errors import CommandError
from cli.mqtt_client import ConnectionEndedError, MqttClient, NoAnswerError, UnreachableError
from cli.run_on_host import image_for_root, require_success, run_scripts
from cli.stack import Stack
from cli.users.credentials import check_declared

CA = "ca"
"""Name of the file with the CA's certificate, without its suffix."""


def make_certificate(stack: Stack, user: str, days: int, out: Path) -> dict[str, str]:
    """
    Write a key, its certificate and the CA into *out*, mode 0600, and return their names.

    The last step is a connection with them.

    Raises:
        CommandError: nothing was written, or the broker refuses the certificate.

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
    _require_issued(certificate, ca, user, key)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write(out / f"{stem}.pem", certificate.public_bytes(Encoding.PEM))
    _write(out / f"{CA}.pem", ca.public_bytes(Encoding.PEM))
    tried = try_certificate(stack, user, (out / f"{stem}.pem", key_file), out / f"{CA}.pem")
    return {
        "tried": tried,
        "key": f"{stem}.key",
        "certificate": f"{stem}.pem",
        "ca": f"{CA}.pem",
        "ends": f"{certificate.not_valid_after_utc:%Y-%m-%d}",
    }


def _require_issued(
    certificate: x509.Certificate, ca: x509.Certificate, user: str, key: ec.EllipticCurvePrivateKey
) -> None:
    """
    Return if the host returned a certificate of *ca* for *user* and *key*.

    Raises:
        CommandError: it did not; nothing was written.

    """
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise CommandError(f"the host's certificate is not signed by its CA: {error}") from None
    if [name.value for name in names] != [user]:
        raise CommandError("the host's certificate is for another user; nothing was written")
    if certificate.public_key() != key.public_key():
        raise CommandError("the host's certificate is for another key; nothing was written")


def try_certificate(stack: Stack, user: str, files: tuple[Path, Path], ca: Path) -> str:
    """
    Connect with the certificate to each listener that asks for one, and return what was seen.

    Raises:
        CommandError: a listener does not accept it.

    """
    broker = stack.settings.broker
    answers: list[str] = []
    for listener in broker.tls_listeners.values():
        tls = listener.tls
        if tls is None or not tls.requires_client_certificate or tls.client_ca is not None:
            continue
        client = MqttClient(
            broker,
            listener,
            None,
            ca.read_text(encoding="utf-8"),
            client_id=f"{CHECK}{secrets.token_hex(8)}",
            certificate=files,
        )
        try:
            code = client.connect()
        except (UnreachableError, NoAnswerError, ConnectionEndedError) as error:
            # Of TLS 1.3, the broker's alert arrives after the handshake.
            if isinstance(error, ConnectionEndedError) or "SSL" in str(error):
                raise CommandError(
                    f"the files are written, but the broker refuses the certificate: {error}"
                ) from None
            answers.append(f"not tried: {error}")
            continue
        client.close()
        if tls.identity_as_username and code.is_failure:
            raise CommandError(
                f"the files are written, but {client.url} refuses the login of {user!r}: {code}"
            )
        seen = "logged in" if tls.identity_as_username else "accepts the certificate"
        answers.append(f"{client.url}: {seen}")
    return "; ".join(answers)


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
