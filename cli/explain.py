"""`make explain`: which rule decides about one user and one topic, or filter."""

from difflib import get_close_matches

from broker.access.effective_rules import effective_rules
from broker.access.explain import explain
from broker.access.topic_filters import check_filter
from cli.exit_codes import finish
from cli.stack import Refusal, Stack, arguments


def main() -> None:
    """Print what decides about publishing, and about receiving."""
    parser = arguments("Say which rule decides.")
    parser.add_argument("--user", required=True)
    parser.add_argument("--topic", required=True)
    given = parser.parse_args()
    settings = Stack.read(given.stack).settings
    names = list(effective_rules(settings))
    if given.user not in names:
        guess = get_close_matches(given.user, names, n=1)
        hint = f" Did you mean {guess[0]!r}?" if guess else ""
        raise Refusal(f"USER={given.user}: no such user.{hint}")
    # A client may publish to a topic that no rule can name, such as one with an empty level.
    if not given.topic or set("+#") & set(given.topic):
        try:
            check_filter(given.topic)
        except ValueError as wrong:
            raise Refusal(f"TOPIC={given.topic!r}: {wrong}") from None
    for sentence in explain(settings, given.user, given.topic):
        print(sentence)


if __name__ == "__main__":
    finish(main)
