"""Prepare this machine, run `pulumi up`, and report what the broker answers."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import Any

from bootstrap.broker_image import ensure_image
from bootstrap.docker_daemon import ensure_daemon
from broker.checks.check_result import render_text
from broker.checks.checklist import checklist
from broker.credentials.env_files import endpoints
from broker.credentials.logins import logins_of
from broker.host.ownership import TAKE_OVER
from cli.access.expectations import as_data, ask_all, render, require_held
from cli.lifecycle.interrupted import forget_unfinished_creations, release_stale_lock
from cli.lifecycle.status import require_login
from cli.lifecycle.unchanged import describe, record_up, same_up
from cli.lifecycle.unfinished import unfinished
from cli.mqtt_client import UnreachableError
from cli.observe.check import observe, require_passed
from cli.pulumi import Pulumi
from cli.stack import Stack
from cli.terminal import print_lines


def bring_up(
    stack: Stack,
    *,
    sure: bool,
    force: bool,
    cancel_stale: bool,
    take_over: bool = False,
    result: dict[str, Any],
) -> None:
    """
    Prepare the machine, run `pulumi up`, log in to the broker, and print how clients log in.

    Pulumi is not started if it would change nothing, unless *force*. *sure*: no question is asked,
    except about the lock of a killed run, which *cancel_stale* releases.
    *take_over*: a broker of another state is managed by this one from now on.
    *result* is filled step by step: endpoints, expectations, checks.

    Raises:
        CommandError: a step failed, the broker does not answer, or a check failed.

    """
    stack.refuse_secrets_in_clear()
    broker = stack.settings.broker

    pulumi = Pulumi.ready(stack)
    release_stale_lock(stack, pulumi, sure=cancel_stale)
    last = None if force or take_over else same_up(stack, pulumi)
    if take_over:
        os.environ[TAKE_OVER] = broker.container
    with unfinished(stack, pulumi.environ):
        try:
            image = last.image if last else _run_pulumi(stack, pulumi, sure=sure)
        finally:
            os.environ.pop(TAKE_OVER, None)
        require_login(stack)
    if last:
        print(describe(stack, last))
    else:
        record_up(stack, pulumi, image)
    result |= {
        "stack": stack.name,
        "unchanged": last is not None,
        "container": broker.container,
        "image": image,
        "endpoints": endpoints(broker),
    }
    outputs = pulumi.outputs() if stack.settings.expect or broker.check_after_up else {}
    if stack.settings.expect:
        print("\nThe stack file's expectations, tried on the broker:")
        try:
            answers = ask_all(stack.settings, outputs)
        except UnreachableError as error:
            # This machine may have no route to the broker; `brokerctl expect` runs elsewhere, too.
            print(f"  not asked: {error}")
            result["expectationsNotAsked"] = str(error)
        else:
            result["expectations"] = as_data(answers)
            print_lines(render(answers))
            require_held(answers)
    if broker.check_after_up:
        print("\nThe checklist:")
        results = checklist(stack.settings, stack.name, observe(stack, outputs))
        result["checks"] = [check.as_data() for check in results]
        print(render_text(results), end="")
        require_passed(results)
    print(_how_to_log_in(stack, image))


def _run_pulumi(stack: Stack, pulumi: Pulumi, *, sure: bool) -> str:
    """Prepare Docker and the images, run `pulumi up`, and return the name of the broker's image."""
    broker = stack.settings.broker
    daemon = ensure_daemon(broker.host, ssh_config=broker.ssh_config)
    image = ensure_image(broker.image, daemon, allow_fallback=broker.allow_stand_in)
    if broker.monitoring is not None:
        ensure_image(broker.monitoring.image, daemon, allow_fallback=broker.allow_stand_in)
    pulumi.select()
    forget_unfinished_creations(pulumi)
    # A stack whose state is on this machine is changed at once; for others Pulumi shows a preview
    # and asks.
    unasked = ["--yes", "--skip-preview"] if sure or pulumi.backend.local_passphrase else []
    pulumi.run("up", "--stack", stack.name, *unasked)
    return image.name


def _how_to_log_in(stack: Stack, image: str) -> str:
    broker, users = stack.settings.broker, stack.settings.users
    listener = broker.dialled_listener()
    name = next((user for user in users if users[user].password_known), next(iter(users)))
    topic = next(iter((*users[name].readwrite, *users[name].read)), "#")
    login = logins_of(name, users[name])[0].name
    choice = "" if stack.name == "dev" else f" --stack {stack.name}"
    client = ["mosquitto_sub", "-h", broker.address, "-p", str(listener.port), "-u", login]
    if not shutil.which("mosquitto_sub") and not stack.transport.remote:
        client = ["docker", "exec", "-it", broker.container, *client]
    password = f'"$(./brokerctl password {name}{choice})"'
    read = f"Read a credential:  ./brokerctl credentials {name}{choice}"
    if not users[name].password_known:
        password, read = "PASSWORD", "Every user keeps its password; only the hashes were adopted."
    listen = f"{shlex.join(client)} -P {password} -t {shlex.quote(topic)} -v"
    lines = [
        "",
        f"The broker is up: container {broker.container}, image {image}",
        *(f"  {listener_name}: {url}" for listener_name, url in endpoints(broker).items()),
        read,
        "Listen:",
        f"  {listen}",
    ]
    return "\n".join(lines)
