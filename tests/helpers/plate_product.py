"""A folder of drawn plates in MVTec layout, for commands that train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from draw_samples import save_image

from tests.helpers.plates import plate, stained


def write_product(data: Path) -> Path:
    """A small product in MVTec layout below the folder ``data``, two good plates and two stained ones; the folder."""
    product = data / "set/plate"
    for number in range(2):
        image, mask = stained(number)
        save_image(product / f"train/good/{number}.png", plate(20 + number))
        save_image(product / f"test/stain/{number}.png", image)
        save_image(product / f"ground_truth/stain/{number}_mask.png", mask.astype(np.uint8) * 255)
    return data
