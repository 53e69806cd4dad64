"""Operating points move the 0.5 of a map, and change nothing where nobody chose one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adclick_runtime.frame import Frame
from adclick_runtime.operating_points import PointError, at_points, checked_points
from adclick_runtime.regions import propose

RAMP = np.linspace(0, 1, 101, dtype=np.float32).reshape(1, 101)


def test_a_type_without_a_point_keeps_its_very_array() -> None:
    moved = at_points(
        {"scratch": RAMP, "dent": RAMP, "hole": RAMP}, {"dent": 0.3, "hole": 0.5, "unknown": 0.1}
    )
    assert list(moved) == ["scratch", "dent", "hole"]
    assert moved["scratch"] is RAMP
    assert moved["hole"] is RAMP
    assert moved["dent"] is not RAMP


@pytest.mark.parametrize("point", [0.001, 0.2, 0.7, 0.999])
def test_logits_are_shifted_by_that_of_the_point(point: float) -> None:
    moved = at_points({"dent": RAMP}, {"dent": point})["dent"]
    assert moved.dtype == np.float32
    inner = RAMP[0, 1:-1].astype(np.float64)
    wanted = np.log(inner / (1 - inner)) - math.log(point / (1 - point))
    assert np.allclose(moved[0, 1:-1], 1 / (1 + np.exp(-wanted)), atol=1e-5)
    assert (moved[0, 0], moved[0, -1]) == (0, 1)
    assert np.all(np.diff(moved[0]) >= 0)


@pytest.mark.parametrize("point", [0.2, 0.5, 0.8])
def test_a_region_reaches_as_far_as_the_point_says(point: float) -> None:
    far = np.hypot(*(np.mgrid[:128, :128] - 64.0)).astype(np.float32)
    hill = np.exp(-((far / 30) ** 2)).astype(np.float32)  # 1 in the middle
    regions, _ = propose(at_points({"dent": hill}, {"dent": point}), Frame(128, 128, 128, 128))
    assert len(regions) == 1
    truth = hill > point
    mask = regions[0].mask
    assert (mask & truth).sum() / (mask | truth).sum() > 0.97


@pytest.mark.parametrize("point", [0, 1, -0.1, 1.5, 0.0001, math.nan, math.inf, "0.5", None, True])
def test_what_is_no_probability_is_refused_with_the_value(point: object) -> None:
    with pytest.raises(PointError, match=r"threshold of 'dent' cannot be .*from 0\.001 to 0\.999"):
        checked_points({"dent": point})


def test_points_are_sorted_and_the_usual_one_is_none() -> None:
    assert checked_points({"scratch": 0.3, "dent": 0.5, "crack": 0.9}) == {"crack": 0.9, "scratch": 0.3}
    assert list(checked_points({"b": 0.3, "a": 0.9})) == ["a", "b"]
