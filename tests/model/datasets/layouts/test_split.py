"""Parts of labelled images: reproducible, each with its share of every type, what is kept back never learned from."""

from __future__ import annotations

from collections import Counter

import pytest

from model.datasets.layouts.split import split

IMAGES = (
    {f"s{i}": ["scratch"] for i in range(40)}
    | {f"d{i}": ["dent"] for i in range(20)}
    | {f"n{i}": [] for i in range(40)}
)
THREE = {"train": 0.7, "val": 0.2, "test": 0.1}


def counted(found: dict[str, str], first: str) -> Counter[str]:
    return Counter(part for name, part in found.items() if name.startswith(first))


def test_each_part_has_its_share_of_each_type() -> None:
    found = split(IMAGES, THREE, 0)
    assert Counter(found.values()) == {"train": 70, "val": 20, "test": 10}
    assert counted(found, "s") == {"train": 28, "val": 8, "test": 4}
    assert counted(found, "d") == {"train": 14, "val": 4, "test": 2}
    assert counted(found, "n") == {"train": 28, "val": 8, "test": 4}


def test_the_seed_decides_and_the_order_does_not() -> None:
    assert split(dict(reversed(IMAGES.items())), THREE, 7) == split(IMAGES, THREE, 7)
    assert split(IMAGES, THREE, 8) != split(IMAGES, THREE, 7)


def test_what_is_kept_back_stays_together() -> None:
    kept = [f"s{i}" for i in range(9)] + ["gone"]
    found = split(IMAGES, THREE, 0, kept)
    assert {found[name] for name in kept[:-1]} == {"test"}
    assert counted(found, "s")["test"] == 9, "none more: they are more than its share"
    found = split(IMAGES, {"train": 4, "val": 1}, 0, kept)
    assert {found[name] for name in kept[:-1]} == {"val"}
    assert counted(found, "s") == {"train": 31, "val": 9}


def test_few_images_of_many_types() -> None:
    found = split({"a": ["x"], "b": ["y"], "c": ["z"], "d": []}, {"train": 0.5, "val": 0.25, "test": 0.25}, 0)
    assert Counter(found.values()) == {"train": 2, "val": 1, "test": 1}


def test_shares_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="kept back by the version that serves"):
        split(IMAGES, {"train": 1.0}, 0, ["s1"])
    with pytest.raises(ValueError, match="one of them larger"):
        split(IMAGES, {"train": 0.0}, 0)
    with pytest.raises(ValueError, match="from 0 on"):
        split(IMAGES, {"train": 2.0, "val": -1.0}, 0)
