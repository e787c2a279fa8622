"""The table of docs/explanation/exposure.md, from what test_16_firewall.py measured."""

from __future__ import annotations

from lab import CLIENTS, CONTAINER, NetworkClient

Table = dict[tuple[str, str], tuple[dict[int, str], dict[NetworkClient, list[bool]]]]
"""By moment and firewall backend: protocols of the ports, and each client's answers from them."""


def render(table: Table) -> str:
    """Return the table in Markdown."""
    columns = (*CLIENTS, CONTAINER)
    rows = [
        "| moment | guarded by | " + " | ".join(client.name for client in columns) + " |",
        "| --- | --- |" + " --- |" * len(columns),
    ]
    for (moment, guard), (ports, answered) in table.items():
        cells = []
        for client in columns:
            answers = answered.get(client, [])
            states = ("open" if answer else "closed" for answer in answers)
            cells.append(
                " ".join(f"{port} {state}" for port, state in zip(ports, states, strict=False))
            )
        rows.append(f"| {moment} | {guard} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"
