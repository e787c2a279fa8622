"""The access graph as a matrix of parties and branches, in Markdown and in HTML."""

from __future__ import annotations

from html import escape

from broker.access.graph import AccessGraph, Branch, Extent, Party
from broker.access.rules import Direction

_MARKS: dict[tuple[Direction, Extent], str] = {
    ("read", "all"): "reads",
    ("read", "some"): "reads some",
    ("write", "all"): "writes",
    ("write", "some"): "writes some",
}
_DIRECTIONS: tuple[Direction, ...] = ("read", "write")


def render_matrix(graph: AccessGraph) -> str:
    """Return a Markdown table."""
    head = " | ".join(_heading(branch) for branch in graph.branches)
    lines = [f"| who | {head} |", "| --- |" + " --- |" * len(graph.branches)]
    for party in graph.parties:
        cells = " | ".join(_access(party, branch) or " " for branch in graph.branches)
        lines.append(f"| `{party.name}` | {cells} |")
    return "\n".join(lines) + "\n"


def _heading(branch: Branch) -> str:
    return (
        f"`{branch.filter}`" if branch.name == branch.filter else f"{branch.name} `{branch.filter}`"
    )


def _access(party: Party, branch: Branch) -> str:
    marks = (
        _MARKS.get((direction, party.extent(branch, direction)), "") for direction in _DIRECTIONS
    )
    return ", ".join(mark for mark in marks if mark)


def render_matrix_page(graph: AccessGraph, title: str) -> str:
    """Return a self-contained HTML page without scripts, fonts or links."""
    head = "".join(
        f'<th scope="col">{escape(branch.name)}'
        + (f"<br><code>{escape(branch.filter)}</code>" if branch.name != branch.filter else "")
        + "</th>"
        for branch in graph.branches
    )
    rows = "\n".join(
        f'<tr><th scope="row">{_party_name(party)}</th>'
        + "".join(_cell(party, branch) for branch in graph.branches)
        + "</tr>"
        for party in graph.parties
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="legend"><span class="read">reads</span> <span class="write">writes</span>
<span class="both">both</span> A dashed edge: some of the branch only.</p>
<table>
<thead><tr><th scope="col">who</th>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def _party_name(party: Party) -> str:
    if len(party.members) == 1:
        return escape(party.name)
    listed = ", ".join(escape(member) for member in party.members)
    return f"<details><summary>{escape(party.name)}</summary>{listed}</details>"


def _cell(party: Party, branch: Branch) -> str:
    read, write = (party.extent(branch, direction) for direction in _DIRECTIONS)
    if read == write == "none":
        return "<td></td>"
    kind = "both" if "none" not in (read, write) else "write" if read == "none" else "read"
    style = f"{kind} part" if "some" in (read, write) else kind
    return f'<td><span class="{style}">{escape(_access(party, branch))}</span></td>'


# Blue, orange and purple of the palette of Okabe and Ito, for colour-blind readers.
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --ground: #fff; --line: #d5dae0;
  --read: #cfe6f7; --write: #ffdca8; --both: #ecd3e4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --ground: #14171b; --line: #363c44;
  --read: #0b4a70; --write: #7a4a00; --both: #6b3459; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  margin: 2rem; }
h1 { font-size: 1.3rem; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid var(--line); padding: .45rem .8rem; text-align: left;
  vertical-align: top; }
thead th { position: sticky; top: 0; background: var(--ground); }
code { font-size: .8em; font-weight: normal; opacity: .75; }
span { display: inline-block; padding: .1rem .5rem; border-radius: .3rem;
  border: 1.5px solid transparent; }
.read { background: var(--read); } .write { background: var(--write); }
.both { background: var(--both); } .part { border: 1.5px dashed currentColor; }
details { font-weight: normal; max-width: 22rem; } summary { font-weight: bold; }
"""
