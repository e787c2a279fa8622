"""`make inventory`: who is declared, against who was seen."""

from __future__ import annotations

import json

from broker.logs.inventory import inventory, render_inventory
from cli.broker_log import gateways, read_log
from cli.exit_codes import finish
from cli.stack import Stack, arguments


def main() -> None:
    """Print it."""
    parser = arguments("Compare who is declared with who was seen.")
    parser.add_argument("--format", choices=["text", "json"], default="text")
    given = parser.parse_args()
    stack = Stack.read(given.stack)
    found = inventory(stack.settings, read_log(stack), gateways(stack))
    if given.format == "json":
        print(json.dumps(found.as_data(), indent=2))
        return
    for each in render_inventory(found):
        print(each)


if __name__ == "__main__":
    finish(main)
