"""One click, all alike: with the packaged network on a drawn surface with equal spots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.clicks import Click
from model.evidence.prepared import Prepared
from model.interactive.alike import AllAlike, find_alike
from model.interactive.answer import Answer, answer
from model.interactive.elsewhere import find_like, samples_of
from model.interactive.encoded_references import EncodedReferences
from model.interactive.parts import Part, View, boxed, cut_parts, distinct
from model.interactive.predictor import Predictor
from model.interactive.zoom import Window

SIDE = 192
PLACES = ((40, 40), (100, 44), (150, 60), (48, 120), (110, 110), (150, 150))
"""Of the spots, x and y."""
OTHER = (70, 160)
"""Of a line, which is no spot."""


def surface(seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 30, (SIDE, SIDE)), (0, 0), 1.5)
    return np.clip(150 + grain[..., None] + np.zeros(3), 0, 255).astype(np.uint8)


def spots(places: tuple[tuple[int, int], ...]) -> list[NDArray[np.bool_]]:
    found = []
    for x, y in places:
        mask = np.zeros((SIDE, SIDE), np.uint8)
        cv2.circle(mask, (x, y), 6, 1, -1)
        found.append(mask > 0)
    return found


def spotted(seed: int, places: tuple[tuple[int, int], ...]) -> NDArray[np.uint8]:
    image = surface(seed).astype(np.float32)
    for mask in spots(places):
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8)[..., None]
        image = image * (1 - soft) + soft * np.array((70, 60, 55))
    cv2.line(image, (OTHER[0] - 25, OTHER[1]), (OTHER[0] + 25, OTHER[1] + 8), (220, 225, 230), 2, cv2.LINE_AA)
    return image.astype(np.uint8)


@dataclass
class Opened:
    predictor: Predictor
    view: View

    def look(self, window: Window) -> Prepared:
        raise AssertionError(f"{window} was opened, and the whole image shows enough.")

    def answer_to(self, clicks: tuple[Click, ...]) -> Answer:
        found: Answer | None = None
        for count in range(1, len(clicks) + 1):
            found = answer(
                self.predictor, self.view.prepared, self.view.frame, clicks[:count], found, self.look
            )
        assert found is not None
        return found

    def alike(self, *clicks: Click) -> AllAlike:
        return find_alike(self.predictor, self.view, clicks, self.answer_to, self.look)


@lru_cache(1)
def bank() -> EncodedReferences:
    return EncodedReferences(Predictor(), [surface(seed) for seed in range(3)])


def opened(pixels: NDArray[np.uint8]) -> Opened:
    view = View(bank().prepare(pixels), Frame.of(SIDE, SIDE, bank().predictor.long_side))
    return Opened(bank().predictor, view)


@pytest.fixture(scope="module")
def image() -> Opened:
    torch.set_num_threads(1)
    return opened(spotted(10, PLACES))


def held(found: AllAlike, masks: list[NDArray[np.bool_]]) -> list[bool]:
    """Which of these masks some part overlaps with an IoU of 0.5 or more."""
    whole = []
    for alike in found.found:
        mask = np.zeros((SIDE, SIDE), bool)
        mask[alike.part.box] = alike.part.mask
        whole.append(mask)
    return [any((a & b).sum() >= 0.5 * (a | b).sum() for a in whole) for b in masks]


def click(place: tuple[int, int], positive: bool = True) -> Click:
    return Click(place[0] + 0.5, place[1] + 0.5, positive)


def test_one_click_finds_the_equal_spots_and_not_the_line(image: Opened) -> None:
    found = image.alike(click(PLACES[0]))
    assert held(found, spots(PLACES)).count(True) >= 5
    assert len(found.found) <= 7
    assert found.found[0].likeness == 1.0 and found.found[0].part.holds(click(PLACES[0]))
    assert not found.mask()[OTHER[1], OTHER[0]]
    assert all(0 < alike.likeness <= 1 for alike in found.found)


def test_the_probability_is_high_in_the_parts_and_nowhere_else(image: Opened) -> None:
    found = image.alike(click(PLACES[0]))
    frame = image.view.frame
    assert found.probability().shape == (frame.height, frame.width)
    mask = cv2.resize(found.mask().astype(np.uint8), (frame.width, frame.height)) > 0
    near = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert found.probability()[~near].max() <= 0.5
    assert (found.probability()[mask] > 0.5).mean() > 0.7


def test_a_click_not_this_takes_that_part_away_and_no_other(image: Opened) -> None:
    before = held(image.alike(click(PLACES[0])), spots(PLACES))
    unwanted = max(number for number, there in enumerate(before) if there)
    after = held(image.alike(click(PLACES[0]), click(PLACES[unwanted], False)), spots(PLACES))
    assert not after[unwanted]
    assert sum(after) >= sum(before) - 2


def test_a_second_example_is_among_the_parts_whatever_it_looks_like(image: Opened) -> None:
    found = image.alike(click(PLACES[0]), click(OTHER))
    assert [alike.likeness for alike in found.found[:2]] == [1.0, 1.0]
    assert found.mask()[OTHER[1], OTHER[0]]
    assert held(found, spots(PLACES))[0]


def test_points_are_cut_alone_each_in_its_crop(image: Opened) -> None:
    points = [click(place) for place in PLACES]
    parts = cut_parts(image.predictor, image.view, points, 48)
    assert len(parts) == len(points)
    for part, point, true in zip(parts, points, spots(PLACES), strict=True):
        assert part is not None and part.holds(point)
        mask = np.zeros((SIDE, SIDE), bool)
        mask[part.box] = part.mask
        assert (mask & true).sum() > 0.4 * (mask | true).sum()
        assert part.probability.shape == part.mask.shape


def test_a_part_that_a_better_one_covers_is_left_out() -> None:
    mask = np.zeros((20, 20), bool)
    mask[4:10, 4:10] = True
    moved = np.roll(mask, 1, 0)
    away = np.roll(mask, 9, 1)
    parts = [boxed(each, each.astype(np.float32), 0.5) for each in (mask, moved, away)]
    assert [part.area for part in parts] == [36, 36, 36]
    assert list(distinct(parts, (20, 20))) == [0, 2]
    assert isinstance(parts[0], Part) and parts[0].box == (slice(4, 10), slice(4, 10))


def test_masks_of_one_image_are_found_in_another_and_not_in_a_good_one(image: Opened) -> None:
    mask = np.logical_or.reduce(spots(PLACES[:3]))
    samples = samples_of(image.view.prepared, image.view.frame, mask, 5)
    assert [sample.area for sample in samples] == [int(spots(PLACES)[0].sum())] * 3
    elsewhere = ((60, 60), (130, 90), (90, 140))
    other = opened(spotted(11, elsewhere))
    found = find_like(other.predictor, other.view, samples, other.look)
    assert held(found, spots(elsewhere)).count(True) >= 2
    good = opened(surface(12))
    assert find_like(good.predictor, good.view, samples, good.look).found == ()
