"""Masks as COCO's run lengths: how many pixels are 0, then 1, then 0 again, column after column.

The compressed form is that of COCO's own ``maskApi.c`` (``rleToString``). A number is written five bits a character,
the lowest first, from ``chr(48)`` on; 32 says that more follow, 16 in the last one that the number is negative. From
the fourth number on each is the difference to the one before the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHARACTERS = 7
"""So many hold every number that fits into 32 bits with its sign."""


def encoded(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A mask (H, W) bool as COCO's compressed run lengths: ``{"size": [H, W], "counts": TEXT}``."""
    return {"size": [int(side) for side in mask.shape], "counts": packed(lengths_of(mask))}


def lengths_of(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(N,) int64: the run lengths of a mask (H, W) bool, those of 0 first, so that the first may be 0."""
    inside = np.flatnonzero(mask.any(axis=0))
    if not len(inside):
        return np.array([mask.size], np.int64)
    left, right = int(inside[0]), int(inside[-1]) + 1
    height, width = mask.shape
    flat = mask[:, left:right].ravel(order="F")  # no more than need be: it is the slow part of a large image
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate(([0], edges, [flat.size])))
    if flat[0]:
        lengths = np.concatenate(([0], lengths))
    lengths[0] += left * height
    behind = (width - right) * height
    if not flat[-1]:
        lengths[-1] += behind
    elif behind:
        lengths = np.concatenate((lengths, [behind]))
    return lengths


def packed(lengths: NDArray[np.int64]) -> str:
    """Run lengths in COCO's compressed form; see `unpacked`."""
    rest = lengths.astype(np.int64)
    rest[3:] -= lengths[1:-2]
    characters = np.zeros((rest.size, _CHARACTERS), np.uint8)
    used = np.zeros(characters.shape, bool)
    more = np.ones(rest.size, bool)
    for place in range(_CHARACTERS):
        used[:, place] = more
        code, rest = rest & 31, rest >> 5
        more = more & (rest != np.where(code & 16, -1, 0))
        characters[:, place] = code + np.where(more, 32, 0) + 48
    return characters[used].tobytes().decode("ascii")


def decoded(segmentation: Mapping[str, Any], height: int, width: int) -> NDArray[np.uint8]:
    """(height, width) uint8 of 0 and 1 from run lengths in either form, a list of numbers or a text.

    Raises:
        ValueError: they are damaged, or of another size.
    """
    if list(segmentation.get("size", ())) != [height, width]:
        raise ValueError(
            f"Run lengths of the size {segmentation.get('size')!r} do not fit an image of {height} x {width} pixels."
        )
    counts = segmentation.get("counts")
    lengths = unpacked(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(isinstance(n, int) and n >= 0 for n in lengths):
        raise ValueError(f"Run lengths are whole numbers from 0 on, not {counts!r:.60}.")
    if sum(lengths) != height * width:
        raise ValueError(
            f"Run lengths of {sum(lengths)} pixels in all do not fill {height} x {width} pixels."
        )
    values = np.arange(len(lengths)) % 2
    return np.repeat(values, lengths).astype(np.uint8).reshape(width, height).T


def unpacked(text: str) -> list[int]:
    """The run lengths that COCO's compressed form holds.

    Raises:
        ValueError: it ends within a number, or has other characters.
    """
    numbers: list[int] = []
    number = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError(f"Compressed run lengths have no {character!r}.")
        number |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                number -= 1 << shift
            numbers.append(number + (numbers[-2] if len(numbers) > 2 else 0))
            number = shift = 0
    if shift:
        raise ValueError("Compressed run lengths end within a number.")
    return numbers
