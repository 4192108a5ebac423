"""Layout of line charts for inline SVG. All text is escaped by the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 440, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 30
"""Margins of the plotting area, in the units of the view box."""

AREA = {
    "width": WIDTH,
    "height": HEIGHT,
    "left": LEFT,
    "right": WIDTH - RIGHT,
    "top": TOP,
    "bottom": HEIGHT - BOTTOM,
}
"""The view box and the plotting area, for the template."""


@dataclass(frozen=True)
class Tick:
    """A tick of an axis: position and text."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """A run's line: name, points in SVG syntax, last value and its position."""

    name: str
    points: str
    last: float
    end: tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """A line chart.

    Attributes:
        title: of the chart.
        x: ticks of the rounds.
        y: ticks of the values.
        lines: one per run, the reported run's first.
        low, high: minimum and maximum of the first line, for the alternative text.
    """

    title: str
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    lines: tuple[Line, ...]
    low: float
    high: float


def line_chart(
    title: str, series: Mapping[str, Sequence[tuple[float, float]]], at: Sequence[float] | None = None
) -> Chart:
    """A chart of named series of (x, y); the first is the reported run's.

    Args:
        title: of the chart.
        series: by name.
        at: where the x axis has ticks; None: at round numbers.

    Raises:
        ValueError: a series is empty.
    """
    from matplotlib.ticker import MaxNLocator

    if not series or not all(series.values()):
        raise ValueError(f"{title}: a series is empty")
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    flat = 0.0 if max(ys) > min(ys) else 1.0  # one value has no range of its own
    y_ticks = [float(value) for value in MaxNLocator(5).tick_values(min(ys) - flat, max(ys) + flat)]
    x_ticks = [float(value) for value in at or MaxNLocator(6, integer=True).tick_values(min(xs), max(xs))]
    x_low, x_high = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        up = (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return round(LEFT + across, 1), round(HEIGHT - BOTTOM - up, 1)

    lines = []
    for name, points in series.items():
        placed = [place(x, y) for x, y in points]
        drawn = " ".join(f"{x},{y}" for x, y in placed)
        lines.append(Line(name, drawn, points[-1][1], placed[-1]))
    own = [y for _, y in next(iter(series.values()))]
    return Chart(
        title=title,
        x=tuple(Tick(place(x, y_low)[0], f"{x:g}") for x in x_ticks if x_low <= x <= x_high),
        y=tuple(Tick(place(x_low, y)[1], f"{y:g}") for y in y_ticks),
        lines=tuple(lines),
        low=min(own),
        high=max(own),
    )
