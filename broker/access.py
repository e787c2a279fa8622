"""Who may receive and publish what, as plain data: what a preview shows of a changed rule."""

from broker.settings import Settings


def describe_access(settings: Settings) -> dict[str, dict[str, list[str]]]:
    """Return the ``read`` and ``write`` filters of each user, sorted."""
    return {
        name: {
            "read": sorted({*user.readwrite, *user.read}),
            "write": sorted({*user.readwrite, *user.write}),
        }
        for name, user in settings.users.items()
    }
