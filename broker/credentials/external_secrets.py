"""Passwords, hashes and certificates in the stack's secrets, held against what wants them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from broker.credentials.env_files import ONLY_THESE, misreaders, why_misread
from broker.credentials.password_ages import set_another
from broker.credentials.password_hashes import check_hash
from broker.findings import Finding, error, warning
from broker.settings.stack_settings import PROJECT, Settings
from broker.tls.key_and_certificate import check_key_and_certificate, ends_within

LEAST = 16
"""Characters of a password that a person thought of."""

MOST = 10
"""Names that a sentence spells out."""

SECRETS = {"supplied": "passwords", "adopted": "hashes"}
"""The secret of the stack file that holds it, by what a user's ``password`` says."""

PAIRS = "certificates"
"""The secret of the stack file that holds keys with their certificates, by listener."""

KEYS = (*SECRETS.values(), PAIRS)
"""What of a stack file is secret as a whole."""

_REPLACE = {
    "passwords": "Choose a new password",
    "hashes": "Give the user a new password",
    PAIRS: "Make a new key and its certificate",
}


def secrets_in_clear(values: Mapping[str, Any]) -> list[Finding]:
    """
    Return an error for each secret among *values* that is in clear; none of them quotes it.

    *values* are what a stack file has, by key without the project's name. There, what Pulumi
    encrypted is a mapping with ``secure`` alone, and an object set as one text is JSON.
    """
    found = []
    for key in KEYS:
        names = list(_names_in_clear(values.get(key)))
        found += [_clear(key, name) for name in names[:MOST]]
        if names[MOST:]:
            found.append(error(f"{PROJECT}:{key}", f"{len(names) - MOST} more are in clear"))
    return found


def _names_in_clear(value: Any) -> Iterator[str]:
    """Yield the names below a key of ``KEYS`` whose value is in clear; "" for the key itself."""
    encrypted = _is_encrypted(value)
    if isinstance(value, str):
        value = _decoded(value)
    if isinstance(value, Mapping) and not encrypted:
        yield from (str(name) for name, below in value.items() if _has_clear(below))
    elif _has_clear(value):
        yield ""


def _decoded(text: str) -> Any:
    """Return the object that *text* is as JSON, its values as text, which is in clear anyway."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    if not isinstance(found, Mapping):
        return found
    return {name: json.dumps(below) if below else "" for name, below in found.items()}


def _has_clear(value: Any) -> bool:
    if _is_encrypted(value):
        return False
    if isinstance(value, Mapping):
        return any(map(_has_clear, value.values()))
    if isinstance(value, list):
        return any(map(_has_clear, value))
    return value not in (None, "")


def _is_encrypted(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and list(value) == ["secure"]
        and isinstance(value["secure"], str)
    )


def _clear(key: str, name: str) -> Finding:
    path = f"{PROJECT}:{key}" + (f"[{json.dumps(name)}]" if name else '["NAME"]')
    command = f"pulumi config set --secret --path {shlex.quote(path)}"
    where = f"{PROJECT}:{key}.{name}" if name else f"{PROJECT}:{key}"
    return error(
        where,
        "is in clear in the stack file and must be a secret. Whoever reads the repository's "
        "history reads it there too",
        f"{_REPLACE[key]}, and store it with {command} (it reads the value from stdin).",
    )


def secret_errors(settings: Settings, secrets: Mapping[str, Any], now: datetime) -> list[Finding]:
    """Return an error for each secret that is missing or can't be used; none quotes a secret."""
    found = list(_pair_errors(settings, secrets.get(PAIRS, {}), now))
    for kind, key in SECRETS.items():
        given = secrets.get(key, {})
        if not isinstance(given, Mapping):
            found.append(
                error(f"{PROJECT}:{key}", "must be an object, one value for each user name")
            )
            continue
        wanting = [name for name, user in settings.users.items() if user.password == kind]
        found += [
            error(
                f"{PROJECT}:users.{name}.password",
                f"{kind!r}: nothing is there",
                f"Set it: pulumi config set --secret --path '{PROJECT}:{key}[\"{name}\"]'",
            )
            for name in wanting
            if name not in given
        ]
        check = _password if kind == "supplied" else _hash
        for name in wanting:
            if name in given:
                found += [error(f"{PROJECT}:{key}.{name}", rule) for rule in check(given[name])]
    found += _env_file_errors(settings, secrets)
    return found


