from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.generation.anogen.boxes import ROOM, SMALLEST, WHOLE, Boxes
from model.generation.anogen.examples import Example
from model.generation.anogen.foreground import GRID, Foreground
from model.generation.anogen.generator import GeneratorError
from model.generation.anogen.window import Box
from tests.helpers.tiny_painter import cloth, nut, spot_on, spotted

EVERYWHERE = np.ones((GRID, GRID), bool)
SURFACE = Foreground(None)


def drawn(boxes: Boxes, product: NDArray[np.bool_], shape: tuple[int, int], count: int = 60) -> list[Box]:
    found = [boxes.draw(product, shape, np.random.default_rng([5, n])) for n in range(count)]
    assert None not in found
    return [box for box in found if box is not None]


def test_boxes_are_as_large_as_the_labelled_defects_with_some_room() -> None:
    boxes = Boxes.of([spotted(cloth(0), (80, 60), (20, 5))], SURFACE)
    for box in drawn(boxes, EVERYWHERE, (240, 320)):  # twice as large as the labelled image
        longer, shorter = max(box.width, box.height), min(box.width, box.height)
        assert 2 * 41 * ROOM[0] - 1 <= longer <= 2 * 41 * ROOM[1] + 1
        assert 2 * 11 * ROOM[0] - 1 <= shorter <= 2 * 11 * ROOM[1] + 1


def test_a_defect_without_a_preferred_direction_is_turned() -> None:
    one = Boxes.of([spotted(cloth(0), (80, 60), (20, 5))], SURFACE)
    both = Boxes.of(
        [spotted(cloth(0), (80, 60), axes) for axes in ((20, 5), (5, 20), (20, 5), (5, 20))], SURFACE
    )
    for boxes in (one, both):
        wide = [box.width > box.height for box in drawn(boxes, EVERYWHERE, (120, 160))]
        assert 0.25 < np.mean(wide) < 0.75


def test_a_defect_that_always_lies_alike_is_not_turned() -> None:
    boxes = Boxes.of([spotted(cloth(n), (60 + 10 * n, 60), (20, 5)) for n in range(4)], SURFACE)
    assert all(box.width > box.height for box in drawn(boxes, EVERYWHERE, (120, 160)))


def test_each_image_counts_the_same_however_many_defects_it_has() -> None:
    many = spotted(cloth(0), (20, 20), (4, 4)).mask
    for x in range(40, 150, 20):
        many = many | spotted(cloth(0), (x, 20), (4, 4)).mask
    boxes = Boxes.of([Example(cloth(0), many), spotted(cloth(1), (80, 60), (25, 25))], SURFACE)
    large = [box.width > 40 for box in drawn(boxes, EVERYWHERE, (120, 160), 100)]
    assert 0.35 < np.mean(large) < 0.65


def test_boxes_lie_on_the_product() -> None:
    foreground = Foreground.of([nut(seed) for seed in range(6)])
    boxes = Boxes.of([spot_on(seed) for seed in range(3)], foreground)
    for seed in range(6, 12):
        image = nut(seed)
        product = foreground.find(image)
        whole = cv2.resize(product.astype(np.uint8), (160, 120), interpolation=cv2.INTER_NEAREST) > 0
        for box in drawn(boxes, product, (120, 160), 20):
            assert whole[box.top : box.bottom, box.left : box.right].mean() > 0.65


def disc(centre: tuple[int, int] = (80, 60), radius: int = 50) -> NDArray[np.uint8]:
    image = cloth(3) // 8
    cv2.circle(image, centre, radius, (190, 150, 120), -1)
    return image


def test_half_of_the_boxes_lie_where_defects_of_this_type_were_labelled() -> None:
    """As the bent lead of a transistor, which always lies alike."""
    foreground = Foreground.of([disc()] * 3)
    boxes = Boxes.of([spotted(disc(), (60, 60), (4, 4)), spotted(disc(), (62, 58), (4, 4))], foreground)
    near = [
        np.hypot((box.left + box.right) / 2 - 61, (box.top + box.bottom) / 2 - 59) < 18
        for box in drawn(boxes, foreground.find(disc()), (120, 160), 100)
    ]
    assert 0.45 < np.mean(near) < 0.8


