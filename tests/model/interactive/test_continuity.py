from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.clicks import Click
from model.interactive.continuity import CONTINUITY, continued

Mask = NDArray[np.bool_]

STIFF = replace(CONTINUITY, edge=0)
"""With borders that no click moves, so that what else a click may change is seen to the pixel."""

FRAME = Frame(image_height=256, image_width=384, height=128, width=192)  # the image is twice as large


def disc(x: int, y: int, radius: float) -> Mask:
    rows, columns = np.indices((FRAME.height, FRAME.width))
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


def logits(mask: Mask, sure: float = 0.9) -> NDArray[np.float32]:
    return np.where(mask, sure, -sure).astype(np.float32)


def after(new: Mask, shown: Mask, *clicks: Click, sure: float = 0.9, better: bool = True) -> Mask:
    expected = (0.5, 0.6) if better else (0.6, 0.5)
    return continued(logits(new, sure), logits(shown), clicks, FRAME, expected, STIFF) > 0


def this(x: float, y: float) -> Click:
    return Click(2 * x, 2 * y, True)


def not_this(x: float, y: float) -> Click:
    return Click(2 * x, 2 * y, False)


CONFIRMED, MISSING, ELSEWHERE = disc(40, 40, 12), disc(80, 40, 10), disc(170, 110, 12)


def test_this_adds_and_takes_nothing_away() -> None:
    shown = CONFIRMED | ELSEWHERE
    found = after(MISSING, shown, this(40, 40), this(80, 40))
    assert (found == shown | MISSING).all()


def test_not_this_takes_away_and_adds_nothing() -> None:
    shown = CONFIRMED | MISSING
    found = after(CONFIRMED | ELSEWHERE, shown, this(40, 40), not_this(80, 40))
    assert (found == CONFIRMED).all()


def test_this_reaches_as_far_as_it_lies_from_the_mask() -> None:
    near = disc(56, 40, 6)  # 5 working pixels from what was confirmed
    found = after(CONFIRMED | near | ELSEWHERE, CONFIRMED, this(40, 40), this(57, 40))
    assert (found == CONFIRMED | near).all()
    far = after(
        CONFIRMED | near | ELSEWHERE, CONFIRMED, this(40, 40), this(100, 75)
    )  # in the middle of nowhere
    assert (far == CONFIRMED | near | ELSEWHERE).all()


def test_not_this_reaches_as_far_as_it_lies_in_the_mask() -> None:
    """At the tip of a spike nobody speaks of the disc that the spike belongs to."""
    spike = np.zeros_like(CONFIRMED)
    spike[37:44, 50:75] = True
    shown = CONFIRMED | spike
    found = after(np.zeros_like(shown), shown, this(40, 40), not_this(70, 40))
    assert (found & CONFIRMED).sum() == CONFIRMED.sum()
    assert not found[:, 68:].any()


def test_an_answer_that_is_not_the_better_one_is_believed_less_far() -> None:
    band = np.zeros_like(CONFIRMED)
    band[36:45, 40:150] = True
    clicks = this(40, 40), this(57, 40)
    far, near = (
        after(CONFIRMED | band, CONFIRMED, *clicks, better=better).sum(0) for better in (True, False)
    )
    assert np.nonzero(far)[0].max() == pytest.approx(
        57 + 8 * 6, abs=3
    )  # it lies 5 from the mask, the deepest one round it 8
    assert np.nonzero(near)[0].max() == pytest.approx(57 + 8 * 6 * 0.35, abs=2)


def test_what_the_better_answer_is_sure_of_is_believed_everywhere() -> None:
    clicks = this(40, 40), not_this(80, 40)
    shown = CONFIRMED | MISSING | ELSEWHERE
    assert (after(CONFIRMED, shown, *clicks, sure=1.1) == CONFIRMED).all()
    worse = after(CONFIRMED, shown, *clicks, sure=1.1, better=False)
    assert (worse & ~disc(80, 40, 7) == shown & ~disc(80, 40, 7)).all()
    assert not worse[40, 80]
    nobody_said_this = after(np.zeros_like(shown), shown, not_this(80, 40), sure=1.1)
    assert (nobody_said_this == CONFIRMED | ELSEWHERE).all()


