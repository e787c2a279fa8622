"""Everybody who can log in: a login each, and two for a user whose rotation overlaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.settings.stack_settings import Settings
from broker.settings.users import User, second_login


@dataclass(frozen=True, kw_only=True)
class Login:
    """A name and a password that the broker knows."""

    name: str
    user: str
    """Whose rights it has."""
    generation: str
    """The password is another one where this is."""
    active: bool = True
    """The one to hand out; the other is what consumers still have."""

    @property
    def slot(self) -> str:
        """``blue`` is the login under the user's own name, ``green`` the other."""
        return "blue" if self.name == self.user else "green"


def logins_of(name: str, user: User) -> tuple[Login, ...]:
    """
    Return the logins of *user*, the active one first.

    With ``rotation: overlap`` odd generations log in under the user's own name and even ones
    under a second: a rotation renews one of the two, and whoever uses the other isn't refused.
    """
    if user.rotation == "immediate":
        return (Login(name=name, user=name, generation=user.generation),)
    newest = int(user.generation)
    both = (_slot(name, newest, active=True), _slot(name, newest - 1, active=False))
    return both if newest > 1 and user.previous == "keep" else both[:1]


def logins(settings: Settings) -> Iterator[Login]:
    """Yield the logins of all users, in the order of the stack file; not those of fleets."""
    for name, user in settings.users.items():
        yield from logins_of(name, user)


def stamps(settings: Settings) -> dict[str, str]:
    """
    Return what the password of each login hangs on, by name: another stamp, another password.

    Plain text that tells nothing of a password. Fleets and the health check are in it.
    """
    broker = settings.broker
    drawn = f"{broker.passwords.length}{'s' if broker.passwords.special else ''}"
    kinds = {name: user.password for name, user in settings.users.items()}
    hows = {name: drawn if kind == "generated" else kind for name, kind in kinds.items()}
    found = {each.name: f"{each.generation} {hows[each.user]}" for each in logins(settings)}
    # A fleet's passwords are letters and digits, whatever generated ones are
    # (broker/credentials/fleets.py).
    length = broker.passwords.length
    for fleet in settings.fleets.values():
        found |= {name: f"{generation} {length}" for name, generation in fleet.admitted.items()}
    return found | {broker.health.user: f"{broker.health.generation} {drawn}"}


def disconnected(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """Return the logins whose clients a reload disconnects: removed, or with another password."""
    return tuple(name for name, stamp in before.items() if after.get(name) != stamp)


def _slot(user: str, generation: int, *, active: bool) -> Login:
    name = user if generation % 2 else second_login(user)
    return Login(name=name, user=user, generation=str(generation), active=active)
