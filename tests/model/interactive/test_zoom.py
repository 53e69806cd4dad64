from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.clicks import Click
from model.interactive.answer import Answer, answer
from model.interactive.prediction import Prediction, blank
from model.interactive.predictor import Predictor
from model.interactive.zoom import ZOOM, Window, expected_windows, window_for

SHAPE = (3000, 4000)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor()


@pytest.fixture
def seen(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """The frames that the network looked at."""
    frames: list[Frame] = []
    logits = predictor.logits
    monkeypatch.setattr(predictor, "logits", lambda p, f, *rest: (frames.append(f), logits(p, f, *rest))[1])
    return frames


def test_a_window_holds_mask_and_clicks_with_room_around() -> None:
    clicks = [Click(2000.0, 1500.0, True), Click(2200.0, 1500.0, True)]
    window = window_for((1480.0, 1990.0, 1520.0, 2160.0), clicks, SHAPE, 512)
    assert window is not None
    assert window.height == window.width == 420  # twice from 1990 to 2200
    assert all(window.holds(c) for c in clicks)
    assert window.top < 1480 - 50


def test_a_window_lies_inside_the_image() -> None:
    window = window_for(None, [Click(3999.5, 0.5, True)], SHAPE, 512)
    assert window == Window(0, 4000 - ZOOM.smallest, ZOOM.smallest, ZOOM.smallest)


def test_what_is_large_is_seen_in_the_whole_image() -> None:
    click = [Click(2000.0, 1500.0, True)]
    assert window_for((500.0, 500.0, 2500.0, 3500.0), click, SHAPE, 512) is None
    assert window_for(None, [Click(2000.0, 1500.0, False)], SHAPE, 512) is None
    assert window_for(None, [Click(30.0, 30.0, True)], (96, 96), 512) is None  # nothing more to be seen


def test_an_open_window_is_kept_while_it_fits() -> None:
    click, before = [Click(2000.0, 1500.0, True)], Window(1100, 1600, 800, 800)
    assert window_for((1300.0, 1800.0, 1700.0, 2200.0), click, SHAPE, 512, before) == before
    assert window_for((1490.0, 1990.0, 1510.0, 2010.0), click, SHAPE, 512, before) != before  # much too large
    assert window_for((1110.0, 1800.0, 1500.0, 2200.0), click, SHAPE, 512, before) != before  # at its border


def test_the_same_part_of_a_smaller_reference() -> None:
    window = Window(100, 200, 50, 60).of_size((1000, 2000), (500, 1000))
    assert window == Window(50, 100, 25, 30)
    assert Window(0, 0, 1000, 2000).of_size((1000, 2000), (3, 3)) == Window(0, 0, 3, 3)


def twelve_megapixels(rng: np.random.Generator, spots: list[tuple[int, int]]) -> NDArray[np.uint8]:
    """A brushed plate with dark round spots of 20 px, and coarse structure to lose them in."""
    lines = cv2.GaussianBlur(rng.normal(0, 60, (SHAPE[0], 1)).astype(np.float32), (1, 31), 6)
    image = np.repeat(np.repeat(140 + lines, SHAPE[1], 1)[..., None], 3, 2)
    for x in range(300, 4000, 600):
        cv2.circle(image, (x, 1500), 120, (190, 180, 170), -1)
    for x, y in spots:
        cv2.circle(image, (x, y), 10, (60, 50, 45), -1, cv2.LINE_AA)
    small = rng.normal(0, 5, (SHAPE[0] // 4, SHAPE[1])).astype(np.float32)
    return np.clip(image + np.tile(small, (4, 1))[..., None], 0, 255).astype(np.uint8)


def test_a_defect_of_20_pixels_in_12_megapixels_takes_two_clicks(predictor: Predictor) -> None:
    rng = np.random.default_rng(3)
    image, good = twelve_megapixels(rng, [(1234, 987)]), twelve_megapixels(rng, [])
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    true = (columns - 1234) ** 2 + (rows - 987) ** 2 <= 10**2
    frame = Frame.of(*SHAPE, predictor.long_side)
    prepared = predictor.prepare(predictor.encode(image), [predictor.encode(good)], None)
    opened: dict[Window, object] = {}

    def look(window: Window):  # type: ignore[no-untyped-def]
        opened.setdefault(window, predictor.look(image, window, [good]))
        return opened[window]

    clicks = [Click(1237.5, 985.5, True)]
    first = answer(predictor, prepared, frame, clicks, None, look)
    clicks.append(Click(1230.5, 992.5, True))
    second = answer(predictor, prepared, frame, clicks, first, look)
    mask = second.mask()
    assert mask.shape == SHAPE
    assert (mask & true).sum() / (mask | true).sum() > 0.7
    assert len(opened) <= 2
    assert second.probability.shape == (frame.height, frame.width)


def test_while_the_window_fits_the_whole_image_is_not_looked_at_again(
    predictor: Predictor, seen: list[Frame]
) -> None:
    rng = np.random.default_rng(4)
    image, good = twelve_megapixels(rng, [(1234, 987)]), twelve_megapixels(rng, [])
    frame = Frame.of(*SHAPE, predictor.long_side)
    prepared = predictor.prepare(predictor.encode(image), [predictor.encode(good)], None)

    def look(window: Window):  # type: ignore[no-untyped-def]
        return predictor.look(image, window, [good])

    clicks = [Click(1234.0, 987.0, True)]
    found = answer(predictor, prepared, frame, clicks, None, look)
    assert frame in seen
    seen.clear()
    clicks.append(Click(1237.0, 990.0, True))
    found = answer(predictor, prepared, frame, clicks, found, look)
    assert frame not in seen
    assert found.mask()[987, 1234]
    beside = answer(predictor, prepared, frame, [*clicks, Click(3000.0, 2000.0, False)], found, look)
    assert beside.window == found.window
    assert np.array_equal(beside.mask(), found.mask())  # "not this" where nothing was
    seen.clear()
    clicks.append(Click(3000.0, 2000.0, True))  # far outside of it
    found = answer(predictor, prepared, frame, clicks, found, look)
    assert frame in seen
    assert found.mask()[2000, 3000]


def test_windows_are_expected_round_the_largest_parts_of_a_proposal() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[1000:1100, 2000:2200] = mask[300:330, 400:430] = mask[2000:2010, 100:110] = True
    wide, small = expected_windows(mask, 512)
    assert wide == Window(850, 1900, 400, 400)  # twice 200, round the middle
    assert small == Window(315 - ZOOM.smallest // 2, 415 - ZOOM.smallest // 2, ZOOM.smallest, ZOOM.smallest)
    mask[500:2500, 500:3500] = True
    assert wide not in expected_windows(mask, 512)
    assert expected_windows(np.zeros(SHAPE, bool), 512) == []


def test_a_first_click_is_answered_in_an_expected_window_if_what_it_finds_fits(
    predictor: Predictor, seen: list[Frame]
) -> None:
    rng = np.random.default_rng(5)
    image, good = twelve_megapixels(rng, [(1234, 987)]), twelve_megapixels(rng, [])
    # through the second window that is expected, and beyond
    cv2.line(image, (2100, 1000), (3100, 1000), (60, 50, 45), 40)
    frame = Frame.of(*SHAPE, predictor.long_side)
    prepared = predictor.prepare(predictor.encode(image), [predictor.encode(good)], None)
    expected = [Window(827, 1074, 320, 320), Window(840, 2440, 320, 320)]

    def first(x: float, y: float) -> Answer:
        seen.clear()
        clicks = [Click(x, y, True)]
        return answer(
            predictor, prepared, frame, clicks, None, lambda w: predictor.look(image, w, [good]), expected
        )

    assert first(1236.0, 985.0).window == expected[0]
    assert frame not in seen
    assert first(3000.0, 2000.0).window not in expected  # in neither of them
    assert frame in seen
    assert first(2600.0, 1000.0).window not in expected
    assert frame in seen


def test_a_mask_seen_from_near_is_pasted_where_it_was() -> None:
    window, frame = Window(600, 1200, 320, 320), Frame.of(*SHAPE, 512)
    close = np.full((320, 320), -4, np.float32)
    close[100:200, 50:150] = 4
    mask = Answer(frame, blank(frame), window, Prediction(close)).mask()
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx(
        (700, 799, 1250, 1349), abs=2
    )
