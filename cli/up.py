"""From whatever this machine has to a broker that answers."""

from __future__ import annotations

import shlex
import shutil

from bootstrap.daemon import ensure_daemon
from bootstrap.image import ensure_image
from broker.checks.check_result import render_text
from broker.checks.checklist import checklist
from broker.credentials.env_files import endpoints
from broker.credentials.logins import logins_of
from cli.check import judge, sight
from cli.expect import UnreachableError, ask_all, render
from cli.expect import judge as judge_answers
from cli.pulumi import Pulumi
from cli.stack import Stack
from cli.terminal import print_lines


def bring_up(stack: Stack, *, sure: bool) -> None:
    """
    Get the machine ready, run `pulumi up`, and say how to get in.

    Raises:
        Refusal: it failed, or the broker that is up is not as it ought to be.

    """
    stack.refuse_secrets_in_clear()
    broker = stack.settings.broker

    pulumi = Pulumi.ready(stack)
    daemon = ensure_daemon(broker.host, ssh_config=broker.ssh_config)
    image = ensure_image(broker.image, daemon, allow_fallback=broker.allow_stand_in)
    if broker.monitoring is not None:
        ensure_image(broker.monitoring.image, daemon, allow_fallback=broker.allow_stand_in)
    pulumi.select()
    # Nobody is in the room with a dev broker; elsewhere Pulumi shows its preview and asks.
    unasked = ["--yes", "--skip-preview"] if sure or pulumi.backend.local_passphrase else []
    pulumi.run("up", "--stack", stack.name, *unasked)
    outputs = pulumi.outputs() if stack.settings.expect or broker.check_after_up else {}
    if stack.settings.expect:
        print("\nWhat the stack file expects, put to the broker:")
        try:
            answers = ask_all(stack.settings, outputs)
        except UnreachableError as wrong:
            # What stands is not worse for it; `brokerctl expect` asks from somewhere else.
            print(f"  not asked: {wrong}")
        else:
            print_lines(render(answers))
            judge_answers(answers)
    if broker.check_after_up:
        print("\nThe checklist:")
        points = checklist(stack.settings, stack.name, sight(stack, outputs))
        print(render_text(points), end="")
        judge(points)
    print(_how_to_get_in(stack, image.name))


def _how_to_get_in(stack: Stack, image: str) -> str:
    broker, users = stack.settings.broker, stack.settings.users
    listener = broker.dialled_listener()
    name = next((each for each, user in users.items() if user.password_known), next(iter(users)))
    topic = next(iter((*users[name].readwrite, *users[name].read)), "#")
    login = logins_of(name, users[name])[0].name
    choice = "" if stack.name == "dev" else f" --stack {stack.name}"
    client = ["mosquitto_sub", "-h", broker.address, "-p", str(listener.port), "-u", login]
    if not shutil.which("mosquitto_sub") and not stack.transport.remote:
        client = ["docker", "exec", "-it", broker.container, *client]
    password = f'"$(./brokerctl password {name}{choice})"'
    read = f"Read a credential:  ./brokerctl credentials {name}{choice}"
    if not users[name].password_known:
        password, read = "PASSWORD", "Everybody has the password that they had: adopted, as a hash."
    listen = f"{shlex.join(client)} -P {password} -t {shlex.quote(topic)} -v"
    lines = [
        "",
        f"The broker is up: container {broker.container}, image {image}",
        *(f"  {each}: {url}" for each, url in endpoints(broker).items()),
        read,
        "Listen:",
        f"  {listen}",
    ]
    return "\n".join(lines)
