"""Since when each password is the one it is, and which are too old."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping
from gzip import decompress

from broker.credentials.logins import logins_of
from broker.findings import Finding, warning
from broker.settings.stack_settings import PROJECT, Settings


def generations(settings: Settings) -> dict[str, str]:
    """
    Return the generation of each party that can be rotated, by name without spaces.

    A fleet is one party, ``fleet.KIND``, and each member of it that was rotated alone another.
    """
    found = {name: user.generation for name, user in settings.users.items()}
    for kind, fleet in settings.fleets.items():
        found[f"fleet.{kind}"] = fleet.generation
        found |= {name: each for name, each in fleet.admitted.items() if each != fleet.generation}
    return found | {settings.broker.health.user: settings.broker.health.generation}


def read_rotations(text: str) -> dict[str, str]:
    """
    Read what ``host/commands/password_ages.sh`` says: ``NAME GENERATION TIME`` a line, packed where
    long.
    """
    kind, _, packed = text.partition(" ")
    if kind == "gzip":
        text = decompress(b64decode(packed)).decode()
    return {words[0]: words[2] for words in map(str.split, text.splitlines())}


def describe_rotations(settings: Settings, times: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return generation and time of each party, and the login and slot that are in use."""
    described: dict[str, dict[str, str]] = {}
    for name, generation in generations(settings).items():
        described[name] = {"generation": generation, "rotatedAt": times.get(name, "")}
        user = settings.users.get(name)
        if user is not None and user.rotation == "overlap":
            active = logins_of(name, user)[0]
            described[name] |= {"slot": active.slot, "login": active.name}
    return described


def rotation_fixes(settings: Settings) -> dict[str, str]:
    """Return how to give each party another password, by name."""
    found = {name: f"Rotate it: ./brokerctl rotate {name}" for name in generations(settings)}
    found |= {
        f"fleet.{kind}": f"Rotate it: ./brokerctl rotate {kind}"
        for kind in settings.fleets
        if kind not in settings.users
    }
    found |= {
        name: set_another(name)
        for name, user in settings.users.items()
        if user.password == "supplied"  # noqa: S105 (a kind, no password)
    }
    return found | {settings.broker.health.user: "Say another broker.health.generation"}


def set_another(user: str) -> str:
    """Return how *user* gets another password of a person's choosing."""
    return (
        f"Set another one: pulumi config set --secret --path '{PROJECT}:passwords[\"{user}\"]'; "
        f"and say another users.{user}.generation, so that it is dated and a preview names whom it "
        "disconnects"
    )


def old_passwords(
    ages: Mapping[str, int], max_age_days: int, fixes: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield a warning for each of *fixes* whose age, in days, is above *max_age_days*."""
    for name, days in ages.items():
        if days > max_age_days and name in fixes:
            yield warning(
                "",
                f"The password of {name} is {days} days old; broker.passwords.maxAgeDays is "
                f"{max_age_days}.",
                f"{fixes[name]}.",
            )
