"""Ages of passwords: when they were rotated, and warnings about old ones."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping
from gzip import decompress

from broker.credentials.logins import logins_of
from broker.findings import Finding, warning
from broker.settings.stack_settings import PROJECT, Settings


def generations(settings: Settings) -> dict[str, str]:
    """
    Return the generation of everything that can be rotated, by name without spaces.

    A fleet is named ``fleet.KIND``. Members with a generation of their own are listed as well.
    """
    result = {name: user.generation for name, user in settings.users.items()}
    for kind, fleet in settings.fleets.items():
        result[f"fleet.{kind}"] = fleet.generation
        result |= {
            member: generation
            for member, generation in fleet.admitted.items()
            if generation != fleet.generation
        }
    return result | {settings.broker.health.user: settings.broker.health.generation}


def read_rotations(text: str) -> dict[str, str]:
    """
    Parse the output of ``host/commands/password_ages.sh`` to times by name.

    It has lines of ``NAME GENERATION TIME``; a long output is compressed.
    """
    kind, _, packed = text.partition(" ")
    if kind == "gzip":
        text = decompress(b64decode(packed)).decode()
    return {words[0]: words[2] for words in map(str.split, text.splitlines())}


def describe_rotations(settings: Settings, times: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return generation and rotation time by name; with an overlap also the active login."""
    described: dict[str, dict[str, str]] = {}
    for name, generation in generations(settings).items():
        described[name] = {"generation": generation, "rotatedAt": times.get(name, "")}
        user = settings.users.get(name)
        if user is not None and user.rotation == "overlap":
            active = logins_of(name, user)[0]
            described[name] |= {"slot": active.slot, "login": active.name}
    return described


def rotation_fixes(settings: Settings) -> dict[str, str]:
    """Return the fix for an old password, by name."""
    fixes = {name: f"Rotate it: ./brokerctl rotate {name}" for name in generations(settings)}
    fixes |= {
        f"fleet.{kind}": f"Rotate it: ./brokerctl rotate {kind}"
        for kind in settings.fleets
        if kind not in settings.users
    }
    fixes |= {
        name: set_password_fix(name)
        for name, user in settings.users.items()
        if user.password == "supplied"  # noqa: S105 (a kind, no password)
    }
    return fixes | {settings.broker.health.user: "Change broker.health.generation"}


def set_password_fix(user: str) -> str:
    """Return how to set another external password for *user*."""
    return (
        "Set another password: "
        f"pulumi config set --secret --path '{PROJECT}:passwords[\"{user}\"]'; "
        f"and change users.{user}.generation, so that its age is recorded and a preview lists the "
        "clients that it disconnects"
    )


def old_passwords(
    ages: Mapping[str, int], max_age_days: int, fixes: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield a warning for each password in *fixes* that is older than *max_age_days*."""
    for name, days in ages.items():
        if days > max_age_days and name in fixes:
            yield warning(
                "",
                f"The password of {name} is {days} days old; broker.passwords.maxAgeDays is "
                f"{max_age_days}.",
                f"{fixes[name]}.",
            )
