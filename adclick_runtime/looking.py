"""From an image file to what a detector finds in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.detection import Detection
from adclick_runtime.detector import Detector
from adclick_runtime.images import limits
from adclick_runtime.images.decode import decode_image

Pixels = NDArray[np.uint8]


class Looker:
    """A detector with limits on what it looks at. Safe to share between threads.

    Args:
        detector: it.
        max_image_mb: million bytes of a file, at most.
        max_megapixels: of an image, at most.
    """

    def __init__(self, detector: Detector, *, max_image_mb: float, max_megapixels: float) -> None:
        self.detector = detector
        self.version = detector.version
        self._max_image_mb, self._max_megapixels = max_image_mb, max_megapixels

    def read(self, data: bytes, product: str | None = None) -> Pixels:
        """The pixels of an image file, (H, W, 3) uint8 RGB, 16-bit ones by the white point of the product.

        Raises:
            ImageError: the file cannot be decoded, or is too large.
            BundleError: the detector does not know the product, or several and none was named.
        """
        limits.check_bytes(len(data), self._max_image_mb)
        white = self.detector.product(product).white or None
        return decode_image(data, max_megapixels=self._max_megapixels, white=white)

    def look(self, pixels: Pixels, product: str | None = None) -> Detection:
        """What the detector finds, compared with the references of a product; raises BundleError."""
        return self.detector.detect(pixels, product)
