"""Charts as numbers: round axes, everything inside the frame, nothing that is no number."""

from __future__ import annotations

import math

import pytest

from adclick_backend.dashboard.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, draw_chart, steps


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.73, [0.0, 0.2, 0.4, 0.6, 0.8]),
        (42, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]),
        (3e-4, [0.0, 1e-4, 2e-4, 3e-4]),
        (0.0, [0.0, 1.0]),
    ],
)
def test_axes_have_round_numbers(most: float, expected: list[float]) -> None:
    assert steps(most) == expected


def test_points_are_placed_between_the_margins() -> None:
    chart = draw_chart("Loss", {"loss": [(0, 2.0), (50, 1.0), (100, 0.0)]}, across="%")
    assert chart is not None
    points = [tuple(map(float, point.split(","))) for point in chart.lines[0].points.split()]
    middle = (LEFT + (WIDTH - LEFT - RIGHT) / 2, TOP + (HEIGHT - TOP - BOTTOM) / 2)
    assert points == [(LEFT, TOP), middle, (WIDTH - RIGHT, HEIGHT - BOTTOM)]
    assert chart.lines[0].end == points[-1]
    assert chart.sentence == "Loss: loss now 0."


def test_what_is_no_number_is_left_out_and_what_is_beyond_the_axis_stays_inside() -> None:
    curves = {"iou": [(0, math.nan), (1, 0.5), (2, math.inf), (3, 1.2), (4, -0.1)], "empty": [(0, math.nan)]}
    chart = draw_chart("Measures", curves, across="%", percent=True)
    assert chart is not None
    assert [line.name for line in chart.lines] == ["iou"]
    heights = [float(point.split(",")[1]) for point in chart.lines[0].points.split()]
    assert heights == [(TOP + HEIGHT - BOTTOM) / 2, TOP, HEIGHT - BOTTOM]
    assert [row.words for row in chart.rows] == ["0 %", "25 %", "50 %", "75 %", "100 %"]


def test_without_a_point_there_is_no_chart() -> None:
    assert draw_chart("Loss", {"loss": []}, across="%") is None
    assert draw_chart("Loss", {}, across="%") is None


def test_a_single_point_at_the_origin_can_be_drawn() -> None:
    chart = draw_chart("Loss", {"loss": [(0, 0.0)]}, across="%")
    assert chart is not None
    assert chart.lines[0].points == f"{LEFT},{HEIGHT - BOTTOM}"
