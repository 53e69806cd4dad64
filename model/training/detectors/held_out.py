"""The held-out check: how well a detector finds synthetic defects on good images that it did not learn from.

It picks the state of a training that is kept, so that no test image has a say in when to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from model.detectors.detector import Detector, Scene
from model.detectors.eyes import Image
from model.features.encoding import Encoded
from model.generation.synthesis import add_defect
from model.metrics.ranking import image_auroc, pixel_average_precision
from model.segmentation.scenes import Scenes

OWN = 20_011
"""Of the seeds of these defects: no training draws the same ones."""

SIDE = 256
"""Longer side of the maps that are compared, pixels."""


@dataclass(frozen=True)
class Held:
    """One image of the check.

    Attributes:
        scene: the image beside those that are learned from.
        mask: (h, w) bool, at the size at which maps are compared; nothing is true in a good image.
    """

    scene: Scene
    mask: NDArray[np.bool_]


class HeldOut:
    """The images of the check, encoded once.

    Args:
        scenes: of the images that are learned from.
        kept_back: product -> good images that are not learned from.
        defects: drawn on each of them, one at a time.
        seed: of the defects.
        report: told the share that is encoded.
    """

    def __init__(
        self,
        scenes: Scenes,
        kept_back: Mapping[str, Sequence[Image]],
        defects: int,
        seed: int = 0,
        report: Callable[[float], None] = lambda share: None,
    ):
        self.held: list[Held] = []
        total = sum(len(images) for images in kept_back.values())
        for number, (product, images) in enumerate(kept_back.items()):
            for i, image in enumerate(images):
                report(len(self.held) / (total * (defects + 1)))
                nothing = np.zeros(image.shape[:2], np.bool_)
                self._add(scenes.of(image, product), nothing)
                for turn in range(defects):
                    rng = np.random.default_rng([OWN, seed, number, i, turn])
                    damaged, mask, _ = add_defect(image, rng)
                    self._add(scenes.of(damaged, product), mask)

    def _add(self, scene: Scene, mask: NDArray[np.bool_]) -> None:
        scale = SIDE / max(scene.frame.height, scene.frame.width)
        size = round(scene.frame.width * scale), round(scene.frame.height * scale)
        resized = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        if scene.prepared is not None:  # the finest level is the largest, and no detector uses it there
            image = scene.image
            coarser = {stride: maps for stride, maps in image.pyramid.items() if stride > 2}
            scene = replace(scene, image=Encoded(image.colour, coarser, image.descriptor))
        self.held.append(Held(scene, np.asarray(resized > 0.25)))

    def good(self, product: str) -> list[Scene]:
        """The scenes of the good images of a product, without a defect."""
        return [h.scene for h in self.held if h.scene.product == product and not h.mask.any()]

    def measure(self, detector: Detector) -> dict[str, float]:
        """Pixel AP and image AUROC of a detector, means over the products, in [0, 1]; empty without any image.

        Raises:
            FloatingPointError: a map holds values that are no numbers.
        """
        found: dict[str, list[tuple[NDArray[np.float32], float, NDArray[np.bool_]]]] = {}
        for held in self.held:
            map_, score = detector.look(held.scene)
            if not np.isfinite(map_).all():
                raise FloatingPointError(
                    f"{detector.name} gives values that are no numbers for good images that were kept back; it was "
                    "given up. Lower the learning rate, or look for damaged images."
                )
            resized = cv2.resize(map_, held.mask.shape[::-1], interpolation=cv2.INTER_AREA)
            rows = found.setdefault(held.scene.product, [])
            rows.append((np.asarray(resized, np.float32), score, held.mask))
        if not found:
            return {}
        pixel, image = [], []
        for rows in found.values():
            pixel.append(pixel_average_precision([m for m, _, _ in rows], [mask for *_, mask in rows]))
            image.append(
                image_auroc([score for _, score, _ in rows], [bool(mask.any()) for *_, mask in rows])
            )
        return {"pixel_ap": float(np.mean(pixel)), "image_auroc": float(np.mean(image))}
