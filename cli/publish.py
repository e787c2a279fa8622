"""`make publish`: one message, and whether the broker took it."""

from __future__ import annotations

from broker.access.topic_filters import check_filter
from cli.connection import connect
from cli.exit_codes import finish
from cli.pulumi import Pulumi
from cli.stack import Refusal, Stack, arguments

NOBODY = 0x10
"""MQTT 5, 3.4.2.1: taken, and nobody subscribes to it."""


def main() -> None:
    """Publish it, and fail if no rule grants it: MQTT 3 clients would not be told."""
    parser = arguments("Publish a message as a user.")
    parser.add_argument("--user", default="")
    parser.add_argument("--topic", default="")
    parser.add_argument("--message", default="")
    parser.add_argument("--retain", action="store_true")
    given = parser.parse_args()
    stack = Stack.read(given.stack)
    _check_name(given.topic)
    with connect(stack, given.user, Pulumi.ready(stack).outputs()) as client:
        code = client.publish(given.topic, given.message.encode(), retain=given.retain)
    if code.is_failure:
        raise Refusal(
            f"the broker did not take it: {code}. Which rule decides: make explain "
            f"USER={given.user} TOPIC={given.topic} STACK={stack.name}"
        )
    heard = "nobody subscribes to it now" if code.value == NOBODY else "passed on"
    print(f"{given.topic}: taken, {'retained, ' if given.retain else ''}{heard}")


def _check_name(topic: str) -> None:
    try:
        check_filter(topic)
    except ValueError as wrong:
        raise Refusal(f"TOPIC={topic}: {wrong}") from None
    if any(each in topic for each in "+#"):
        raise Refusal(f"TOPIC={topic}: wildcards are for whoever receives; name one topic")


if __name__ == "__main__":
    finish(main)
