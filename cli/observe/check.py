"""Observe the running broker and its host for the deployment checklist."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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
from broker.settings.listener_settings import Listener
from broker.settings.stack_settings import Settings
from cli.errors import CommandError, FindingError
from cli.mqtt_client import stack_ca
from cli.observe.broker_log import read_log
from cli.observe.login_attempt import address_towards, try_login
from cli.run_on_host import probe, read_script
from cli.stack import Stack
from cli.users.credentials import Credential, all_logins

PARALLEL_LOGINS = 16
LOG_BYTES = 8_000_000
"""How much of the end of the log is read: about 25,000 refused logins."""


def require_passed(results: list[CheckResult]) -> None:
    """
    Return if no check failed.

    Raises:
        FindingError: a check failed.

    """
    if failed := [result.name for result in results if result.status == "fail"]:
        raise FindingError(f"{len(failed)} of {len(results)} checks failed: {', '.join(failed)}")


def observe(stack: Stack, outputs: Mapping[str, Any]) -> Observations:
    """Try logins, then read the host and the log, which contains the refused logins by then."""
    settings = stack.settings
    broker = settings.broker
    ca = stack_ca(outputs)
    credentials = all_logins(settings, outputs)
    # The members of a fleet have the same rules: one login is tried per fleet.
    members = [next(iter(fleet.admitted), "") for fleet in settings.fleets.values()]
    known = [name for name in (*settings.users, *members) if name in credentials]
    first = credentials[known[0]] if known else Credential("", "")
    guess = secrets.token_urlsafe(24)

    def attempt(listener: Listener, credential: Credential | None) -> str:
        if listener.tls is not None and listener.tls.requires_client_certificate:
            return ""
        return try_login(broker, listener, credential, ca)

    with ThreadPoolExecutor(PARALLEL_LOGINS) as pool:

        def at_each_listener(credential: Credential | None) -> dict[str, Future[str]]:
            return {
                name: pool.submit(attempt, listener, credential)
                for name, listener in broker.listeners.items()
            }

        answers = at_each_listener(first)
        anonymous = at_each_listener(None)
        guessed = at_each_listener(Credential(first.username, guess))
        logins = {
            name: pool.submit(attempt, broker.password_listener(), credentials[name])
            for name in known
        }
    image = str(outputs.get("image", ""))
    with ThreadPoolExecutor() as pool:
        host, log = pool.submit(read_host_facts, stack), pool.submit(read_last_hour, stack, image)
    return Observations(
        host=host.result(),
        log=log.result(),
        image=image,
        answers=_results(answers) if known else {},
        anonymous=_results(anonymous),
        guessed=_results(guessed) if known else {},
        logins={name: answer for name, answer in _results(logins).items() if answer},
        here=address_towards(broker.address, next(iter(broker.listeners.values())).port),
        ages=_ages(settings, outputs.get("rotations", {})),
        env=_env_file_digests(stack, credentials),
        ends={
            name: str(certificate.get("notAfter", ""))
            for name, certificate in outputs.get("certificates", {}).get("listeners", {}).items()
        },
    )


def _results(attempts: Mapping[str, Future[str]]) -> dict[str, str]:
    return {name: attempt.result() for name, attempt in attempts.items()}


def probe_host(stack: Stack) -> HostFacts:
    """Return the facts that a preview asks for; nothing is changed on the host."""
    requirements = host_requirements(stack.settings, stack.name)
    calls = probe_calls(requirements, stack.transport, read_script)
    return probe(stack, (HostScript.PROBE,), calls)


def read_host_facts(stack: Stack) -> HostFacts:
    """Return facts about the host and the broker; nothing is changed there."""
    requirements = host_requirements(stack.settings, stack.name)
    calls = [*probe_calls(requirements, stack.transport, read_script), *check_calls(stack.settings)]
    return probe(stack, (HostScript.OBSERVE,), calls)


def read_last_hour(stack: Stack, image: str) -> LogSummary | None:
    """Return the log of the last hour, or None if it can't be read."""
    # Files that were rotated within the hour are read as well, and only the end of a large file.
    hour = datetime.now(UTC) - timedelta(hours=1)
    try:
        return read_log(stack, since=hour, minutes=60, size=LOG_BYTES, image=image)
    except CommandError:
        return None


def _env_file_digests(stack: Stack, credentials: Mapping[str, Credential]) -> dict[str, str]:
    """Return the SHA-256 of each env file, which contains a password and stays on its host."""
    broker = stack.settings.broker
    digests: dict[str, str] = {}
    for file in broker.env_files:
        if file.user not in credentials:
            continue
        try:
            text = host_env_file(broker, stack.name, file, *credentials[file.user]).text
        except ValueError:
            # Such a password is refused today, so a file on the host is outdated.
            digests[file.path] = ""
        else:
            digests[file.path] = sha256(text.encode()).hexdigest()
    return digests


def _ages(settings: Settings, rotations: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    """Return the age of each password in days, by user; fleet.NAME for a fleet."""
    now = datetime.now(UTC)
    return {
        name: (now - datetime.fromisoformat(rotation["rotatedAt"])).days
        for name, rotation in rotations.items()
        if rotation.get("rotatedAt") and (name in settings.users or "." in name)
    }
