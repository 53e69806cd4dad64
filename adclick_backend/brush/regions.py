"""Brush regions as Label Studio stores them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_backend.brush.rle import encode_rle
from adclick_backend.config.labeling_config import ImageSettings


def brush_region(
    name: str, mask: NDArray[np.bool_], label: str, score: float, image: ImageSettings, note: str = ""
) -> dict[str, Any]:
    """A mask as a region, in the frame of the picture that the person sees.

    Args:
        name: the region's id, unique within its task.
        mask: (H, W) bool.
        label: one of the brush labels.
        score: what Label Studio shows beside the region; kept within [0, 1].
        image: what it is a mask of, and in which control.
        note: shown with the region's details; "" for none.
    """
    height, width = mask.shape
    region: dict[str, Any] = {
        "id": name,
        "from_name": image.brush_with(label),
        "to_name": image.name,
        "type": "brushlabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": encode_rle(mask), "brushlabels": [label]},
        "score": rounded(score),
    }
    if note:
        region["meta"] = {"text": [note]}
    return region


def choice_region(name: str, choice: str, score: float, image: ImageSettings) -> dict[str, Any]:
    """A choice about the whole image as a region."""
    return {
        "id": name,
        "from_name": image.choices_name,
        "to_name": image.name,
        "type": "choices",
        "value": {"choices": [choice]},
        "score": rounded(score),
    }


def rounded(score: float) -> float:
    """A score as it is sent: within [0, 1], four digits."""
    return round(min(max(float(score), 0.0), 1.0), 4)