def test_a_poor_mask_may_change_anywhere_but_not_the_other_way() -> None:
    clicks = [this(40, 40), not_this(80, 40)]
    shown = CONFIRMED | MISSING | ELSEWHERE
    new = logits(CONFIRMED | disc(120, 60, 8))
    assert ((continued(new, logits(shown), clicks, FRAME, (0.2, 0.1), STIFF) > 0) == CONFIRMED).all()


@pytest.mark.parametrize("x", [60, 110, 160])
def test_a_part_that_nobody_confirmed_goes_whole_when_its_middle_is_clicked(x: int) -> None:
    scratch = np.zeros_like(CONFIRMED)
    scratch[97:104, 50:170] = True
    shown = CONFIRMED | scratch
    assert (after(CONFIRMED, shown, this(40, 40), not_this(x, 100)) == CONFIRMED).all()
    kept = after(CONFIRMED, shown, this(40, 40), this(168, 100), not_this(x, 100))
    assert not kept[100, x]
    assert kept[scratch].sum() > 0.8 * scratch.sum()
    unsure = after(CONFIRMED, shown, this(40, 40), not_this(x, 100), better=False)
    assert unsure[scratch].sum() > 0.8 * scratch.sum()


def test_what_stays_against_the_newest_map_is_undecided_and_all_else_is_the_map() -> None:
    new = logits(MISSING)
    found = continued(new, logits(CONFIRMED), [this(40, 40), this(80, 40)], FRAME, (0.5, 0.6), STIFF)
    assert found.dtype == np.float32
    assert np.unique(found[CONFIRMED]) == pytest.approx([CONTINUITY.undecided])
    assert (found[~CONFIRMED] == new[~CONFIRMED]).all()


def test_every_click_may_move_the_border_of_the_mask_a_little_and_no_more() -> None:
    for new, click in ((disc(40, 40, 9), this(150, 100)), (disc(40, 40, 15), not_this(150, 100))):
        found = continued(logits(new), logits(CONFIRMED), [this(40, 40), click], FRAME, (0.6, 0.5))
        moved = (found > 0) ^ CONFIRMED
        assert moved.any()
        assert not (moved & disc(40, 40, 10)).any()
        assert not (moved & ~disc(40, 40, 14)).any()


@pytest.mark.parametrize(("surely", "gone"), [(120, True), (90, False)])
def test_a_part_that_nobody_confirmed_goes_whole_when_most_of_it_does(surely: int, gone: bool) -> None:
    """The click missed it a little, and the newest map is sure of the part up to a column only."""
    scratch = np.zeros_like(CONFIRMED)
    scratch[97:104, 50:170] = True
    new = logits(CONFIRMED)
    new[:, :surely] *= 2
    shown, clicks = CONFIRMED | scratch, [this(40, 40), not_this(60, 94)]
    found = continued(new, logits(shown), clicks, FRAME, (0.5, 0.6), STIFF) > 0
    assert found[scratch].any() != gone
    clicks = [this(40, 40), this(160, 100), not_this(60, 94)]
    found = continued(new, logits(shown), clicks, FRAME, (0.5, 0.6), STIFF) > 0
    assert found[scratch].sum() == scratch[:, surely:].sum()


def test_most_of_a_proposal_may_go_and_the_rest_stay() -> None:
    """Before a "this", a part is a proposal, of which some may be right."""
    proposed = disc(100, 60, 20)
    for clicks, rest in (([not_this(110, 60)], True), ([this(40, 40), not_this(110, 60)], False)):
        found = after(np.zeros_like(proposed), proposed, *clicks)
        assert found.any() == rest
        assert found.sum() < 0.5 * proposed.sum()
