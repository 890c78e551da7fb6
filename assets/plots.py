"""Small pictures for Dagster's metadata: an SVG inside Markdown, which its UI shows in place and without asking another server.

The UI plots every number of the metadata over time by itself (the tab *Plots*). A picture is for what it cannot show: the course of one
run, or several measures together at a glance. It shows Markdown in place only below a thousand characters, so the drawing is as terse as
it can be, which no charting library is. To add one, call `lines`; must stay out: what is drawn.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from dagster import MarkdownMetadataValue, MetadataValue

WIDTH, HEIGHT = 380, 100
TOP = 30  # above it stands the legend
COLOURS = ("%234f43dd", "%230d9373", "%23c2570c")
SHOWN_IN_PLACE = 1000

Point = tuple[float | datetime, float]


def lines(title: str, series: Mapping[str, Sequence[Point]]) -> MarkdownMetadataValue | None:
    """Up to three lines from zero, over seconds or over time, each with its name and last value.

    Args:
        title: what is seen, for whoever cannot see it.
        series: name to points in order of time; the horizontal values all seconds or all times.

    Returns:
        None when nothing has moved yet: no series with two points.
    """
    drawn = {name: [(_seconds(x), y) for x, y in points] for name, points in series.items() if len(points) > 1}
    for points in range(40, 1, -2) if drawn else ():
        markdown = f"![{title}](<data:image/svg+xml,{_svg(drawn, points)}>)"
        if len(markdown) < SHOWN_IN_PLACE:
            return MetadataValue.md(markdown)
    return None


def _svg(drawn: Mapping[str, Sequence[tuple[float, float]]], points: int) -> str:
    every = [point for line in drawn.values() for point in line]
    left, right = min(x for x, _ in every), max(x for x, _ in every)
    highest = max(y for _, y in every)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' fill='none' font-size='12' font-family='sans-serif'>"
    ]
    for number, ((name, line), colour) in enumerate(zip(drawn.items(), COLOURS, strict=False)):
        path = " ".join(
            f"{_scale(x - left, right - left, WIDTH)} {HEIGHT - 1 - _scale(y, highest, HEIGHT - TOP)}" for x, y in _thinned(line, points)
        )
        parts.append(f"<path stroke='{colour}' stroke-width='2' d='M{path}'/>")
        parts.append(f"<text x='{number * WIDTH // 3}' y='14' fill='{colour}'>{name} {line[-1][1]:g}</text>")
    return "".join([*parts, "</svg>"]).replace("<", "%3C").replace(">", "%3E")


def _thinned(line: Sequence[tuple[float, float]], points: int) -> list[tuple[float, float]]:
    """At most so many points, the highest of each stretch, ending with the last."""
    size = -(-len(line) // points)
    stretches = [line[start : start + size] for start in range(0, len(line), size)]
    return [max(stretch, key=lambda point: point[1]) for stretch in stretches[:-1]] + [line[-1]]


def _scale(value: float, most: float, length: int) -> int:
    return round(value / most * (length - 1)) if most else 0


def _seconds(x: float | datetime) -> float:
    return x.timestamp() if isinstance(x, datetime) else x
