"""The ACL file: one block per login, then the patterns that apply to every login."""

from collections.abc import Iterator

from broker.access.effective_rules import HEALTH_TOPIC, health_rules, pattern_rules, user_rules
from broker.credentials.logins import logins_of
from broker.mosquitto.canary import acl_lines
from broker.settings.stack_settings import Settings

__all__ = ["HEALTH_TOPIC", "render_acl"]


def render_acl(settings: Settings) -> str:
    """
    Return the text of ``acl_file`` (mosquitto.conf(5)).

    Within a block the order is deny, readwrite, read, write. Users keep the order of the stack
    file.
    """
    blocks = [
        [
            *([f"# {user.description}"] if user.description else []),
            f"user {login.name}",
            *(rule.line for rule in user_rules(name, user, settings.roles)),
        ]
        for name, user in settings.users.items()
        for login in sorted(logins_of(name, user), key=lambda login: login.slot)
    ]
    blocks.append(
        [
            "# Health check of the container",
            f"user {settings.broker.health.user}",
            *(rule.line for rule in health_rules()),
        ]
    )
    blocks.append(acl_lines())
    blocks += _revoked_blocks(settings)
    if patterns := list(_pattern_lines(settings)):
        blocks.append(patterns)
    return "\n".join("".join(f"{line}\n" for line in block) for block in blocks)


def _revoked_blocks(settings: Settings) -> Iterator[list[str]]:
    # A revoked device still has its client certificate, and patterns apply to any user name.
    if not any(
        listener.tls is not None and listener.tls.identity_as_username
        for listener in settings.broker.tls_listeners.values()
    ):
        return
    for fleet in settings.fleets.values():
        for name in fleet.revoked:
            yield ["# Revoked", f"user {name}", "topic deny #", "topic deny $SYS/#"]


def _pattern_lines(settings: Settings) -> Iterator[str]:
    rules = list(pattern_rules(settings))
    if rules:
        # Mosquitto applies a pattern to every user, wherever it is in the file. The comment keeps
        # a reader from attributing it to the block above.
        yield "# Everybody, under their own name"
        yield from (rule.line for rule in rules)
