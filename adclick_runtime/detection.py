"""What a detector says of one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.regions import Region

UNLIKE = 3.0
"""An image that is so much more unlike the references than they are unlike each other may show another product."""


@dataclass(frozen=True)
class Detection:
    """What was found in one image.

    Attributes:
        regions: one for each part of each defect type found, the surest first; masks in image pixels.
        map: (h, w) float32 in [0, 1], the probability of a defect in the working frame: the highest of all types.
        score: how certain it is that there is a defect, in [0, 1]: the highest probability anywhere.
        type: defect type of the surest region; "" when nothing was found.
        unlike: how unlike the references the image is, as a multiple of what they are unlike each other: about 1 is
            usual, above `UNLIKE` it may show another product; 0 when the references do not say.
        size: height and width of the image in pixels.
        milliseconds: what it took, without decoding the file.
    """

    regions: tuple[Region, ...]
    map: NDArray[np.float32]
    score: float
    type: str
    unlike: float
    size: tuple[int, int]
    milliseconds: float

    @property
    def note(self) -> str:
        """What a person should know of the image beside what was found in it, a sentence; "" for nothing."""
        if self.unlike <= UNLIKE:
            return ""
        return (
            f"The image is {self.unlike:.1f} times as unlike the references as they are unlike each other: it may show "
            "another product, or another light."
        )
