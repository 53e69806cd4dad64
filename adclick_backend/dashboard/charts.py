"""Line charts as the numbers of an SVG: the templates only write them down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Point = tuple[float, float]

WIDTH, HEIGHT = 520.0, 220.0  # of the drawing, in its own units
POINTS = 300  # of a curve: more than the drawing has pixels for, and a page may ask for it every other second
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 12.0, 30.0  # margins that hold the words


@dataclass(frozen=True)
class Tick:
    """A grid line: where (in units of the drawing) and what it says."""

    at: float
    words: str


@dataclass(frozen=True)
class Line:
    """One curve: ``"x,y x,y"`` as a polyline wants it, and its last value in words."""

    name: str
    points: str
    last: str
    end: Point


@dataclass(frozen=True)
class Chart:
    """Everything that the template draws."""

    title: str
    across: str  # what the horizontal axis counts
    lines: Sequence[Line]
    rows: Sequence[Tick]
    columns: Sequence[Tick]
    marker: float | None = None  # where an upright line shows a choice, in units of the drawing
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM

    @property
    def sentence(self) -> str:
        """What somebody hears who cannot see the curves."""
        return f"{self.title}: " + ", ".join(f"{line.name} now {line.last}" for line in self.lines) + "."


def draw_chart(
    title: str, curves: Mapping[str, Sequence[Point]], *, across: str, percent: bool = False
) -> Chart | None:
    """Lay out curves over one pair of axes, both from zero; None when nothing can be drawn yet.

    Args:
        title: above the chart.
        curves: name to (x, y) in the order to be joined, x and y 0 or more; points that are not finite are left out.
        across: what x counts.
        percent: y is a share in [0, 1], and the axis goes to 100 %.
    """
    finite = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in curves.items()}
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        return None
    most_x = max(x for points in finite.values() for x, _ in points) or 1.0
    rows = [0.0, 0.25, 0.5, 0.75, 1.0] if percent else steps(max(y for ps in finite.values() for _, y in ps))
    columns = [x for x in steps(most_x) if x <= most_x]

    def place(x: float, y: float) -> Point:
        shown = min(max(y, 0.0), rows[-1])
        return (
            round(LEFT + (WIDTH - LEFT - RIGHT) * x / most_x, 1),
            round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * shown / rows[-1], 1),
        )

    def words(y: float) -> str:
        return f"{100 * y:.0f} %" if percent else f"{y:.3g}"

    return Chart(
        title=title,
        across=across,
        lines=[
            Line(
                name=name,
                points=" ".join(f"{x},{y}" for x, y in (place(*point) for point in points)),
                last=words(points[-1][1]),
                end=place(*points[-1]),
            )
            for name, points in finite.items()
        ],
        rows=[Tick(place(0, y)[1], words(y)) for y in rows],
        columns=[Tick(place(x, 0)[0], f"{x:g}") for x in columns],
    )


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most about `POINTS` of many points, evenly spread, the last one among them."""
    step = -(-len(points) // POINTS)
    return [*points[:-1:step], points[-1]]


def steps(most: float) -> list[float]:
    """Round numbers from 0 to at least `most`, three to six of them, 1, 2 or 5 times a power of ten apart."""
    if not most > 0:
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(most / 5))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * 5 >= most * 0.999)
    return [round(step * number, 10) for number in range(math.ceil(most / step - 1e-9) + 1)]
