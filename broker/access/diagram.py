"""A map of who talks to whom: writers, the branches they write, and who reads those."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from broker.access.graph import AccessGraph, Branch, Extent, Party

ROW, BOX, WIDTH, GAP, TOP = 46, 32, 270, 190, 64
"""Pixels: from row to row, of a box, of a column, between columns, above the first row."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A party that writes a branch (or reads it), all of it or some."""

    party: int
    branch: int
    extent: Extent


def edges(relations: AccessGraph) -> tuple[tuple[Edge, ...], tuple[Edge, ...]]:
    """Return who writes what, and who reads what."""
    writes, reads = (
        tuple(
            Edge(party=row, branch=column, extent=extent)
            for row, party in enumerate(relations.parties)
            for column, branch in enumerate(relations.branches)
            if (extent := party.extent(branch, direction)) != "none"
        )
        for direction in ("write", "read")
    )
    return writes, reads


def render_mermaid(relations: AccessGraph) -> str:
    """Return a Mermaid flowchart, from writers over branches to readers."""
    writes, reads = edges(relations)
    lines = ["flowchart LR"]
    lines += [
        f"  w{row}[{_quoted(relations.parties[row].name)}]"
        for row in dict.fromkeys(each.party for each in writes)
    ]
    lines += [
        f"  t{column}([{_quoted(branch.name)}])" for column, branch in enumerate(relations.branches)
    ]
    lines += [
        f"  r{row}[{_quoted(relations.parties[row].name)}]"
        for row in dict.fromkeys(each.party for each in reads)
    ]
    lines += [f"  w{each.party} {_arrow(each.extent)} t{each.branch}" for each in writes]
    lines += [f"  t{each.branch} {_arrow(each.extent)} r{each.party}" for each in reads]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Quote a label; Mermaid knows entities by number, with a # for HTML's &#."""
    return (
        '"'
        + "".join(
            each if each.isalnum() or each in " _.-,()/" else f"#{ord(each)};" for each in text
        )
        + '"'
    )


def _arrow(extent: Extent) -> str:
    return "-->" if extent == "all" else "-.->"


def render_svg(relations: AccessGraph, title: str) -> str:
    """Return an SVG of its own: writers on the left, branches, readers on the right."""
    writes, reads = edges(relations)
    writers = list(dict.fromkeys(each.party for each in writes))
    readers = list(dict.fromkeys(each.party for each in reads))
    rows = max(len(writers), len(readers), len(relations.branches), 1)
    height = TOP + rows * ROW + 44
    width = 3 * WIDTH + 2 * GAP + 40
    columns = [20, 20 + WIDTH + GAP, 20 + 2 * (WIDTH + GAP)]
    shapes = [
        *_headings(columns),
        *(
            _curve(
                (columns[0] + WIDTH, _middle(writers.index(each.party), len(writers), rows)),
                (columns[1], _middle(each.branch, len(relations.branches), rows)),
                "write command" if relations.branches[each.branch].name == "commands" else "write",
                each.extent,
                _told(relations, each, "writes"),
            )
            for each in writes
        ),
        *(
            _curve(
                (columns[1] + WIDTH, _middle(each.branch, len(relations.branches), rows)),
                (columns[2], _middle(readers.index(each.party), len(readers), rows)),
                "read",
                each.extent,
                _told(relations, each, "reads"),
            )
            for each in reads
        ),
        *(
            _box(columns[0], _middle(index, len(writers), rows), relations.parties[row])
            for index, row in enumerate(writers)
        ),
        *(
            _box(columns[1], _middle(index, len(relations.branches), rows), branch)
            for index, branch in enumerate(relations.branches)
        ),
        *(
            _box(columns[2], _middle(index, len(readers), rows), relations.parties[row])
            for index, row in enumerate(readers)
        ),
    ]
    body = "\n".join(shapes)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" \
width="{width}" height="{height}" role="img" aria-labelledby="title desc">
<title id="title">{escape(title)}</title>
<desc id="desc">From left to right: who writes, the branches of the topic tree, who reads.</desc>
<style>{_STYLE}</style>
<rect class="ground" width="{width}" height="{height}"/>
{body}
<text class="note" x="20" y="{height - 16}">A dashed line: some of the branch only.</text>
</svg>
"""


def _told(relations: AccessGraph, edge: Edge, verb: str) -> str:
    return f"{relations.parties[edge.party].name} {verb} {relations.branches[edge.branch].name}"


def _middle(index: int, count: int, rows: int) -> float:
    """Return the height of a box's middle: a short column is spread over the tallest one's."""
    return TOP + (index + 0.5) * rows * ROW / max(count, 1)


def _headings(columns: list[int]) -> Iterator[str]:
    for x, text in zip(columns, ("writes", "topics", "reads"), strict=True):
        yield f'<text class="heading" x="{x + WIDTH / 2}" y="40">{text}</text>'


def _box(x: int, middle: float, what: Party | Branch) -> str:
    branch = isinstance(what, Branch)
    kind = "commands" if branch and what.name == "commands" else "branch" if branch else "party"
    told = what.filter if isinstance(what, Branch) else ", ".join(what.members)
    shown = what.name if len(what.name) <= 34 else f"{what.name[:33]}…"  # noqa: PLR2004 (fits WIDTH)
    radius = BOX / 2 if branch else 5
    return (
        f'<g class="{kind}"><title>{escape(told)}</title>'
        f'<rect x="{x}" y="{middle - BOX / 2:.1f}" width="{WIDTH}" height="{BOX}" rx="{radius}"/>'
        f'<text x="{x + WIDTH / 2}" y="{middle + 5:.1f}">{escape(shown)}</text></g>'
    )


def _curve(
    start: tuple[float, float], end: tuple[float, float], kind: str, extent: Extent, told: str
) -> str:
    bend = (end[0] - start[0]) / 2
    path = (
        f"M{start[0]:.1f} {start[1]:.1f}C{start[0] + bend:.1f} {start[1]:.1f} "
        f"{end[0] - bend:.1f} {end[1]:.1f} {end[0]:.1f} {end[1]:.1f}"
    )
    part = " part" if extent == "some" else ""
    return f'<path class="{kind}{part}" d="{path}"><title>{escape(told)}</title></path>'


# Orange and blue of a palette that colour-blind readers tell apart (Okabe and Ito).
_STYLE = """
svg { --ink: #1b1f24; --ground: #fff; --box: #f2f4f7; --edge: #9aa4b0; --write: #d55e00;
  --read: #0072b2; --commands: #fbe3d0; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e9ed; --ground: #14171b; --box: #232830;
  --edge: #566170; --write: #ff9d4d; --read: #56b4e9; --commands: #5a3010; } }
text { font: 13px system-ui, sans-serif; fill: var(--ink); text-anchor: middle; }
.heading { font-weight: bold; } .note { text-anchor: start; opacity: .7; }
.ground { fill: var(--ground); } g rect { fill: var(--box); stroke: var(--edge); }
.commands rect { fill: var(--commands); stroke: var(--write); stroke-width: 2; }
path { fill: none; stroke-width: 1.5; opacity: .6; }
.command { stroke-width: 4; opacity: 1; } path:hover { stroke-width: 4; opacity: 1; }
.write { stroke: var(--write); } .read { stroke: var(--read); }
.part { stroke-dasharray: 6 4; }
"""