def _env_file_errors(settings: Settings, secrets: Mapping[str, Any]) -> Iterator[Finding]:
    misread = misread_in_env_files(settings, secrets)
    for index, file in enumerate(settings.broker.env_files):
        if readers := misread.get(file.user):
            yield error(
                f"{PROJECT}:{SECRETS['supplied']}.{file.user}",
                f"{why_misread(readers)}, and broker.envFiles[{index}] writes it to {file.path}: "
                f"there it may hold {ONLY_THESE}",
                f"{set_another(file.user)}.",
            )


def misread_in_env_files(
    settings: Settings, secrets: Mapping[str, Any]
) -> dict[str, tuple[str, ...]]:
    """Return the users whose supplied password env files can't hold, and who would misread it."""
    given = secrets.get(SECRETS["supplied"], {})
    if not isinstance(given, Mapping):
        return {}
    found = {
        name: misreaders(given[name])
        for name, user in settings.users.items()
        # What else is wrong with one is said of it alone.
        if user.password == "supplied" and name in given and not [*_password(given[name])]  # noqa: S105 (a kind, no password)
    }
    return {name: readers for name, readers in found.items() if readers}


def _pair_errors(settings: Settings, given: Any, now: datetime) -> Iterator[Finding]:
    if not isinstance(given, Mapping):
        yield error(f"{PROJECT}:{PAIRS}", "must be an object, one text for each listener")
        return
    for name in _supplied(settings):
        if name not in given:
            yield error(
                f"{PROJECT}:broker.listeners.{name}.tls.certificate",
                "'supplied': nothing is there",
                "Set key and certificates: cat key.pem fullchain.pem | pulumi config set --secret "
                f"--path '{PROJECT}:{PAIRS}[\"{name}\"]'",
            )
            continue
        try:
            check_key_and_certificate(given[name], now)
        except ValueError as wrong:
            yield error(f"{PROJECT}:{PAIRS}.{name}", str(wrong))


def _supplied(settings: Settings) -> Iterator[str]:
    for name, each in settings.broker.tls_listeners.items():
        if each.tls is not None and each.tls.supplied:
            yield name


def pairs(settings: Settings, secrets: Mapping[str, Any]) -> dict[str, str]:
    """Return the text of each supplied certificate with its key, by listener."""
    return {name: secrets[PAIRS][name] for name in _supplied(settings)}


def required_secrets(settings: Settings, secrets: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Return the secret of each user whose ``password`` is *kind*: no other one is used."""
    given = secrets.get(SECRETS[kind], {})
    return {name: given[name] for name, user in settings.users.items() if user.password == kind}


def secret_warnings(
    settings: Settings, secrets: Mapping[str, Any], now: datetime
) -> Iterator[Finding]:
    """Yield a warning for each secret that is not used, not everywhere, or not for much longer."""
    for name, text in pairs(settings, secrets).items():
        tls = settings.broker.listeners[name].tls
        if tls is not None and (end := ends_within(text, now, tls.renew_before_days)):
            yield warning(f"{PROJECT}:{PAIRS}.{name}", f"ends {end}", "Set the renewed one.")
    if unused := sorted(set(secrets.get(PAIRS, {})) - set(_supplied(settings))):
        yield warning(
            f"{PROJECT}:{PAIRS}",
            f"no listener with certificate 'supplied' uses what is there for {', '.join(unused)}",
        )
    for name, readers in misread_in_env_files(settings, secrets).items():
        yield warning(
            f"{PROJECT}:{SECRETS['supplied']}.{name}",
            f"{why_misread(readers)}: the output 'envFiles' leaves the user out",
            f"To have it there, set one of {ONLY_THESE}.",
        )
    for kind, key in SECRETS.items():
        if unused := sorted(
            set(secrets.get(key, {})) - set(required_secrets(settings, secrets, kind))
        ):
            names = ", ".join(unused[:MOST]) + (" ..." if unused[MOST:] else "")
            yield warning(
                f"{PROJECT}:{key}", f"nobody of password {kind!r} uses what is there for {names}"
            )


def _password(text: Any) -> Iterator[str]:
    if not isinstance(text, str):
        yield "must be text; put it between quotes"
    elif len(text) < LEAST:
        yield f"has {len(text)} characters and must have {LEAST} at least"
    elif not text.isprintable() or text != text.strip():
        yield "must hold no control characters and begin and end with no space"


def _hash(text: Any) -> Iterator[str]:
    try:
        check_hash(text if isinstance(text, str) else "")
    except ValueError as wrong:
        yield str(wrong)
