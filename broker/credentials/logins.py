"""Logins: one per user, or two for a user with ``rotation: overlap``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.settings.stack_settings import Settings
from broker.settings.users import User, second_login


@dataclass(frozen=True, kw_only=True)
class Login:
    """A name with which a client can log in."""

    name: str
    user: str
    """The user whose access the login has."""
    generation: str
    """Changes whenever the password does."""
    active: bool = True
    """Whether this is the login to use; the other is the previous one, which is still valid."""

    @property
    def slot(self) -> str:
        """``blue`` is the login with the user's own name, ``green`` the other."""
        return "blue" if self.name == self.user else "green"


def logins_of(name: str, user: User) -> tuple[Login, ...]:
    """
    Return the logins of *user*, the active one first.

    With ``rotation: overlap``, odd generations use the user's own name and even generations the
    second name. A rotation renews one of the two logins, and the other stays valid.
    """
    if user.rotation == "immediate":
        return (Login(name=name, user=name, generation=user.generation),)
    newest = int(user.generation)
    both = (_slot(name, newest, active=True), _slot(name, newest - 1, active=False))
    return both if newest > 1 and user.previous == "keep" else both[:1]


def logins(settings: Settings) -> Iterator[Login]:
    """Yield the logins of all users, without fleets, in the order of the stack file."""
    for name, user in settings.users.items():
        yield from logins_of(name, user)


def stamps(settings: Settings) -> dict[str, str]:
    """
    Return a stamp of each login, by name: a text that changes whenever the password does.

    Stamps reveal nothing about passwords. Fleets and the health check are included.
    """
    broker = settings.broker
    length = broker.passwords.length
    generated = f"{length}{'s' if broker.passwords.special else ''}"
    kinds = {
        name: generated if user.password == "generated" else user.password  # noqa: S105 (a kind, no password)
        for name, user in settings.users.items()
    }
    result = {login.name: f"{login.generation} {kinds[login.user]}" for login in logins(settings)}
    # `special` does not apply to fleets (broker/credentials/fleets.py).
    for fleet in settings.fleets.values():
        result |= {name: f"{generation} {length}" for name, generation in fleet.admitted.items()}
    return result | {broker.health.user: f"{broker.health.generation} {generated}"}


def disconnected(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """Return the logins whose clients a reload disconnects: those removed or rotated."""
    return tuple(name for name, stamp in before.items() if after.get(name) != stamp)


def _slot(user: str, generation: int, *, active: bool) -> Login:
    name = user if generation % 2 else second_login(user)
    return Login(name=name, user=user, generation=str(generation), active=active)
