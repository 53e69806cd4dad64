"""The image of each task, drawn when it is asked for: a brushed plate with a bolt and a stain in a place of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 512
BOLT = 60  # radius in pixels, in the middle
LEAST_IOU = 0.3
"""Below it a mask is no poor one but that of another image: the stains are large, dark and alone."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Stain:
    """An ellipse: centre x, y and semi-axes in pixels, angle in degrees."""

    x: int
    y: int
    long: int
    short: int
    angle: int

    @classmethod
    def of(cls, task: int) -> Stain:
        """The stain of a task, clear of the bolt and of the border; the same task has always the same one."""
        rng = np.random.default_rng([task, 1])
        while True:
            x, y = (int(value) for value in rng.integers(70, SIDE - 70, 2))
            if np.hypot(x - SIDE / 2, y - SIDE / 2) > BOLT + 70:
                return cls(
                    x, y, int(rng.integers(30, 48)), int(rng.integers(20, 30)), int(rng.integers(0, 180))
                )

    @property
    def mask(self) -> Mask:
        """Its pixels, H x W."""
        drawn = np.zeros((SIDE, SIDE), np.uint8)
        cv2.ellipse(drawn, (self.x, self.y), (self.long, self.short), self.angle, 0, 360, 1, -1)
        return drawn > 0

    def along(self, share: float) -> tuple[float, float]:
        """x, y of the point at this share of the long semi-axis; beyond 1 it lies outside."""
        turn = np.deg2rad(self.angle)
        return self.x + share * self.long * float(np.cos(turn)), self.y + share * self.long * float(
            np.sin(turn)
        )


def iou(mask: Mask, truth: Mask) -> float:
    """Intersection over union of two masks of one shape; 0 when both are empty."""
    union = np.count_nonzero(mask | truth)
    return float(np.count_nonzero(mask & truth) / union) if union else 0.0


@lru_cache(maxsize=64)
def jpeg(task: int, stained: bool) -> bytes:
    """The photograph of a task, SIDE x SIDE."""
    rng = np.random.default_rng([task, 2])
    grain = cv2.resize(rng.normal(0, 10, (SIDE // 2, 40)).astype(np.float32), (SIDE, SIDE))
    image = np.repeat(140 + grain[..., None], 3, axis=2).astype(np.float32)
    centre = (SIDE // 2 + int(rng.integers(-6, 7)), SIDE // 2 + int(rng.integers(-6, 7)))
    cv2.circle(image, centre, BOLT, (205.0, 200.0, 190.0), -1)
    if stained:
        soft = cv2.GaussianBlur(Stain.of(task).mask.astype(np.float32), (0, 0), 1.0)[..., None]
        image = image * (1 - soft) + soft * np.array([60.0, 45.0, 40.0], np.float32)
    noisy = image + rng.normal(0, 3, (SIDE, SIDE, 1))
    _, encoded = cv2.imencode(".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])
    return encoded.tobytes()
