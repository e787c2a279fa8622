"""Draw the panels of a Grafana dashboard as SVG, from results of Prometheus."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

COLUMN, ROW, GAP = 50, 30, 6
"""The cell size and the gap of Grafana's grid of 24 columns, in pixels."""
COLOURS = ("#3366cc", "#dc3912", "#109618", "#ff9900")
TONES = {"green": "#2e7d32", "orange": "#ef6c00", "red": "#c62828"}
FONT = "font-family='sans-serif'"

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """The values of one series, with its legend."""

    legend: str
    points: Points


def render_panels(board: Mapping[str, Any], lines: Mapping[int, Sequence[Line]]) -> str:
    """Return the SVG; *lines* are the series, by the panel's ``id``."""
    panels = board["panels"]
    width = 24 * COLUMN
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * ROW
    drawn = "\n".join(
        element for panel in panels for element in _panel(panel, lines.get(panel["id"], ()))
    )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}'>\n<rect width='100%' height='100%' fill='#f4f5f5'/>\n"
        f"{drawn}\n</svg>\n"
    )


def _panel(panel: Mapping[str, Any], lines: Sequence[Line]) -> Iterator[str]:
    grid = panel["gridPos"]
    x, y = grid["x"] * COLUMN + GAP / 2, grid["y"] * ROW + GAP / 2
    w, h = grid["w"] * COLUMN - GAP, grid["h"] * ROW - GAP
    yield f"<g transform='translate({x:g},{y:g})'>"
    yield f"<rect width='{w}' height='{h}' fill='white' stroke='#d0d0d0'/>"
    yield _text(8, 18, panel["title"], size=13, weight="bold")
    shown = [line for line in lines if line.points]
    if not shown:
        yield _text(w / 2, h / 2, "No data", anchor="middle", fill="#888")
    elif panel["type"] == "stat":
        yield from _stat(panel, shown[0], w, h)
    else:
        yield from _graph(panel, shown, w, h)
    yield "</g>"


def _stat(panel: Mapping[str, Any], line: Line, w: float, h: float) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    value = line.points[-1][1]
    tone = "green"
    for step in defaults.get("thresholds", {}).get("steps", ()):
        if step["value"] is None or value >= step["value"]:
            tone = step["color"]
    text = _value(value, defaults["unit"])
    for mapping in defaults.get("mappings", ()):
        text = mapping["options"].get(f"{value:g}", {}).get("text", text)
    yield f"<rect x='8' y='28' width='{w - 16}' height='{h - 36}' rx='4' fill='{TONES[tone]}'/>"
    yield _text(w / 2, h / 2 + 24, text, size=30, anchor="middle", fill="white", weight="bold")


def _graph(panel: Mapping[str, Any], lines: Sequence[Line], w: float, h: float) -> Iterator[str]:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    left, top, right, bottom = 70.0, 34.0, w - 12, h - 46
    begin = min(line.points[0][0] for line in lines)
    end = max(*(line.points[-1][0] for line in lines), begin + 1)
    most = _ceiling(max(value for line in lines for _, value in line.points))
    for quarter in range(5):
        level = most * quarter / 4
        y = bottom - (bottom - top) * quarter / 4
        yield f"<line x1='{left}' y1='{y:.1f}' x2='{right}' y2='{y:.1f}' stroke='#e6e6e6'/>"
        yield _text(left - 6, y + 4, _value(level, unit), anchor="end", fill="#555")
    yield _text(left, bottom + 16, "0 s", fill="#555")
    yield _text(right, bottom + 16, f"{end - begin:.0f} s", anchor="end", fill="#555")
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(
            f"{left + (right - left) * (at - begin) / (end - begin):.1f},"
            f"{bottom - (bottom - top) * min(max(value, 0), most) / most:.1f}"
            for at, value in line.points
        )
        yield f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.6'/>"
        at = left + number * 150
        yield f"<rect x='{at}' y='{h - 20}' width='12' height='4' fill='{colour}'/>"
        yield _text(at + 18, h - 14, line.legend, fill="#333")


def _ceiling(value: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, ... that is not below *value*."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if value <= factor * power)


def _value(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value:,.0f} s"
    number = f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"  # noqa: PLR2004 (two significant digits)
    return number + {"cps": "/s", "Bps": " B/s"}.get(unit, "")


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 11,
    anchor: str = "start",
    fill: str = "#222",
    weight: str = "normal",
) -> str:
    return (
        f"<text x='{x:g}' y='{y:g}' {FONT} font-size='{size}' text-anchor='{anchor}' "
        f"fill='{fill}' font-weight='{weight}'>{escape(text)}</text>"
    )
