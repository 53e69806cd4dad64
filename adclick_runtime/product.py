"""What a bundle knows of a product: its references, what is usual for them, and what judges its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adclick_runtime.calibration import Calibration
from adclick_runtime.references import References


@dataclass(frozen=True)
class Product:
    """One product.

    Attributes:
        name: "" where there is but one.
        source: what judges its images: ``trained``, ``packaged``, ``residual``, or names of detectors, ``+`` between.
        references: its good images.
        normal: what energies are usual among them; None for fewer than two.
        peaks: the highest anomaly score of some of them.
        usual: the median energy of places of a reference that is matched with the others; 0 where nobody measured it.
        few: up to so many references are left out when they do not fit.
        largest_mismatch: they explain an image at most so much worse than it does itself.
        calibrations: detector, or joined names -> what is usual on good images.
        points: defect type -> the probability from which on a place counts.
        white: the 16-bit value that is 255 in its images; 0 for images of 8 bits.
    """

    name: str
    source: str
    references: References
    normal: Mapping[str, float] | None
    peaks: tuple[float, ...]
    usual: float
    few: int
    largest_mismatch: float
    calibrations: Mapping[str, Calibration]
    points: Mapping[str, float]
    white: int