def test_what_was_labelled_at_the_rim_is_drawn_at_the_rim_wherever_the_product_lies() -> None:
    foreground = Foreground.of([disc((70, 60)), disc((90, 60)), disc((80, 62))])
    boxes = Boxes.of([spotted(disc((60, 60)), (14, 60), (4, 4))], foreground)
    away = [
        np.hypot((box.left + box.right) / 2 - 100, (box.top + box.bottom) / 2 - 60)
        for box in drawn(boxes, foreground.find(disc((100, 60))), (120, 160), 40)
    ]
    assert np.mean(np.array(away) > 38) > 0.9, "of 50 px from the centre to the rim"


def test_on_a_surface_what_was_labelled_at_an_edge_is_drawn_at_one() -> None:
    edge = Boxes.of([spotted(cloth(0), (80, 3), (8, 3))], SURFACE)
    for box in drawn(edge, EVERYWHERE, (120, 160)):
        assert min(box.left, box.top, 160 - box.right, 120 - box.bottom) < 12
    middle = Boxes.of([spotted(cloth(0), (80, 60), (8, 3))], SURFACE)
    found = drawn(middle, EVERYWHERE, (120, 160))
    assert len({(box.left // 40, box.top // 40) for box in found}) > 6, "anywhere"


def test_a_piece_that_is_missing_at_the_rim_counts_as_product() -> None:
    """In the labelled image the table is seen there; in a good image, the box lies on the product."""
    image = disc()
    mask = np.zeros((120, 160), np.uint8)
    cv2.circle(mask, (34, 60), 14, 1, -1)
    image[mask > 0] = 15
    foreground = Foreground.of([disc()] * 3)
    (defect,) = Boxes.of([Example(image, mask > 0)], foreground).defects
    assert defect.held > 0.8


@pytest.mark.parametrize(
    "mask", [np.ones((120, 160), bool), np.zeros((120, 160), bool), np.arange(19200).reshape(120, 160) < 5]
)
def test_a_mask_that_shows_no_end_of_the_defect_is_refused_in_words(mask: NDArray[np.bool_]) -> None:
    with pytest.raises(GeneratorError, match="Label the defect alone, in one image at least"):
        Boxes.of([Example(cloth(0), mask)], SURFACE)


def test_one_mask_that_fills_its_image_does_not_spoil_the_others() -> None:
    boxes = Boxes.of([Example(cloth(0), np.ones((120, 160), bool)), spotted(cloth(1), (80, 60))], SURFACE)
    assert len(boxes.defects) == 1


def test_where_there_is_no_place_there_is_no_box() -> None:
    foreground = Foreground.of([nut(seed) for seed in range(3)])
    boxes = Boxes.of([spotted(disc(radius=55), (80, 60), (45, 45))], Foreground.of([disc(radius=55)]))
    small = np.zeros((GRID, GRID), bool)
    small[60:66, 60:66] = True
    rng = np.random.default_rng(0)
    assert boxes.draw(small, (120, 160), rng) is None
    assert boxes.draw(np.zeros((GRID, GRID), bool), (120, 160), rng) is None
    assert foreground.common is not None


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_box_lies_in_its_image_and_leaves_something_of_it(data: st.DataObject) -> None:
    shape = data.draw(st.integers(40, 2000)), data.draw(st.integers(40, 2000))
    height, width = data.draw(st.integers(20, 300)), data.draw(st.integers(20, 300))
    mask = np.zeros((height, width), bool)
    left, top = data.draw(st.integers(0, width - 4)), data.draw(st.integers(0, height - 4))
    mask[top : top + data.draw(st.integers(4, 300)), left : left + data.draw(st.integers(4, 300))] = True
    if mask.mean() >= WHOLE:
        return
    boxes = Boxes.of([Example(cloth(0, (height, width)), mask)], SURFACE)
    box = boxes.draw(EVERYWHERE, shape, np.random.default_rng(data.draw(st.integers(0, 99))))
    assert box is not None
    assert 0 <= box.left < box.right <= shape[1] and 0 <= box.top < box.bottom <= shape[0]
    assert box.width * box.height <= WHOLE * shape[0] * shape[1] + 1e-6
    assert min(box.width, box.height) >= SMALLEST - 1
