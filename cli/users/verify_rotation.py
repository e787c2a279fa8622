"""Log in with the new and the former passwords after a rotation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from broker.checks.observations import LET_IN, REFUSED
from cli.errors import CommandError
from cli.lifecycle.status import login_error
from cli.observe.login_attempt import try_login
from cli.stack import Stack
from cli.users.credentials import Credential

PARALLEL_LOGINS = 16
TRIED = 100
"""Of a large fleet, so many members are tried."""


@dataclass(frozen=True, kw_only=True)
class RotationSeen:
    """What the broker answered after a rotation."""

    tried: int
    """Users whose new password was tried."""
    refused: int
    """Users whose former password was refused."""
    kept: int
    """Users whose former login still works, because they have an overlapping rotation."""
    of: int
    """Users whose password was changed."""
    unreachable: str = ""
    """Why no login could be tried from this machine."""
    wrong: list[str] = field(default_factory=list)
    """One sentence per answer that contradicts the rotation."""

    @property
    def text(self) -> str:
        if self.unreachable:
            return (
                f"The passwords were not tried: {self.unreachable}. The broker accepts its health "
                "user, inside its container."
            )
        some = f" (of {self.of:,} that changed)" if self.of > self.tried else ""
        former = [
            f"{count} former {'one is' if count == 1 else 'ones are'} {what}"
            for count, what in (
                (self.refused, "refused"),
                (self.kept, "accepted until --revoke-previous"),
            )
            if count
        ]
        accepted = f"{self.tried} new password{'' if self.tried == 1 else 's'}{some} accepted"
        return f"Tried on the broker: {', '.join([accepted, *former])}."


def verify_rotation(
    stack: Stack,
    before: Mapping[str, Credential],
    after: Mapping[str, Credential],
    ca: str,
) -> RotationSeen:
    """
    Try the passwords that differ between *before* and *after*; no password is printed.

    Raises:
        CommandError: the broker accepts no login at all.

    """
    changed = [name for name, login in after.items() if before.get(name) != login]
    tried = list(islice(changed, TRIED))
    attempt: Callable[[Credential], str] = partial(
        try_login, stack.settings.broker, stack.settings.broker.password_listener(), ca=ca
    )
    with ThreadPoolExecutor(PARALLEL_LOGINS) as pool:
        new = dict(zip(tried, pool.map(attempt, [after[name] for name in tried]), strict=True))
        had = [name for name in tried if name in before]
        old = dict(zip(had, pool.map(attempt, [before[name] for name in had]), strict=True))
    answers = [*new.values(), *old.values()]
    silent = [answer for answer in answers if answer != LET_IN and not answer.startswith(REFUSED)]
    if silent and len(silent) == len(answers):
        # This machine may have no route to the broker, or the broker may be down.
        if error := login_error(stack):
            raise CommandError(f"the broker does not accept the login of its health user: {error}")
        return RotationSeen(tried=0, refused=0, kept=0, of=len(changed), unreachable=silent[0])
    overlapping = {name for name in had if before[name].username != after[name].username}
    wrong = [
        *(f"user {name}: its new password: {said}" for name, said in new.items() if said != LET_IN),
        *(
            f"user {name}: its former password: {said}"
            for name, said in old.items()
            if not (said == LET_IN if name in overlapping else said.startswith(REFUSED))
        ),
    ]
    return RotationSeen(
        tried=len(tried),
        refused=sum(said.startswith(REFUSED) for said in old.values()),
        kept=sum(name in overlapping and said == LET_IN for name, said in old.items()),
        of=len(changed),
        wrong=wrong,
    )


def require_rotated(stack: Stack, seen: RotationSeen) -> None:
    """
    Return if the broker answered as the rotation requires.

    Raises:
        CommandError: it accepts a former password, or refuses a new one.

    """
    if seen.wrong:
        raise CommandError(
            "pulumi up succeeded, but the broker does not answer as the rotation requires:\n"
            + "\n".join(f"  {sentence}" for sentence in seen.wrong)
            + f"\nTo find the cause: ./brokerctl check --stack {stack.name}"
        )
