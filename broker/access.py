"""Who may receive and publish what, as plain data: what a preview shows of a changed rule."""

from broker.settings import Settings


def describe_access(settings: Settings) -> dict[str, dict[str, list[str]]]:
    """
    Return the ``read`` and ``write`` filters of each user, in the order of the stack file.

    Sorted, an added filter would shift the others, and a preview would show them all as changed.
    """
    return {
        name: {
            "read": list(dict.fromkeys((*user.readwrite, *user.read))),
            "write": list(dict.fromkeys((*user.readwrite, *user.write))),
        }
        for name, user in settings.users.items()
    }
