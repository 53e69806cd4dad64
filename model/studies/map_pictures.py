"""Pictures of anomaly maps: an image, its true mask, and what each detector says, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Image = NDArray[np.uint8]

CAPTION = 20
"""Height of the line above each tile, pixels."""


def stretched(map_: Map, all_maps: Sequence[Map]) -> Map:
    """A map stretched to [0, 1] by the minimum and maximum of all maps of the product, as published pictures are."""
    low, high = min(float(m.min()) for m in all_maps), max(float(m.max()) for m in all_maps)
    return np.asarray((map_ - low) / max(high - low, 1e-12), np.float32)


def side_by_side(image: Image, mask: NDArray[np.bool_], maps: Mapping[str, Map], side: int) -> Image:
    """One row: the image, the image with the mask's outline, and each map in colours over the image.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool.
        maps: name -> (h, w) float32 in [0, 1], of any size.
        side: longer side of each tile, pixels.

    Returns:
        (h + CAPTION, n * w, 3) uint8 RGB.
    """
    scale = side / max(mask.shape)
    size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    inside = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    outlined = small.copy()
    outlined[cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0] = (255, 40, 40)
    tiles = [_captioned("image", small), _captioned("truth", outlined)]
    for name, map_ in maps.items():
        levels = (255 * cv2.resize(map_, size, interpolation=cv2.INTER_LINEAR)).clip(0, 255).astype(np.uint8)
        colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
        tiles.append(_captioned(name, np.asarray(cv2.addWeighted(small, 0.35, colours, 0.65, 0), np.uint8)))
    return np.concatenate(tiles, 1)


def _captioned(name: str, tile: Image) -> Image:
    line = np.zeros((CAPTION, tile.shape[1], 3), np.uint8)
    cv2.putText(line, name, (3, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([line, tile])
