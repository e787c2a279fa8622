"""`make who-can`: everybody who may write, or read, a topic, and the rule that lets them."""

from broker.access.explain import who_can
from broker.access.topic_filters import check_filter
from cli.exit_codes import finish
from cli.stack import Refusal, Stack, arguments


def main() -> None:
    """Print one line a user."""
    parser = arguments("Say who may write, or read, a topic.")
    parser.add_argument("--action", choices=["read", "write"], required=True)
    parser.add_argument("--topic", required=True)
    given = parser.parse_args()
    try:
        topic = check_filter(given.topic)
    except ValueError as wrong:
        raise Refusal(f"TOPIC={given.topic!r}: {wrong}") from None
    found = who_can(Stack.read(given.stack).settings, given.action, topic)
    if not found:
        print(f"Nobody may {given.action} {topic}.")
    width = max(map(len, found), default=0)
    for name, rule in found.items():
        print(f"{name:<{width}}  {rule}")


if __name__ == "__main__":
    finish(main)
