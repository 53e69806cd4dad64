"""Detections made by hand, and a detector that finds what is dark."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.detection import Detection
from adclick_runtime.errors import BundleError
from adclick_runtime.regions import Region


def dark_spot(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    """A light picture (H, W, 3) with a dark ring in it, a hole of one pixel and all."""
    pixels = np.full((height, width, 3), 200, np.uint8)
    pixels[10:20, 30:45] = 20
    pixels[14, 36] = 200
    return pixels


class DarkSpots:
    """Takes what is darker than 100 for a scratch; does what the real detector does to the outside."""

    types = ("scratch",)
    products = ("plate",)
    version = "v2"

    def __init__(self) -> None:
        self.go_on = threading.Event()  # a detection waits for it
        self.go_on.set()
        self.running = threading.Semaphore(0)  # released by each that has begun

    def product(self, name: str | None = None) -> SimpleNamespace:
        if name not in (None, "plate"):
            raise BundleError(f"It knows the products 'plate', and there is no product {name!r} in it.")
        return SimpleNamespace(white=4095)

    def check(self) -> str:
        return "1 regions: masks agree to 1.000 IoU, scores to 0.000."

    def detect(self, image: NDArray[np.uint8], product: str | None = None) -> Detection:
        self.running.release()
        assert self.go_on.wait(20)
        mask = image[..., 0] < 100
        regions = (Region("scratch", mask, 0.87654),) if mask.any() else ()
        values = mask.astype(np.float32)
        return Detection(
            regions=regions,
            map=values,
            score=0.98 if regions else 0.02,
            type="scratch" if regions else "",
            unlike=1.25,
            size=(image.shape[0], image.shape[1]),
            milliseconds=12.34,
        )
