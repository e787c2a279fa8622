"""Access as a matrix: parties by branches, in Markdown and as a page of its own."""

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


def render_matrix(relations: AccessGraph) -> str:
    """Return a Markdown table."""
    head = " | ".join(_heading(each) for each in relations.branches)
    lines = [f"| who | {head} |", "| --- |" + " --- |" * len(relations.branches)]
    for party in relations.parties:
        cells = " | ".join(_said(party, each) or " " for each in relations.branches)
        lines.append(f"| `{party.name}` | {cells} |")
    return "\n".join(lines) + "\n"


def _heading(branch: Branch) -> str:
    return (
        f"`{branch.filter}`" if branch.name == branch.filter else f"{branch.name} `{branch.filter}`"
    )


def _said(party: Party, branch: Branch) -> str:
    said = (_MARKS.get((each, party.extent(branch, each)), "") for each in _DIRECTIONS)
    return ", ".join(each for each in said if each)


def render_matrix_page(relations: AccessGraph, title: str) -> str:
    """Return an HTML page without scripts, fonts or links to anywhere."""
    head = "".join(
        f'<th scope="col">{escape(each.name)}'
        + (f"<br><code>{escape(each.filter)}</code>" if each.name != each.filter else "")
        + "</th>"
        for each in relations.branches
    )
    rows = "\n".join(
        f'<tr><th scope="row">{_who(party)}</th>'
        + "".join(_cell(party, each) for each in relations.branches)
        + "</tr>"
        for party in relations.parties
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


def _who(party: Party) -> str:
    if len(party.members) == 1:
        return escape(party.name)
    listed = ", ".join(escape(each) for each in party.members)
    return f"<details><summary>{escape(party.name)}</summary>{listed}</details>"


def _cell(party: Party, branch: Branch) -> str:
    read, write = (party.extent(branch, each) for each in _DIRECTIONS)
    if read == write == "none":
        return "<td></td>"
    kind = "both" if "none" not in (read, write) else "write" if read == "none" else "read"
    part = " part" if "some" in (read, write) else ""
    return f'<td><span class="{kind}{part}">{escape(_said(party, branch))}</span></td>'


# Blue, orange and purple of a palette that colour-blind readers tell apart (Okabe and Ito).
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
