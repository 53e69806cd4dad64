"""What is found and marked at each point of a curve."""

from __future__ import annotations

import numpy as np
import pytest

from model.metrics.operating_curve import POINTS, Seen, defects_in, likely_share, marked_at, seen_at


def hill(*tops: tuple[int, int, float], radius: float = 14.0) -> np.ndarray:
    """A map (160, 192) with a hill of a height at each (x, y)."""
    rows, columns = np.mgrid[:160, :192].astype(np.float32)
    heights = [top * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / radius**2) for x, y, top in tops]
    return np.maximum.reduce([np.full(rows.shape, 0.0002, np.float32), *heights]).astype(np.float32)


def disc(x: int, y: int, radius: float = 10.0) -> np.ndarray:
    rows, columns = np.mgrid[:160, :192]
    return np.hypot(rows - y, columns - x) <= radius


def test_the_points_are_even_in_the_log_odds_with_the_calibrated_one_in_the_middle() -> None:
    odds = np.log(np.array(POINTS) / (1 - np.array(POINTS)))
    assert (len(POINTS), POINTS[0], POINTS[12], POINTS[-1]) == (25, 0.001, 0.5, 0.999)
    assert np.allclose(np.diff(odds), np.diff(odds).mean(), atol=0.05)


def test_a_faint_defect_is_found_at_low_points_only() -> None:
    truth = disc(50, 60) | disc(140, 100)
    seen = seen_at(hill((50, 60, 0.98), (140, 100, 0.4)), truth)
    assert seen.defects == 2
    assert list(seen.found) == sorted(seen.found, reverse=True)
    by_point = dict(zip(POINTS, seen.found, strict=True))
    assert (by_point[0.001], by_point[0.5], by_point[0.999]) == (2, 1, 0)
    assert max(seen.overlap) > 0.5 > seen.overlap[0]
    assert seen.overlap[-1] == 0.0


def test_a_good_image_is_marked_below_the_height_of_its_highest_place() -> None:
    seen = seen_at(hill((90, 80, 0.3)))
    assert (seen.defects, set(seen.found), set(seen.overlap)) == (0, {0}, {0.0})
    marked = [point for point, is_marked in zip(POINTS, seen.marked, strict=True) if is_marked]
    assert marked and max(marked) < 0.3 and list(POINTS[: len(marked)]) == marked


def test_a_defect_beside_what_is_marked_is_not_found() -> None:
    seen = seen_at(hill((50, 60, 0.98)), disc(140, 100), (0.5,))
    assert seen == Seen(1, (0,), (0.0,), (True,))


def test_what_is_marked_follows_the_point() -> None:
    found = hill((90, 80, 0.9))
    areas = [int(marked_at(found, point).sum()) for point in (0.05, 0.3, 0.5, 0.8, 0.95)]
    assert areas == sorted(areas, reverse=True) and areas[0] > 3 * areas[2] > 0 == areas[4]


def test_pieces_of_one_scratch_are_one_defect() -> None:
    pieces = disc(40, 60, 5) | disc(54, 60, 5) | disc(120, 60, 5)
    groups = defects_in(pieces)
    assert set(np.unique(groups)) == {0, 1, 2}
    assert np.array_equal(groups > 0, pieces)
    assert groups[60, 40] == groups[60, 54] != groups[60, 120]


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 50, 0.0035, 0.105),
        (0, 0, 0.0, 1.0),
    ],
)
def test_few_images_leave_much_open(count: int, of: int, low: float, high: float) -> None:
    """As the tables of Brown, Cai and DasGupta have them."""
    assert likely_share(count, of) == pytest.approx((low, high), abs=0.0006)
