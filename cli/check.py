"""The checklist of a deployment, point by point, of the broker that runs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from broker.checks.check_result import CheckResult
from broker.checks.observations import Observations, check_calls
from broker.credentials.env_files import host_env_file
from broker.host.facts import HostFacts
from broker.host.requirements import host_requirements, probe_calls
from broker.host.scripts import HostScript
from broker.logs.log_parser import LogSummary
from broker.settings.broker_settings import Listener
from broker.settings.stack_settings import Settings
from cli.broker_log import read_log
from cli.credentials import Credential, all_logins
from cli.login import address_towards, login
from cli.refusals import Finding, Refusal
from cli.run_on_host import probe
from cli.stack import Stack

AT_ONCE = 16
LOG_BYTES = 8_000_000
"""Of the log's end: what 25,000 refused logins leave there."""


def judge(points: list[CheckResult]) -> None:
    """
    Pass if nothing is known to be wrong.

    Raises:
        Finding: a point failed.

    """
    if failed := [result.name for result in points if result.status == "fail"]:
        raise Finding(f"{len(failed)} of {len(points)} points failed: {', '.join(failed)}")


def sight(stack: Stack, outputs: Mapping[str, Any]) -> Observations:
    """Log in as everybody, then look at the host: its log has by then been written."""
    settings = stack.settings
    broker = settings.broker
    ca = str(outputs.get("certificates", {}).get("ca", ""))
    credentials = all_logins(settings, outputs)
    # The members of a fleet differ in their name alone: one stands for all.
    members = [next(iter(each.admitted), "") for each in settings.fleets.values()]
    known = [name for name in (*settings.users, *members) if name in credentials]
    first = credentials[known[0]] if known else Credential("", "")
    guess = secrets.token_urlsafe(24)

    def ask(listener: Listener, user: str | None, password: str | None) -> str:
        if listener.tls is not None and listener.tls.clients_named:
            return ""
        return login(broker.address, listener, user, password, ca)

    everywhere = list(broker.listeners.items())
    with ThreadPoolExecutor(AT_ONCE) as pool:
        good = [pool.submit(ask, each, *first) for _, each in everywhere]
        none = [pool.submit(ask, each, None, None) for _, each in everywhere]
        wrong = [pool.submit(ask, each, first.username, guess) for _, each in everywhere]
        users = {
            name: pool.submit(ask, broker.password_listener(), *credentials[name]) for name in known
        }
        answers = {name: each.result() for (name, _), each in zip(everywhere, good, strict=True)}
        anonymous = {name: each.result() for (name, _), each in zip(everywhere, none, strict=True)}
        guessed = {name: each.result() for (name, _), each in zip(everywhere, wrong, strict=True)}
        logins = {name: said for name, each in users.items() if (said := each.result())}
    image = str(outputs.get("image", ""))
    with ThreadPoolExecutor() as pool:
        host, log = pool.submit(look, stack), pool.submit(read, stack, image)
    return Observations(
        host=host.result(),
        log=log.result(),
        image=image,
        answers=answers if known else {},
        anonymous=anonymous,
        guessed=guessed if known else {},
        logins=logins,
        here=address_towards(broker.address, everywhere[0][1].port),
        ages=_ages(settings, outputs.get("rotations", {})),
        env=_env(stack, credentials),
        ends={
            name: str(each.get("notAfter", ""))
            for name, each in outputs.get("certificates", {}).get("listeners", {}).items()
        },
    )


def look(stack: Stack) -> HostFacts:
    """Return what the host says of itself and of the broker; nothing is changed there."""
    wanted = host_requirements(stack.settings, stack.name)
    calls = [*probe_calls(wanted, stack.transport), *check_calls(stack.settings)]
    return probe(
        stack,
        (HostScript.OBSERVE,),
        calls,
    )


def read(stack: Stack, image: str) -> LogSummary | None:
    """Return what the log says of the last hour; nothing where nobody can read it."""
    # A file that was rotated within the hour is read too, and of a large one its end.
    hour = datetime.now(UTC) - timedelta(hours=1)
    try:
        return read_log(stack, since=hour, minutes=60, size=LOG_BYTES, image=image)
    except Refusal:
        return None


def _env(stack: Stack, credentials: Mapping[str, Credential]) -> dict[str, str]:
    """Return the SHA-256 of each env file: it has a password in it, and stays on its host."""
    broker = stack.settings.broker
    found: dict[str, str] = {}
    for file in broker.env_files:
        if file.user not in credentials:
            continue
        try:
            text = host_env_file(broker, stack.name, file, *credentials[file.user]).text
        except ValueError:
            # Written before such a password was refused: what is there is not what ought to be.
            found[file.path] = ""
        else:
            found[file.path] = sha256(text.encode()).hexdigest()
    return found


def _ages(settings: Settings, rotations: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    now = datetime.now(UTC)
    return {
        name: (now - datetime.fromisoformat(each["rotatedAt"])).days
        for name, each in rotations.items()
        if each.get("rotatedAt") and (name in settings.users or "." in name)
    }
