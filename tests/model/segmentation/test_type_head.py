from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from adclick_runtime.type_head import describe, regions_of
from model.segmentation.type_head import TypeHead, examples, given, learn_types

SIZES = {"relative": (13, 2), "vectors": (64, 8), "stride2": (19, 2), "stride4": (24, 4)}
SIZES |= {"stride8": (40, 8), "stride16": (112, 16)}


def scene(seed: int, red: NDArray[np.bool_]) -> dict[str, NDArray[np.float32]]:
    """Inputs of an image of 64 x 96 working pixels whose colours are raised where it is ``red``."""
    generator = torch.Generator().manual_seed(seed)
    seen = {
        name: 0.2 * torch.randn(1, channels, 64 // stride, 96 // stride, generator=generator)
        for name, (channels, stride) in SIZES.items()
    }
    seen["stride2"][0, 0] += 3 * torch.from_numpy(red[::2, ::2].astype(np.float32))
    return given(seen)


def square(y: int, x: int, side: int = 12) -> NDArray[np.bool_]:
    mask = np.zeros((64, 96), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def taught() -> TypeHead:
    """Learned from three red and three plain squares."""
    nothing = np.zeros((64, 96), bool)
    described = [describe(scene(i, square(20, 20)), square(20, 20)) for i in range(3)]
    described += [describe(scene(10 + i, nothing), square(20, 20)) for i in range(3)]
    return learn_types(described, torch.tensor([0, 0, 0, 1, 1, 1]), 2)


def test_regions_are_named_by_what_they_look_like_and_the_maximum_stays() -> None:
    red, plain = square(8, 8), square(40, 70)
    highest = np.where(red | plain, 0.9, 0.1).astype(np.float32)
    first, second = taught().share([highest, highest * 0.99], scene(30, red))
    assert np.array_equal(np.maximum(first, second), highest)
    assert (first[red] > second[red]).all()
    assert (second[plain] > first[plain]).all()


def test_where_nothing_is_found_the_maps_stay() -> None:
    dark = [np.full((64, 96), value, np.float32) for value in (0.2, 0.3)]
    shared = taught().share(dark, scene(31, square(8, 8)))
    assert all(np.array_equal(a, b) for a, b in zip(dark, shared, strict=True))


def test_a_type_that_was_labelled_rarely_is_not_forgotten() -> None:
    nothing = np.zeros((64, 96), bool)
    described = [describe(scene(0, square(20, 20)), square(20, 20))]
    described += [describe(scene(10 + i, nothing), square(20, 20)) for i in range(12)]
    head = learn_types(described, torch.tensor([0] + [1] * 12), 2)
    new = [np.concatenate(describe(scene(40, red), square(30, 50))) for red in (square(30, 50), nothing)]
    assert head(torch.from_numpy(np.stack(new))).argmax(1).tolist() == [0, 1]


def test_a_scratch_that_fell_apart_is_one_region_and_distant_parts_are_two() -> None:
    near = square(8, 8) | square(8, 24)
    assert len(regions_of(near)) == 1
    assert len(regions_of(near | square(44, 60, 4))) == 2
    assert np.array_equal(regions_of(near | square(44, 60, 4))[0], near), "the largest first"
    assert regions_of(np.zeros((64, 96), bool)) == []


def test_what_the_network_found_is_an_example_where_it_lies_in_one_label() -> None:
    """Boxes and tags have no shape: of them only what was found is an example."""
    seen, box, painted = scene(0, square(8, 8)), square(4, 4, 24), square(40, 70)
    found = square(8, 8) | square(40, 40)
    targets = {"dent": ("box", box), "scratch": ("mask", painted)}
    names = [name for name, _ in examples(seen, targets, found)]  # type: ignore[arg-type]
    assert sorted(names) == ["dent", "scratch"], "the found square in no label is of no type"
    tagged = {"stain": ("tag", np.ones((64, 96), bool)), "scratch": ("mask", painted)}
    names = [name for name, _ in examples(seen, tagged, square(8, 8) | painted)]  # type: ignore[arg-type]
    assert sorted(names) == ["scratch", "scratch", "stain"], "a shape says more than a tag"
