"""What a detector's maps are like where nothing is wrong: from there on maps of different detectors compare.

Of each product the maps of some good images, each compared with the others and never with itself, give a location and a
scale; the highest place of each gives the threshold from which on something counts as a defect.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.anomaly_map import defect_probability, threshold
from adclick_runtime.frame import Frame

Map = NDArray[np.float32]

SPREAD = 0.6
"""What the scale of good images becomes: that of the residual's log-energy, whose margins all maps are judged by."""

LEAST = 1e-6
"""No place of a map counts for less: a probability of zero would be infinitely unlike one of a millionth."""


@dataclass(frozen=True)
class Calibration:
    """What is usual in the logarithm of a detector's map on the good images of one product.

    Attributes:
        location: the median over all places.
        scale: half the range of the middle 68 % of all places, above 0.
        peaks: the highest place of each good image, standardised.
    """

    location: float
    scale: float
    peaks: tuple[float, ...]

    @classmethod
    def of(cls, maps: Sequence[Map]) -> Calibration:
        """The calibration that the maps (`logarithm`, or a mean of standardised ones) of good images give.

        Raises:
            ValueError: there is none, or they hold values that are no numbers.
        """
        if not maps:
            raise ValueError("A detector is calibrated on good images of the product, and there is none.")
        places = np.concatenate([map_.ravel() for map_ in maps])
        if not np.isfinite(places).all():
            raise ValueError("A detector gave values that are no numbers for good images: train it again.")
        low, middle, high = (float(q) for q in np.quantile(places, (0.16, 0.5, 0.84)))
        scale = max((high - low) / 2, 1e-3)
        peaks = tuple(SPREAD * (float(map_.max()) - middle) / scale for map_ in maps)
        return cls(middle, scale, peaks)

    def standardise(self, map_: Map) -> Map:
        """A map in units in which good images have the median 0 and the scale `SPREAD`."""
        return np.asarray(SPREAD * (map_ - self.location) / self.scale, np.float32)

    def probability(self, standardised: Map, frame: Frame) -> Map:
        """How probably each place is a defect: above 0.5 only in parts that rise above all good images, by a margin.

        The margin falls with the number of good images (:func:`adclick_runtime.anomaly_map.threshold`).

        Args:
            standardised: (h, w), of :meth:`standardise`.
            frame: the working frame.

        Returns:
            (frame.height, frame.width) float32 in [0, 1].
        """
        return defect_probability(standardised - np.float32(threshold(self.peaks)), frame)

    def as_json(self) -> dict[str, Any]:
        """As a manifest has it."""
        peaks = [round(peak, 4) for peak in self.peaks]
        return {"location": round(self.location, 5), "scale": round(self.scale, 5), "peaks": peaks}

    @classmethod
    def from_json(cls, said: object) -> Calibration:
        """What `as_json` wrote.

        Raises:
            ValueError: it is something else; the sentence says what.
        """
        if isinstance(said, Mapping) and said.keys() == {"location", "scale", "peaks"}:
            location, scale, peaks = said["location"], said["scale"], said["peaks"]
            if (
                isinstance(peaks, list)
                and peaks
                and all(map(_is_number, (location, scale, *peaks)))
                and scale > 0
            ):
                return cls(float(location), float(scale), tuple(float(peak) for peak in peaks))
        raise ValueError(
            f"A calibration is a location, a scale above 0 and at least one peak, all numbers, not {said!r:.80}."
        )


def logarithm(map_: Map, frame: Frame) -> Map:
    """The logarithm of a detector's map >= 0 on the stride-2 grid, (frame.height / 2, frame.width / 2) float32."""
    size = frame.width // 2, frame.height // 2
    sized = map_ if map_.shape == size[::-1] else cv2.resize(map_, size, interpolation=cv2.INTER_LINEAR)
    return np.log(np.maximum(sized, LEAST)).astype(np.float32)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
