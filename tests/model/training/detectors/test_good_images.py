"""Which good images are learned from, and which are kept back."""

from __future__ import annotations

import numpy as np
import pytest

from model.detectors.eyes import Image
from model.training.detectors.good_images import split
from model.training.detectors.settings import DetectorTraining


def images(count: int, product: int = 0) -> list[Image]:
    """Images that tell their number and product."""
    return [np.full((1, 1, 3), (number % 256, number // 256, product), np.uint8) for number in range(count)]


def numbers(found: object) -> list[int]:
    return [int(image[0, 0, 0]) + 256 * int(image[0, 0, 1]) for image in found]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("count", "back"), [(1, 0), (2, 1), (8, 2), (30, 6), (100, 8)])
def test_a_fifth_is_kept_back_but_never_the_only_one(count: int, back: int) -> None:
    train, kept, notes = split({"flange": images(count)}, DetectorTraining())
    assert (len(train["flange"]), len(kept["flange"])) == (count - back, back)
    assert sorted(numbers(train["flange"]) + numbers(kept["flange"])) == list(range(count))
    assert not notes
    again = split({"flange": images(count)}, DetectorTraining())
    assert numbers(again[1]["flange"]) == numbers(kept["flange"])
    other = split({"flange": images(count)}, DetectorTraining(seed=1))
    assert count < 30 or numbers(other[1]["flange"]) != numbers(kept["flange"])


def test_many_products_keep_back_fewer_images_each() -> None:
    there = {str(number): images(40, number) for number in range(8)}
    kept = split(there, DetectorTraining(images=400, checked=64, defects=3))[1]
    assert {len(images) for images in kept.values()} == {2}
    kept = split(there, DetectorTraining(images=400, checked=8, defects=3))[1]
    assert {len(images) for images in kept.values()} == {1}


def test_of_more_than_fit_into_memory_each_product_gives_a_share() -> None:
    there = {"a": images(5000), "b": images(10, 1), "c": [], "": images(300, 2)}
    train, kept, notes = split(there, DetectorTraining(images=100))
    assert {p: len(train[p]) + len(kept[p]) for p in train} == {"": 45, "a": 45, "b": 10}
    assert notes == [
        "Of the 300 good images, 45 were drawn for the detectors: more do not fit into the memory that is meant for "
        "them.",
        "Of the 5000 good images of 'a', 45 were drawn for the detectors: more do not fit into the memory that is "
        "meant for them.",
    ]
    assert not set(numbers(train["a"])) & set(numbers(kept["a"]))


def test_images_are_only_read_when_they_are_asked_for() -> None:
    read: list[int] = []

    class Lazy(list[Image]):
        def __getitem__(self, place):  # type: ignore[no-untyped-def]
            read.append(place)
            return super().__getitem__(place)

    train, kept, _ = split({"": Lazy(images(10))}, DetectorTraining())
    assert not read
    assert numbers(kept[""][:1]) == read
    assert len(train[""]) == 8
