"""Memory and the time of clicks over the day, with what went on, as one SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from adclick_backend.dashboard.charts import Chart, Point, draw_chart
from tests.soak.record import Record, Window

BIN_S = 5.0  # of the curves of clicks
SCALE = 2.0  # of the dashboard's charts, which share a page with text
LEGEND = 16.0  # height of a line of the legend
COLOURS = ("#1f5fa8", "#c2571a", "#3a7d44")
SHADES = ("#555555", "#5f3dc4", "#2b8a3e", "#1971c2", "#a61e4d", "#e0a800", "#d9480f")


def draw(record: Record) -> str:
    """The SVG; the colour of a band says what went on, as the legend names it."""
    clicks = _clicks(record)
    end = max((at for points in clicks.values() for at, _ in points), default=0.0)
    samples = [sample for sample in record.samples if sample.at / 60 <= end]  # so that both axes are the same
    memory = {
        "all processes": [(sample.at / 60, sample.all_mb / 1000) for sample in samples],
        "without jobs": [(sample.at / 60, sample.server_mb / 1000) for sample in samples],
    }
    charts = [
        draw_chart("Resident memory, GB", memory, across="minutes"),
        draw_chart("Time of a click, s", clicks, across="minutes"),
    ]
    names = list(dict.fromkeys(window.name for window in record.windows))
    shades = {name: SHADES[i % len(SHADES)] for i, name in enumerate(names)}
    panels = [chart for chart in charts if chart is not None]
    parts: list[str] = []
    height = 8.0
    for chart in panels:
        parts.append(f'<g transform="translate(0 {height + LEGEND:.0f})">')
        parts += [*_bands(chart, record.windows, shades, end), *_drawn(chart), "</g>"]
        height += chart.height + LEGEND
    for name, shade in shades.items():
        height += LEGEND
        parts.append(
            f'<rect x="46" y="{height - 9:.0f}" width="12" height="9" fill="{shade}" opacity=".35"/>'
        )
        parts.append(f'<text x="64" y="{height:.0f}">{escape(name)}</text>')
    width, height = (panels[0].width if panels else 520.0), height + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{SCALE * width:g}" '
        f'height="{SCALE * height:g}" font-family="sans-serif" font-size="9">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _clicks(record: Record) -> Mapping[str, Sequence[Point]]:
    """Median and longest of the clicks that ended in each ``BIN_S``; x in minutes."""
    bins: dict[int, list[float]] = {}
    for one in record.asked:
        if one.what == "click" and not one.silent:
            bins.setdefault(int(one.ended / BIN_S), []).append(one.ended - one.began)
    middle = {n: (n + 0.5) * BIN_S / 60 for n in sorted(bins)}
    return {
        "longest": [(at, max(bins[n])) for n, at in middle.items()],
        "median": [(at, float(np.median(bins[n]))) for n, at in middle.items()],
    }


def _bands(chart: Chart, windows: Sequence[Window], shades: Mapping[str, str], end: float) -> list[str]:
    most = max(end, 1e-6)
    found = []
    for window in windows:
        left, right = (
            chart.left + (chart.right - chart.left) * min(max(at / 60 / most, 0.0), 1.0)
            for at in (window.began, window.ended)
        )
        # What lasts for most of the day is a line at the top, so that the others can be seen.
        tall = 3.0 if right - left > (chart.right - chart.left) / 2 else chart.bottom - chart.top
        found.append(
            f'<rect x="{left:.1f}" y="{chart.top:g}" width="{max(right - left, 1):.1f}" height="{tall:g}" '
            f'fill="{shades[window.name]}" opacity=".22"><title>{escape(window.name)}</title></rect>'
        )
    return found


def _drawn(chart: Chart) -> list[str]:
    """The chart itself, as the dashboard's template draws it."""
    keys = " ".join(
        f'<tspan fill="{COLOURS[i]}">{escape(line.name)}</tspan>' for i, line in enumerate(chart.lines)
    )
    found = [f'<text x="{chart.left:g}" y="4" font-weight="bold">{escape(chart.title)}: {keys}</text>']
    for row in chart.rows:
        found.append(
            f'<line x1="{chart.left:g}" x2="{chart.right:g}" y1="{row.at:g}" y2="{row.at:g}" stroke="#ddd"/>'
            f'<text x="{chart.left - 5:g}" y="{row.at + 3:g}" text-anchor="end">{escape(row.words)}</text>'
        )
    for column in chart.columns:
        found.append(
            f'<text x="{column.at:g}" y="{chart.bottom + 12:g}" text-anchor="middle">{escape(column.words)}</text>'
        )
    found.append(
        f'<text x="{chart.right:g}" y="{chart.bottom + 24:g}" text-anchor="end">{chart.across}</text>'
    )
    for i, line in enumerate(chart.lines):
        found.append(f'<polyline points="{line.points}" fill="none" stroke="{COLOURS[i]}" stroke-width="1"/>')
    return found
