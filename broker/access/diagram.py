"""The access graph as a diagram of writers, branches and readers, in Mermaid and in SVG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from broker.access.graph import AccessGraph, Branch, Extent, Party

ROW, BOX, WIDTH, GAP, TOP = 46, 32, 270, 190, 64
"""Pixels: row height, box height, column width, gap between columns, top margin."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A party that writes or reads a branch, all of it or some."""

    party: int
    branch: int
    extent: Extent


def edges(graph: AccessGraph) -> tuple[tuple[Edge, ...], tuple[Edge, ...]]:
    """Return the edges from writers to branches, and those from branches to readers."""
    writes, reads = (
        tuple(
            Edge(party=row, branch=column, extent=extent)
            for row, party in enumerate(graph.parties)
            for column, branch in enumerate(graph.branches)
            if (extent := party.extent(branch, direction)) != "none"
        )
        for direction in ("write", "read")
    )
    return writes, reads


def render_mermaid(graph: AccessGraph) -> str:
    """Return a Mermaid flowchart from writers through branches to readers."""
    writes, reads = edges(graph)
    lines = ["flowchart LR"]
    lines += [
        f"  w{row}[{_quoted(graph.parties[row].name)}]"
        for row in dict.fromkeys(edge.party for edge in writes)
    ]
    lines += [
        f"  t{column}([{_quoted(branch.name)}])" for column, branch in enumerate(graph.branches)
    ]
    lines += [
        f"  r{row}[{_quoted(graph.parties[row].name)}]"
        for row in dict.fromkeys(edge.party for edge in reads)
    ]
    lines += [f"  w{edge.party} {_arrow(edge.extent)} t{edge.branch}" for edge in writes]
    lines += [f"  t{edge.branch} {_arrow(edge.extent)} r{edge.party}" for edge in reads]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Quote a label; Mermaid's entities are numeric and begin with # in place of HTML's &#."""
    return (
        '"'
        + "".join(
            character if character.isalnum() or character in " _.-,()/" else f"#{ord(character)};"
            for character in text
        )
        + '"'
    )


def _arrow(extent: Extent) -> str:
    return "-->" if extent == "all" else "-.->"


def render_svg(graph: AccessGraph, title: str) -> str:
    """Return a self-contained SVG: writers on the left, branches, readers on the right."""
    writes, reads = edges(graph)
    writers = list(dict.fromkeys(edge.party for edge in writes))
    readers = list(dict.fromkeys(edge.party for edge in reads))
    rows = max(len(writers), len(readers), len(graph.branches), 1)
    height = TOP + rows * ROW + 44
    width = 3 * WIDTH + 2 * GAP + 40
    columns = [20, 20 + WIDTH + GAP, 20 + 2 * (WIDTH + GAP)]
    shapes = [
        *_headings(columns),
        *(
            _curve(
                (columns[0] + WIDTH, _middle(writers.index(edge.party), len(writers), rows)),
                (columns[1], _middle(edge.branch, len(graph.branches), rows)),
                "write command" if graph.branches[edge.branch].name == "commands" else "write",
                edge.extent,
                _edge_title(graph, edge, "writes"),
            )
            for edge in writes
        ),
        *(
            _curve(
                (columns[1] + WIDTH, _middle(edge.branch, len(graph.branches), rows)),
                (columns[2], _middle(readers.index(edge.party), len(readers), rows)),
                "read",
                edge.extent,
                _edge_title(graph, edge, "reads"),
            )
            for edge in reads
        ),
        *(
            _box(columns[0], _middle(index, len(writers), rows), graph.parties[row])
            for index, row in enumerate(writers)
        ),
        *(
            _box(columns[1], _middle(index, len(graph.branches), rows), branch)
            for index, branch in enumerate(graph.branches)
        ),
        *(
            _box(columns[2], _middle(index, len(readers), rows), graph.parties[row])
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


def _edge_title(graph: AccessGraph, edge: Edge, verb: str) -> str:
    return f"{graph.parties[edge.party].name} {verb} {graph.branches[edge.branch].name}"


def _middle(index: int, count: int, rows: int) -> float:
    """Return y of the middle of a box; a short column is spread over the height of the tallest."""
    return TOP + (index + 0.5) * rows * ROW / max(count, 1)


def _headings(columns: list[int]) -> Iterator[str]:
    for x, text in zip(columns, ("writes", "topics", "reads"), strict=True):
        yield f'<text class="heading" x="{x + WIDTH / 2}" y="40">{text}</text>'


def _box(x: int, middle: float, node: Party | Branch) -> str:
    if isinstance(node, Branch):
        kind = "commands" if node.name == "commands" else "branch"
        title, radius = node.filter, BOX / 2
    else:
        kind, title, radius = "party", ", ".join(node.members), 5
    label = node.name if len(node.name) <= 34 else f"{node.name[:33]}…"  # noqa: PLR2004 (fits WIDTH)
    return (
        f'<g class="{kind}"><title>{escape(title)}</title>'
        f'<rect x="{x}" y="{middle - BOX / 2:.1f}" width="{WIDTH}" height="{BOX}" rx="{radius}"/>'
        f'<text x="{x + WIDTH / 2}" y="{middle + 5:.1f}">{escape(label)}</text></g>'
    )


def _curve(
    start: tuple[float, float], end: tuple[float, float], kind: str, extent: Extent, title: str
) -> str:
    bend = (end[0] - start[0]) / 2
    path = (
        f"M{start[0]:.1f} {start[1]:.1f}C{start[0] + bend:.1f} {start[1]:.1f} "
        f"{end[0] - bend:.1f} {end[1]:.1f} {end[0]:.1f} {end[1]:.1f}"
    )
    style = f"{kind} part" if extent == "some" else kind
    return f'<path class="{style}" d="{path}"><title>{escape(title)}</title></path>'


# Orange and blue of the palette of Okabe and Ito, for colour-blind readers.
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
