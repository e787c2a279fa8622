"""Passwords and hashes that the stack's secrets hold, held against the users that want them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from broker.passwd import check_hash
from broker.settings import PROJECT, Settings

LEAST = 16
"""Characters of a password that a person thought of."""

MOST = 10
"""Names that a sentence spells out."""

SECRETS = {"supplied": "passwords", "adopted": "hashes"}
"""The secret of the stack file that holds it, by what a user's ``password`` says."""


def problems(settings: Settings, secrets: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each thing to mend; none of them quotes a secret."""
    found: list[str] = []
    for kind, key in SECRETS.items():
        given = secrets.get(key, {})
        if not isinstance(given, Mapping):
            found.append(f"{PROJECT}:{key}: must be an object, one value for each user name")
            continue
        wanting = [name for name, user in settings.users.items() if user.password == kind]
        found += [
            f"{PROJECT}:users.{name}.password: {kind!r}: nothing is there. Set it: pulumi config "
            f"set --secret --path '{PROJECT}:{key}[\"{name}\"]'"
            for name in wanting
            if name not in given
        ]
        check = _password if kind == "supplied" else _hash
        for name in wanting:
            if name in given:
                found += [f"{PROJECT}:{key}.{name}: {rule}" for rule in check(given[name])]
    return found


def wanted(settings: Settings, secrets: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Return the secret of each user whose ``password`` is *kind*: no other one is used."""
    given = secrets.get(SECRETS[kind], {})
    return {name: given[name] for name, user in settings.users.items() if user.password == kind}


def leftovers(settings: Settings, secrets: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each secret that nobody uses any more."""
    for kind, key in SECRETS.items():
        if unused := sorted(set(secrets.get(key, {})) - set(wanted(settings, secrets, kind))):
            names = ", ".join(unused[:MOST]) + (" ..." if unused[MOST:] else "")
            yield f"{PROJECT}:{key}: nobody of password {kind!r} uses what is there for {names}."


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
