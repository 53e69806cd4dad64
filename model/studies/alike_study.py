"""How many parts one click finds: recall and precision of the places that are alike, after one and two clicks.

On drawn products with 5 to 20 equal pits (:mod:`model.generation.repeated`), and on photographs whose true masks have
several parts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.clicks import Click, next_click
from model.datasets.mvtec import Category, read_mask, read_rgb
from model.evidence.prepared import Prepared
from model.generation.products import Product
from model.generation.repeated import repeated_pits
from model.interactive.alike import ALIKE, AlikeConfig, AllAlike, find_alike
from model.interactive.answer import Answer, answer
from model.interactive.encoded_references import EncodedReferences
from model.interactive.parts import View
from model.interactive.predictor import Predictor
from model.interactive.zoom import Window
from model.metrics.parts import pairs, parts_of

OVERLAPS = (0.5, 0.25)
"""IoU from which on a found part is a true one."""

SMALLEST = 6
"""Pixels of a true part; smaller ones are specks of the outline."""

REFERENCES = 6
"""Good images of a drawn product, 16 at most of a photographed one."""

MOST_REFERENCES = 16

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Image:
    """A test image: pixels (H, W, 3) uint8 RGB, its true parts (H, W) bool each, and what it is compared with."""

    product: str
    name: str
    pixels: NDArray[np.uint8]
    parts: Sequence[Mask]
    bank: EncodedReferences


def drawn_images(predictor: Predictor, products: int, images: int, seed: int) -> Iterator[Image]:
    """Drawn products with equal pits.

    Args:
        predictor: sees the references.
        products: how many designs, those from ``1000 * seed`` on.
        images: of each.
        seed: of designs and pits.
    """
    for number in range(products):
        product, rng = Product(1000 * seed + number), np.random.default_rng([seed, number])
        bank = EncodedReferences(predictor, [product.image(rng) for _ in range(REFERENCES)])
        for i in range(images):
            drawn = repeated_pits(product.image(rng), rng)
            yield Image("drawn", f"{number}-{i}", drawn.image, parts_of(drawn.mask, SMALLEST), bank)


def photographed_images(
    predictor: Predictor, category: Category, fewest: int, most: int, images: int, seed: int
) -> Iterator[Image]:
    """Defect images of a product whose true masks have so many parts, drawn by the seed; the bank is as well."""
    rng, good = np.random.default_rng(seed), category.good()
    references = [read_rgb(good[i]) for i in rng.permutation(len(good))[:MOST_REFERENCES]]
    bank = EncodedReferences(predictor, references)
    defects, taken = category.defects(), 0
    for i in rng.permutation(len(defects)):
        image, mask = defects[i]
        parts = parts_of(read_mask(mask), SMALLEST)
        if fewest <= len(parts) <= most and taken < images:
            taken += 1
            yield Image(category.name, image.stem, read_rgb(image), parts, bank)


class Clicked:
    """One test image, opened, that is clicked.

    Args:
        predictor: the network.
        image: the image.
        config: what counts as alike.
    """

    def __init__(self, predictor: Predictor, image: Image, config: AlikeConfig = ALIKE):
        self._predictor, self._config = predictor, config
        prepared = image.bank.prepare(image.pixels)
        height, width = image.pixels.shape[:2]
        self._view = View(prepared, Frame.of(height, width, predictor.long_side))
        similar = list(image.bank.pixels[:2])

        def look(window: Window) -> Prepared:
            return predictor.look(image.pixels, window, similar)

        self._look = lru_cache(64)(look)

    def answer_to(self, clicks: tuple[Click, ...]) -> Answer:
        """ADClick's answer to these clicks alone."""
        found = None
        for count in range(1, len(clicks) + 1):
            shown = clicks[:count]
            found = answer(self._predictor, self._view.prepared, self._view.frame, shown, found, self._look)
        if found is None:
            raise ValueError("There is no answer without a click.")
        return found

    def all_alike(self, clicks: Sequence[Click]) -> AllAlike:
        """All that is like what was clicked."""
        return find_alike(
            self._predictor, self._view, clicks, self.answer_to, self._look, config=self._config
        )


@torch.inference_mode()
def measure(
    predictor: Predictor, image: Image, seed: int, config: AlikeConfig = ALIKE
) -> list[dict[str, Any]]:
    """What is found after the first click, and after the second: a row each.

    The first click is in the middle of a part of at least the median size, drawn by the seed; the second one in the
    middle of the largest missed part, or an Alt-click on the largest false one, whichever is larger.
    """
    shape = image.parts[0].shape
    rng = np.random.default_rng([seed, len(image.parts), int(image.parts[0].sum())])
    middle = np.median([part.sum() for part in image.parts])
    large = [part for part in image.parts if part.sum() >= middle]
    clicked = Clicked(predictor, image, config)
    clicks = [_middle(large[int(rng.integers(len(large)))], True)]
    rows: list[dict[str, Any]] = []
    while len(rows) < 2:
        started = time.perf_counter()
        found = clicked.all_alike(clicks)
        seconds = time.perf_counter() - started
        masks = [_whole(alike.part.box, alike.part.mask, shape) for alike in found.found]
        row: dict[str, Any] = {
            "product": image.product,
            "name": image.name,
            "clicks": len(rows) + 1,
            "true": len(image.parts),
            "found": len(masks),
            "seconds": round(seconds, 3),
        }
        for least in OVERLAPS:
            row[f"matched@{least}"] = len(pairs(masks, image.parts, least))
        rows.append(row)
        following = _second(masks, image.parts)
        if following is None:  # nothing is missed, nothing is false
            return [*rows, {**row, "clicks": 2}][:2]
        clicks = [*clicks, following]
    return rows


def _second(found: Sequence[Mask], true: Sequence[Mask]) -> Click | None:
    """The click that a person makes next; None when there is nothing to correct."""
    known = pairs(found, true, OVERLAPS[-1])
    false = [(mask, False) for i, mask in enumerate(found) if i not in {a for a, _ in known}]
    missed = [(mask, True) for j, mask in enumerate(true) if j not in {b for _, b in known}]
    wrong = sorted([*missed, *false], key=lambda each: -int(each[0].sum()))  # stable: missed ones first
    return _middle(*wrong[0]) if wrong else None


def _middle(mask: Mask, positive: bool) -> Click:
    """A click on the deepest pixel of a part."""
    click = next_click(mask, np.zeros_like(mask), [])
    if click is None:
        raise ValueError("A part without pixels cannot be clicked.")
    return Click(click.x, click.y, positive)


def _whole(box: tuple[slice, slice], mask: Mask, shape: tuple[int, ...]) -> Mask:
    whole = np.zeros(shape, bool)
    whole[box] = mask
    return whole


def summed(rows: Sequence[Mapping[str, Any]], clicks: int, least: float) -> tuple[float, float]:
    """Recall and precision of the parts of all images after so many clicks, in [0, 1]."""
    chosen = [row for row in rows if row["clicks"] == clicks]
    matched = sum(row[f"matched@{least}"] for row in chosen)
    true, found = (sum(row[name] for row in chosen) for name in ("true", "found"))
    return matched / max(true, 1), matched / max(found, 1)
