"""A product on disk, drawn nuts with spots, in MVTec layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tests.helpers.tiny_painter import nut, spot_on


def write_nuts(root: Path, good: int = 4, spotted: int = 3, kind: str = "spot") -> None:
    """Write ``good`` images to train/good, and ``spotted`` ones with their masks to test/``kind``."""
    for folder in ("train/good", f"test/{kind}", f"ground_truth/{kind}"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(good):
        cv2.imwrite(str(root / f"train/good/{number:03d}.png"), nut(100 + number)[..., ::-1])
    for number in range(spotted):
        example = spot_on(number)
        cv2.imwrite(str(root / f"test/{kind}/{number:03d}.png"), example.pixels[..., ::-1])
        cv2.imwrite(
            str(root / f"ground_truth/{kind}/{number:03d}_mask.png"), example.mask.astype(np.uint8) * 255
        )
