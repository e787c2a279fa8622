"""The ``readme`` output: how to use the broker that is up, in commands ready to paste."""

import shlex

from broker.access.diagram import render_mermaid
from broker.access.graph import access_graph
from broker.access.matrix import render_matrix
from broker.credentials.env_files import endpoints
from broker.credentials.logins import logins_of
from broker.settings.stack_settings import Settings

MOST_PARTIES = 20
"""Rows that a person still reads in an output."""


def render_usage(settings: Settings, stack: str, image: str) -> str:
    """Return Markdown. It names secrets and where to read them, and holds none."""
    broker = settings.broker
    users = settings.users
    name = next((each for each, user in users.items() if user.password_known), next(iter(users)))
    login = logins_of(name, users[name])[0].name
    filters = [*users[name].readwrite, *users[name].read]
    listener = broker.dialled_listener()
    lines = [
        f"# The Mosquitto broker of stack {stack}",
        "",
        f"Container `{broker.container}` on {broker.host}, image {image}.",
        "",
        *(f"- {each}: {url}" for each, url in endpoints(broker).items()),
        "",
        "Read a credential:",
        "",
        f"    pulumi stack output credentials --show-secrets --stack {stack}",
        "",
        "Listen:",
        "",
        f"    mosquitto_sub -h {broker.address} -p {listener.port} -u {login} -P PASSWORD "
        f"-t {shlex.quote(filters[0] if filters else '#')} -v",
        "",
        f"Rotate {name}'s password: raise `users.{name}.generation` in Pulumi.{stack}.yaml, then",
        "",
        f"    pulumi up --stack {stack}",
        "",
        *_picture(settings, stack),
    ]
    return "\n".join(lines) + "\n"


def _picture(settings: Settings, stack: str) -> list[str]:
    relations = access_graph(settings)
    if len(relations.parties) > MOST_PARTIES:
        return [f"{len(relations.parties)} kinds of access: ./brokerctl map --stack {stack}"]
    mermaid = ["```mermaid", render_mermaid(relations).rstrip(), "```"]
    return ["Who may do what:", "", render_matrix(relations), *mermaid]
