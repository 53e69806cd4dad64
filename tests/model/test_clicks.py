from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from model.clicks import Click, _depth, next_click, simulate_clicks


def disc(size: int, x: int, y: int, radius: int) -> np.ndarray:
    yy, xx = np.mgrid[:size, :size]
    return (xx - x) ** 2 + (yy - y) ** 2 <= radius**2


def test_the_first_click_hits_the_middle_of_the_defect() -> None:
    assert next_click(disc(64, 20, 40, 9), np.zeros((64, 64), bool), []) == Click(20.5, 40.5, True)


def test_the_next_click_goes_to_the_deeper_error() -> None:
    target, prediction = disc(64, 20, 20, 4), disc(64, 45, 45, 9)
    assert next_click(target, prediction, []) == Click(45.5, 45.5, False)
    assert next_click(disc(64, 20, 20, 9), disc(64, 45, 45, 4), []) == Click(20.5, 20.5, True)


def test_a_perfect_mask_needs_no_click() -> None:
    target = disc(64, 20, 20, 9)
    assert next_click(target, target, []) is None


def test_simulated_clicks_go_on_until_nothing_is_wrong() -> None:
    target = disc(64, 20, 20, 9) | disc(64, 45, 45, 4)
    shown: list[tuple[int, float | None]] = []

    def answer(clicks: Sequence[Click], before: float | None) -> float:
        shown.append((len(clicks), before))
        return len(clicks) / 2

    def mask_of(found: float) -> np.ndarray:
        return target & disc(64, 20, 20, 9) if found < 1 else target

    given = list(simulate_clicks(target, answer, mask_of))
    assert shown == [(1, None), (2, 0.5)]
    assert [found for _, found in given] == [0.5, 1.0]
    assert [clicks for clicks, _ in given] == [
        [Click(20.5, 20.5, True)],
        [Click(20.5, 20.5, True), Click(45.5, 45.5, True)],
    ]
    assert list(simulate_clicks(np.zeros((8, 8), bool), answer, mask_of)) == []


def test_the_border_of_the_image_is_the_border_of_the_error() -> None:
    click = next_click(np.ones((9, 9), bool), np.zeros((9, 9), bool), [])
    assert click == Click(4.5, 4.5, True)


def test_no_pixel_is_clicked_twice() -> None:
    target = np.zeros((16, 16), bool)
    target[5, 5] = True
    assert next_click(target, np.zeros_like(target), [Click(5.5, 5.5, True)]) is None


def test_jittered_clicks_scatter_but_stay_in_the_error() -> None:
    rng, target = np.random.default_rng(0), disc(64, 30, 30, 10)
    clicks = [next_click(target, np.zeros_like(target), [], rng, jitter=6.0) for _ in range(50)]
    places = {(c.x, c.y) for c in clicks if c}
    assert len(places) > 20
    assert all(target[int(y), int(x)] for x, y in places)


def test_depths_are_exact_wherever_the_arrays_lie_in_memory() -> None:
    """Else the middle of an error with several deepest pixels would be another one from run to run."""
    rng = np.random.default_rng(3)
    region = cv2.dilate((rng.random((90, 130)) > 0.97).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    rows, columns = np.nonzero(~np.pad(region, 1))
    keep = []
    for offset in range(6):
        keep.append(np.zeros(7 * offset + 1, np.uint8))  # moves what is allocated next
        depth = _depth(region)
        for y, x in ((10, 20), (44, 65), (80, 120)):
            nearest = int(((rows - 1 - y) ** 2 + (columns - 1 - x) ** 2).min()) if region[y, x] else 0
            assert float(depth[y, x]) == float(np.float32(np.sqrt(nearest)))
