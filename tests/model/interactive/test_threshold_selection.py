from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.clicks import Click
from model.interactive.threshold_selection import THRESHOLD, ClickOnMask, _likelihood, select_threshold

FRAME = Frame(image_height=128, image_width=192, height=128, width=192)
NOTHING = np.zeros((64, 96), bool)


def disc(x: float, y: float, radius: float) -> NDArray[np.bool_]:
    """On the working frame."""
    rows, columns = np.indices((FRAME.height, FRAME.width))
    return np.asarray((columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 <= radius**2)


def halved(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return mask[::2, ::2]


def meant(
    probability: NDArray[np.float32], history: list[ClickOnMask], before: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], float]:
    logits = np.log(probability / (1 - probability)).astype(np.float32)
    known = None if before is None else np.where(before, 3, -3).astype(np.float32)
    found = select_threshold(logits, probability, FRAME, history, known)
    return found.logits > 0, found.expected_iou


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def rings(x: float, y: float, wide: float = 0.35) -> NDArray[np.float32]:
    """A sure core round (60, 64), and a doubtful disc twice as wide round (x, y)."""
    found = np.full((128, 192), 0.02, np.float32)
    found[disc(x, y, 40)] = wide
    found[disc(60, 64, 16)] = 0.97
    return found


def test_a_click_in_the_middle_of_the_core_means_the_core_and_one_in_the_middle_of_all_means_all() -> None:
    """The same map but for where the doubtful part lies: round the click, or to its right."""
    history = [ClickOnMask(Click(60.0, 64.0, True), NOTHING)]
    assert iou(meant(rings(60, 64), history)[0], disc(60, 64, 40)) > 0.95
    assert iou(meant(rings(90, 64), history)[0], disc(60, 64, 16)) > 0.9
    beside = [ClickOnMask(Click(90.0, 64.0, True), NOTHING)]
    assert iou(meant(rings(90, 64), beside)[0], disc(90, 64, 40) | disc(60, 64, 16)) > 0.95


def test_what_the_network_would_overturn_far_from_the_click_stays_as_it_was() -> None:
    """A click on a missing piece; the network adds that piece and, elsewhere, a larger one."""
    before = disc(60, 64, 16)
    found = np.full((128, 192), 0.02, np.float32)
    for new in (before, disc(80, 64, 12), disc(150, 64, 25)):
        found[new] = 0.95
    first = ClickOnMask(Click(60.0, 64.0, True), NOTHING)
    clicked, _ = meant(found, [first, ClickOnMask(Click(84.0, 64.0, True), halved(before))], before)
    assert iou(clicked, before | disc(80, 64, 12)) > 0.95
    far, _ = meant(found, [first, ClickOnMask(Click(150.0, 64.0, True), halved(before))], before)
    assert far[64, 150]


def test_earlier_clicks_still_count() -> None:
    """The second click fits the wide mask and the core alike; the first was in the middle of the core."""
    probability = rings(90, 64, wide=0.36)
    second = ClickOnMask(Click(60.0, 64.0, True), halved(disc(60, 64, 10)))
    first = ClickOnMask(Click(60.0, 64.0, True), NOTHING)
    assert iou(meant(probability, [second])[0], disc(90, 64, 40) | disc(60, 64, 16)) > 0.9
    assert iou(meant(probability, [first, second])[0], disc(60, 64, 16)) > 0.9


def test_without_clicks_that_are_known_the_map_decides() -> None:
    mask, score = meant(rings(60, 64, wide=0.6), [])
    assert iou(mask, disc(60, 64, 40)) > 0.95
    assert score == pytest.approx(0.6, abs=0.1)


def test_a_map_that_finds_nothing_gives_no_mask() -> None:
    mask, score = meant(
        np.full((128, 192), 0.01, np.float32), [ClickOnMask(Click(60.0, 64.0, True), NOTHING)]
    )
    assert not mask.any()
    assert score == 0.0


@pytest.mark.parametrize(
    ("x", "positive", "expected"),
    [(60.0, True, 1.0), (60.0, False, THRESHOLD.missed), (150.0, True, THRESHOLD.missed), (78.0, True, 0.5)],
)
def test_a_click_is_likelier_the_deeper_it_lies_in_the_error(
    x: float, positive: bool, expected: float
) -> None:
    history = ClickOnMask(Click(x, 64.0, positive), NOTHING)
    assert _likelihood(halved(disc(60, 64, 24)), history, FRAME) == pytest.approx(expected, abs=0.12)


def test_a_mask_that_leaves_no_error_explains_no_click() -> None:
    mask = halved(disc(60, 64, 24))
    assert _likelihood(mask, ClickOnMask(Click(60.0, 64.0, False), mask), FRAME) == THRESHOLD.missed
