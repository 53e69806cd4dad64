"""Which parts are proposed, from what was seen of a product and what people did."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adclick_backend.answers.worth import (
    BENEFIT,
    CORRECTED,
    COST,
    NOTHING_SEEN,
    USUAL_SCORE,
    USUAL_SPREAD,
    HeldBack,
    SeenPart,
    kept,
    needed_score,
    worth_of,
)

CLEAN = HeldBack(good=[()] * 8)
DELETED, KEPT = SeenPart(0.7, 0.0), SeenPart(0.7, 1.0)


def test_what_is_proposed_is_worth_more_than_it_costs() -> None:
    needed = needed_score()
    assert kept(needed, NOTHING_SEEN) * BENEFIT == pytest.approx((1 - kept(needed, NOTHING_SEEN)) * COST)
    assert kept(needed - 0.01, NOTHING_SEEN) * BENEFIT < (1 - kept(needed - 0.01, NOTHING_SEEN)) * COST


@pytest.mark.parametrize(
    "seen",
    [
        NOTHING_SEEN,
        HeldBack([[SeenPart(0.5, 0)], [SeenPart(0.8, 0), SeenPart(0.2, 0)], []], [[SeenPart(0.6, 1)], []]),
    ],
)
def test_a_surer_part_is_never_less_likely_to_be_kept(seen: HeldBack) -> None:
    judged = [SeenPart(0.9, 0), SeenPart(0.4, 1), SeenPart(0.6, CORRECTED)]
    chances = [kept(n / 100, seen, judged) for n in range(101)]
    assert chances == sorted(chances)
    assert all(0 <= chance <= 1 for chance in chances)


def test_a_part_must_be_surer_than_what_good_images_show() -> None:
    noisy = HeldBack(good=[[SeenPart(0.7, 0)], [SeenPart(0.65, 0)], *[()] * 6])
    assert needed_score(CLEAN) == needed_score() < 0.65 < needed_score(noisy)
    everywhere = HeldBack([[SeenPart(0.9, 0)]] * 5 + [()] * 3, [[SeenPart(0.9, 1)]] * 8)
    assert needed_score(everywhere, [SeenPart(0.85, 1)] * 40) > 0.9  # whatever else was seen


def test_one_good_image_that_is_none_does_not_silence_a_product() -> None:
    """A defect that was marked as normal."""
    assert needed_score(HeldBack([[SeenPart(0.95, 0)], *[()] * 7])) < 0.8


def test_drawn_defects_that_are_found_let_less_sure_parts_through_and_false_parts_do_not() -> None:
    found = HeldBack(drawn=[[SeenPart(0.45, 1)]] * 8)
    missed = HeldBack(drawn=[[SeenPart(0.45, 0)]] * 8)
    assert needed_score(found) < needed_score() < needed_score(missed)


def test_a_person_who_deletes_ends_it_and_one_who_keeps_goes_on_seeing_it() -> None:
    """A few deletions are enough, however well drawn defects are found."""
    found = HeldBack(CLEAN.good, [[SeenPart(0.7, 1)]] * 8)
    assert needed_score(found, [KEPT] * 3) < 0.7
    assert needed_score(found, [DELETED] * 5) > 0.7
    assert math.isinf(needed_score(found, [SeenPart(0.99, 0)] * 40))


def test_who_keeps_doubtful_parts_comes_to_see_more_of_them() -> None:
    assert needed_score(CLEAN, [SeenPart(0.52, 1)] * 6) < needed_score(CLEAN)


def test_a_mask_is_kept_corrected_or_deleted_by_how_well_it_fits() -> None:
    assert [worth_of(fit) for fit in (0.9, 0.5, 0.4, 0.3, 0.2, 0.0)] == [1.0, 1.0, 0.5, 0.5, 0.0, 0.0]


def test_a_correction_counts_between_the_two() -> None:
    corrected = [SeenPart(0.6, CORRECTED)] * 4
    chances = [
        kept(0.6, CLEAN, judged) for judged in ([SeenPart(0.6, 0)] * 4, corrected, [SeenPart(0.6, 1)] * 4)
    ]
    assert chances == sorted(set(chances))


def test_what_is_usual_is_a_half_where_the_constants_say_so() -> None:
    assert kept(USUAL_SCORE, NOTHING_SEEN) == pytest.approx(0.5)
    assert kept(USUAL_SCORE + USUAL_SPREAD, NOTHING_SEEN) == pytest.approx(math.e / (1 + math.e))


def test_the_shift_of_a_product_is_the_most_probable_one() -> None:
    """Against the log-posterior on a fine grid, written out."""
    seen = HeldBack([[SeenPart(0.5, 0)], *[()] * 7], [[SeenPart(0.4, 1), SeenPart(0.3, CORRECTED)]])
    judged = [SeenPart(0.6, 0), SeenPart(0.55, 1)]
    weighted = [(2.0, 0.5, 0.0), (0.5, 0.4, 1.0), (0.5, 0.3, 0.5), (2.0, 0.6, 0.0), (2.0, 0.55, 1.0)]
    shifts = np.linspace(-6, 6, 120_001)
    posterior = -(shifts**2) / 2
    for weight, score, worth in weighted:
        odds = (score - USUAL_SCORE) / USUAL_SPREAD + shifts
        posterior += weight * (worth * odds - np.logaddexp(0, odds))
    best = float(shifts[posterior.argmax()])
    expected = USUAL_SCORE + USUAL_SPREAD * (math.log(COST / BENEFIT) - best)
    assert needed_score(seen, judged) == pytest.approx(expected, abs=1e-4)


def test_good_images_and_drawn_defects_are_counted_for_a_person() -> None:
    seen = HeldBack(
        [[SeenPart(0.6, 0), SeenPart(0.3, 0)], [SeenPart(0.3, 0)], []],
        [[SeenPart(0.6, 1)], [SeenPart(0.7, 0)], [SeenPart(0.2, 1)]],
    )
    assert [seen.spoilt(score) for score in (0.2, 0.5, 0.9)] == [2, 1, 0]
    assert [seen.found(score) for score in (0.1, 0.5, 0.9)] == [2, 1, 0]


def test_what_was_trained_on_the_project_is_trusted_until_people_delete_what_it_proposes() -> None:
    assert needed_score(learned=True) < 0.5 * needed_score()
    needed = [needed_score(judged=[SeenPart(0.5, 0.0)] * n, learned=True) for n in range(6)]
    assert needed == sorted(needed)
    assert needed[5] > 0.9 * needed_score()
    assert needed_score(judged=[SeenPart(0.5, 1.0)] * 5, learned=True) < needed[1]
    # Whoever proposes, nothing goes out that good images show as surely.
    assert needed_score(HeldBack(good=[[SeenPart(0.6, 0.0)]] * 8), learned=True) > 0.6
