"""The ACL file: one block a user, and nothing for anyone else."""

from collections.abc import Iterator

from broker.settings import Settings
from broker.site import Health
from broker.users import User

HEALTH_TOPIC = "$SYS/broker/uptime"
"""The one topic that the health check reads; retained, so that an answer comes at once."""


def render_acl(settings: Settings) -> str:
    """
    Return the text of ``acl_file`` (mosquitto.conf(5)).

    A block holds its rules in the order readwrite, read, write. Users keep the order of the
    stack file.
    """
    blocks = [list(_user_lines(name, user)) for name, user in settings.users.items()]
    blocks.append(list(_health_lines(settings.broker.health)))
    return "\n".join("".join(f"{line}\n" for line in block) for block in blocks)


def _user_lines(name: str, user: User) -> Iterator[str]:
    if user.description:
        yield f"# {user.description}"
    yield f"user {name}"
    yield from (f"topic readwrite {each}" for each in user.readwrite)
    yield from (f"topic read {each}" for each in user.read)
    yield from (f"topic write {each}" for each in user.write)


def _health_lines(health: Health) -> Iterator[str]:
    yield "# Health check of the container"
    yield f"user {health.user}"
    yield f"topic read {HEALTH_TOPIC}"
