"""Passwords, hashes and certificates in the stack file's secrets: findings and selection."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from broker.credentials.env_files import SAFE_CHARACTERS, misreaders, why_misread
from broker.credentials.password_ages import set_password_fix
from broker.credentials.password_hashes import check_hash
from broker.findings import Finding, error, warning
from broker.mosquitto.release_line import ReleaseLine, release_line
from broker.settings.stack_settings import PROJECT, Settings
from broker.tls.key_and_certificate import (
    check_key_and_certificate,
    covers,
    ends_within,
    names_of,
)

MIN_PASSWORD_LENGTH = 16
"""Minimum length of a password that a person chose."""

MAX_NAMES = 10
"""Maximum number of names in a message."""

SECRETS = {"supplied": "passwords", "adopted": "hashes"}
"""The key of the stack file that holds a user's secret, by the user's ``password`` setting."""

CERTIFICATES = "certificates"
"""The key of the stack file that holds private keys with their certificates, by listener."""

KEYS = (*SECRETS.values(), CERTIFICATES)
"""The keys of the stack file whose values must be secrets."""

_REPLACE = {
    "passwords": "Choose a new password",
    "hashes": "Give the user a new password",
    CERTIFICATES: "Create a new key and certificate",
}


def secrets_in_clear(values: Mapping[str, Any]) -> list[Finding]:
    """
    Return an error for each secret among *values* that is in plain text, without quoting it.

    *values* are the values of a stack file, by key without the project's name. A value that Pulumi
    encrypted is a mapping with the only key ``secure``. An object that was set as a single text is
    JSON.
    """
    findings = []
    for key in KEYS:
        names = list(_plain_text_names(values.get(key)))
        findings += [_plain_text_error(key, name) for name in names[:MAX_NAMES]]
        if names[MAX_NAMES:]:
            more = len(names) - MAX_NAMES
            findings.append(error(f"{PROJECT}:{key}", f"{more} more are in plain text"))
    return findings


def _plain_text_names(value: Any) -> Iterator[str]:
    """Yield the names below a key of ``KEYS`` with a value in plain text; "" for the key itself."""
    encrypted = _is_encrypted(value)
    if isinstance(value, str):
        value = _decoded(value)
    if isinstance(value, Mapping) and not encrypted:
        yield from (str(name) for name, item in value.items() if _has_plain_text(item))
    elif _has_plain_text(value):
        yield ""


def _decoded(text: str) -> Any:
    """
    Return the value of *text* as JSON, or *text* itself if it is not JSON.

    The values of an object are returned as text: in JSON, even ``secure`` is plain text.
    """
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if not isinstance(value, Mapping):
        return value
    return {name: json.dumps(item) if item else "" for name, item in value.items()}


def _has_plain_text(value: Any) -> bool:
    if _is_encrypted(value):
        return False
    if isinstance(value, Mapping):
        return any(map(_has_plain_text, value.values()))
    if isinstance(value, list):
        return any(map(_has_plain_text, value))
    return value not in (None, "")


def _is_encrypted(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and list(value) == ["secure"]
        and isinstance(value["secure"], str)
    )


def _plain_text_error(key: str, name: str) -> Finding:
    config_path = f"{PROJECT}:{key}" + (f"[{json.dumps(name)}]" if name else '["NAME"]')
    command = f"pulumi config set --secret --path {shlex.quote(config_path)}"
    return error(
        f"{PROJECT}:{key}.{name}" if name else f"{PROJECT}:{key}",
        "is in plain text in the stack file and must be a secret. The repository's history may "
        "contain it, too",
        f"{_REPLACE[key]}, and store it with {command} (it reads the value from stdin).",
    )


def secret_errors(settings: Settings, secrets: Mapping[str, Any], now: datetime) -> list[Finding]:
    """Return an error for each secret that is missing or invalid, without quoting secrets."""
    findings = list(_certificate_errors(settings, secrets.get(CERTIFICATES, {}), now))
    for kind, key in SECRETS.items():
        values = secrets.get(key, {})
        if not isinstance(values, Mapping):
            findings.append(
                error(f"{PROJECT}:{key}", "must be an object with one value per user name")
            )
            continue
        users = [name for name, user in settings.users.items() if user.password == kind]
        findings += [
            error(
                f"{PROJECT}:users.{name}.password",
                f"{kind!r}: the secret is missing",
                f"Set it: pulumi config set --secret --path '{PROJECT}:{key}[\"{name}\"]'",
            )
            for name in users
            if name not in values
        ]
        for name in users:
            if name in values:
                rules = (
                    _password_rules(values[name])
                    if kind == "supplied"
                    else _hash_rules(values[name], release_line(settings.broker.image))
                )
                findings += [error(f"{PROJECT}:{key}.{name}", rule) for rule in rules]
    findings += _env_file_errors(settings, secrets)
    return findings


def _env_file_errors(settings: Settings, secrets: Mapping[str, Any]) -> Iterator[Finding]:
    misread = misread_in_env_files(settings, secrets)
    for index, file in enumerate(settings.broker.env_files):
        if readers := misread.get(file.user):
            yield error(
                f"{PROJECT}:{SECRETS['supplied']}.{file.user}",
                f"{why_misread(readers)}, and broker.envFiles[{index}] writes it to {file.path}, "
                f"where it may contain only {SAFE_CHARACTERS}",
                f"{set_password_fix(file.user)}.",
            )


def misread_in_env_files(
    settings: Settings, secrets: Mapping[str, Any]
) -> dict[str, tuple[str, ...]]:
    """Return the users whose external password can't be in an env file, and its misreaders."""
    values = secrets.get(SECRETS["supplied"], {})
    if not isinstance(values, Mapping):
        return {}
    readers_by_user = {
        name: misreaders(values[name])
        for name, user in settings.users.items()
        # A password that violates another rule is reported for that rule only.
        if user.password == "supplied" and name in values and not [*_password_rules(values[name])]  # noqa: S105 (a kind, no password)
    }
    return {name: readers for name, readers in readers_by_user.items() if readers}


