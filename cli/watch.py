"""`make watch`: what one user receives, as it comes."""

from __future__ import annotations

import sys

from broker.access.effective_rules import effective_rules
from broker.access.example_topic import find_example_topic
from broker.access.topic_filters import check_filter
from cli.connection import Message, connect
from cli.exit_codes import finish
from cli.pulumi import Pulumi
from cli.stack import Refusal, Stack, arguments


def main() -> None:
    """Print ``TOPIC PAYLOAD`` a line until the person ends it, or there were enough."""
    parser = arguments("Watch topics as a user.")
    parser.add_argument("--user", default="")
    parser.add_argument("--topic", default="#")
    parser.add_argument("--count", type=int, default=0, help="end after so many; 0 is never")
    given = parser.parse_args()
    stack = Stack.read(given.stack)
    try:
        check_filter(given.topic)
    except ValueError as wrong:
        raise Refusal(f"TOPIC={given.topic}: {wrong}") from None
    with connect(stack, given.user, Pulumi.ready(stack).outputs()) as client:
        # The broker grants every subscription, and says nothing of what it holds back.
        if _nothing_to_see(stack, given.user, given.topic):
            print(
                f"No rule lets {given.user} receive anything of {given.topic}. Which decides: "
                f"make explain USER={given.user} TOPIC=... STACK={stack.name}",
                file=sys.stderr,
            )
        client.subscribe(given.topic)
        left = given.count
        while True:
            print(line(client.next()), flush=True)
            left -= 1
            if left == 0:
                return


def line(message: Message) -> str:
    """Return a message on one line; what would steer a terminal is spelt out."""
    text = message.payload.decode("utf-8", "backslashreplace")
    return f"{_plain(message.topic)} {_plain(text)}"


def _plain(text: str) -> str:
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _nothing_to_see(stack: Stack, user: str, topic: str) -> bool:
    if topic.startswith("$share/"):
        return False
    principal = effective_rules(stack.settings)[user]
    return find_example_topic(principal, "read", topic, allowed=True) is None


if __name__ == "__main__":
    finish(main)
