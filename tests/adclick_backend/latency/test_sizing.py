"""The simulation of many annotators: what can be said of it without measuring anything."""

from __future__ import annotations

import sys

import pytest

from adclick_backend.latency.sizing import Figures, days, main, simulate

ALONE = Figures(open=0.5, click=0.1, write=0.01)


def test_who_is_alone_waits_for_the_work_and_for_nothing_else() -> None:
    found = simulate(1, 1, ALONE, seconds=600)
    assert found.opened == pytest.approx((0.5, 0.5))
    assert found.clicked == pytest.approx((0.11, 0.11))


def test_all_that_is_computed_was_asked_for() -> None:
    found = simulate(6, 3, ALONE, seconds=4000)
    clicks = found.database * 4000 / ALONE.write
    opened = found.images * 4000 / 3600
    assert found.backends * 3 * 4000 == pytest.approx(clicks * 0.11 + opened * 0.5, rel=0.02)
    assert clicks / opened == pytest.approx(ALONE.clicks, rel=0.05)


def test_more_annotators_wait_longer_and_more_backends_shorten_it() -> None:
    few, many, helped = simulate(4, 1, ALONE), simulate(24, 1, ALONE), simulate(24, 6, ALONE)
    assert few.opened[0] < many.opened[0] / 3
    assert helped.opened[1] < many.opened[1] / 2
    assert many.backends > 0.98


def test_a_click_waits_for_one_step_of_an_image_not_for_all_of_it() -> None:
    short, long = (simulate(16, 1, Figures(open=2.0, step=step)) for step in (0.05, 2.0))
    assert short.clicked[1] < 0.3 < long.clicked[0]


def test_a_slow_database_saturates_before_the_backends_do() -> None:
    found = simulate(64, 64, Figures(open=0.1, click=0.01, write=0.2))
    assert found.database > 0.98
    assert found.clicked[0] > 2.0


def test_the_same_seed_is_the_same_day() -> None:
    assert simulate(8, 2, seed=3) == simulate(8, 2, seed=3) != simulate(8, 2, seed=4)


@pytest.mark.parametrize(("annotators", "backends"), [(0, 1), (1, 0)])
def test_nobody_and_nothing_is_refused(annotators: int, backends: int) -> None:
    with pytest.raises(ValueError, match="at least one of each is needed"):
        simulate(annotators, backends)


def test_both_tables_are_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        sys, "argv", ["sizing", "--annotators", "2", "--backends", "1", "--images", "864000", "--image", "1"]
    )
    main()
    said = capsys.readouterr().out
    assert "| 2 | 1 | " in said
    assert "| 864 000 | 5.0 days | 0.6 days |" in said
    assert days(864_000, 2, Figures(image=1.0)) == pytest.approx(5.0)