def _certificate_errors(settings: Settings, values: Any, now: datetime) -> Iterator[Finding]:
    if not isinstance(values, Mapping):
        yield error(f"{PROJECT}:{CERTIFICATES}", "must be an object with one text per listener")
        return
    for name in _external_certificate_listeners(settings):
        if name not in values:
            yield error(
                f"{PROJECT}:broker.listeners.{name}.tls.certificate",
                "'supplied': the secret is missing",
                "Set key and certificates: cat key.pem fullchain.pem | pulumi config set --secret "
                f"--path '{PROJECT}:{CERTIFICATES}[\"{name}\"]'",
            )
            continue
        try:
            check_key_and_certificate(values[name], now)
        except ValueError as invalid:
            yield error(f"{PROJECT}:{CERTIFICATES}.{name}", str(invalid))


def _external_certificate_listeners(settings: Settings) -> Iterator[str]:
    for name, listener in settings.broker.tls_listeners.items():
        if listener.tls is not None and listener.tls.external:
            yield name


def external_certificates(settings: Settings, secrets: Mapping[str, Any]) -> dict[str, str]:
    """Return the PEM text of each external certificate with its key, by listener."""
    names = _external_certificate_listeners(settings)
    return {name: secrets[CERTIFICATES][name] for name in names}


def required_secrets(settings: Settings, secrets: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Return the secrets of the users whose ``password`` is *kind*, by name."""
    values = secrets.get(SECRETS[kind], {})
    return {name: values[name] for name, user in settings.users.items() if user.password == kind}


def secret_warnings(
    settings: Settings, secrets: Mapping[str, Any], now: datetime
) -> Iterator[Finding]:
    """Yield a warning for each secret that is unused, omitted from an output or about to expire."""
    for name, text in external_certificates(settings, secrets).items():
        tls = settings.broker.listeners[name].tls
        if tls is not None and (end := ends_within(text, now, tls.renew_before_days)):
            yield warning(
                f"{PROJECT}:{CERTIFICATES}.{name}",
                f"expires {end}",
                "Set the renewed certificate.",
            )
        if (hosts := names_of(text)) and not covers(hosts, settings.broker.address):
            yield warning(
                f"{PROJECT}:{CERTIFICATES}.{name}",
                f"is for {', '.join(hosts)}, and not for broker.address "
                f"({settings.broker.address}): clients that verify it refuse the broker",
                "Set broker.address to one of its names, or a certificate for the address.",
            )
    used = set(_external_certificate_listeners(settings))
    if unused := sorted(set(secrets.get(CERTIFICATES, {})) - used):
        yield warning(
            f"{PROJECT}:{CERTIFICATES}",
            f"unused: no listener with certificate 'supplied' is named {' or '.join(unused)}",
        )
    for name, readers in misread_in_env_files(settings, secrets).items():
        yield warning(
            f"{PROJECT}:{SECRETS['supplied']}.{name}",
            f"{why_misread(readers)}: the output 'envFiles' omits the user",
            f"To include the user, set a password of {SAFE_CHARACTERS}.",
        )
    for kind, key in SECRETS.items():
        if unused := sorted(
            set(secrets.get(key, {})) - set(required_secrets(settings, secrets, kind))
        ):
            names = ", ".join(unused[:MAX_NAMES]) + (" ..." if unused[MAX_NAMES:] else "")
            yield warning(
                f"{PROJECT}:{key}",
                f"unused, as no user with password {kind!r} has the name: {names}",
            )


def _password_rules(text: Any) -> Iterator[str]:
    """Yield the rules that a password violates."""
    if not isinstance(text, str):
        yield "must be text; put it in quotes"
    elif len(text) < MIN_PASSWORD_LENGTH:
        yield f"has {len(text)} characters and must have at least {MIN_PASSWORD_LENGTH}"
    elif not text.isprintable() or text != text.strip():
        yield "must not contain control characters, nor begin or end with a space"


def _hash_rules(text: Any, line: ReleaseLine) -> Iterator[str]:
    """Yield the rule that a hash violates, if any."""
    try:
        check_hash(text if isinstance(text, str) else "", line)
    except ValueError as invalid:
        yield str(invalid)
