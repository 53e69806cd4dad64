"""COCO's run lengths written by other means than the product's, to compare with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def packed(lengths: list[int]) -> str:
    """COCO's compressed run lengths, from the bits of the numbers: sign extended, five at a time."""
    text = ""
    for place, length in enumerate(lengths):
        number = length - lengths[place - 2] if place > 2 else length
        bits = 6
        while not -(1 << (bits - 1)) <= number < 1 << (bits - 1):
            bits += 1
        digits = format(number & ((1 << (5 * -(-bits // 5))) - 1), f"0{5 * -(-bits // 5)}b")
        groups = [int(digits[i : i + 5], 2) for i in range(0, len(digits), 5)][::-1]
        while (
            len(groups) > 1 and groups[-1] == (31 if number < 0 else 0) and (groups[-2] >= 16) == (number < 0)
        ):
            groups.pop()
        text += "".join(chr(48 + g + 32 * (i < len(groups) - 1)) for i, g in enumerate(groups))
    return text


def lengths_of(mask: NDArray[np.bool_]) -> list[int]:
    """Run lengths of a mask, column after column, counted one pixel at a time."""
    found, value = [0], False
    for pixel in (bool(mask[y, x]) for x in range(mask.shape[1]) for y in range(mask.shape[0])):
        if pixel != value:
            found.append(0)
            value = pixel
        found[-1] += 1
    return found
