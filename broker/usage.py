"""The ``readme`` output: how to use the running broker, as commands to paste."""

import shlex

from broker.access.diagram import render_mermaid
from broker.access.graph import access_graph
from broker.access.matrix import render_matrix
from broker.credentials.env_files import endpoints
from broker.credentials.logins import logins_of
from broker.settings.stack_settings import Settings

MOST_PARTIES = 20
"""The largest number of rows shown in an output; above it, a command is named instead."""


def render_usage(settings: Settings, stack: str, image: str) -> str:
    """Return Markdown. It says how to read secrets and contains none."""
    broker = settings.broker
    users = settings.users
    known = (name for name, user in users.items() if user.password_known)
    name = next(known, next(iter(users)))
    login = logins_of(name, users[name])[0].name
    filters = [*users[name].readwrite, *users[name].read]
    listener = broker.dialled_listener()
    lines = [
        f"# The Mosquitto broker of stack {stack}",
        "",
        f"Container `{broker.container}` on {broker.host}, image {image}.",
        "",
        *(f"- {listener_name}: {url}" for listener_name, url in endpoints(broker).items()),
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
        *_access_overview(settings, stack),
    ]
    return "\n".join(lines) + "\n"


def _access_overview(settings: Settings, stack: str) -> list[str]:
    graph = access_graph(settings)
    if len(graph.parties) > MOST_PARTIES:
        return [f"{len(graph.parties)} kinds of access: ./brokerctl map --stack {stack}"]
    mermaid = ["```mermaid", render_mermaid(graph).rstrip(), "```"]
    return ["Who may do what:", "", render_matrix(graph), *mermaid]
