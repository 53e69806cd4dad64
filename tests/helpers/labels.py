"""Annotations as Label Studio stores them, of images of `tests.helpers.backend`'s size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_backend.brush.rle import encode_rle

SHAPE = (48, 64)
WHEN = "2026-11-22T09:11:{:02d}.118986Z"


def region(
    kind: str, label: str | None, name: str = "r1", shape: Any = SHAPE, **value: Any
) -> dict[str, Any]:
    """A region of a type such as ``rectanglelabels`` with this value."""
    labels = {kind: [label]} if label is not None else {}
    return {
        "id": name,
        "from_name": "tool",
        "to_name": "image",
        "type": kind,
        "original_width": shape[1],
        "original_height": shape[0],
        "image_rotation": 0,
        "value": {**value, **labels},
    }


def brush(mask: NDArray[np.bool_], label: str | None = "scratch", name: str = "r1") -> dict[str, Any]:
    return region("brushlabels", label, name, mask.shape, format="rle", rle=encode_rle(mask))


def rectangle(
    x: float,
    y: float,
    width: float,
    height: float,
    label: str = "scratch",
    name: str = "r1",
    rotation: float = 0,
) -> dict[str, Any]:
    """A rectangle given in pixels of an image of `SHAPE`."""
    across, down = 100 / SHAPE[1], 100 / SHAPE[0]
    sides = {"x": x * across, "y": y * down, "width": width * across, "height": height * down}
    return region("rectanglelabels", label, name, **sides, rotation=rotation)


def choice(*names: str) -> dict[str, Any]:
    return {
        "id": "c",
        "from_name": "state",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": list(names)},
    }


def block(top: int, left: int, bottom: int, right: int, shape: tuple[int, int] = SHAPE) -> NDArray[np.bool_]:
    """A mask of one rectangle of pixels."""
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def annotated(number: int, result: Sequence[dict[str, Any]], second: int = 0, **more: Any) -> dict[str, Any]:
    """Annotation `number` of task `number`, as the API gives it."""
    return {
        "id": number,
        "task": number,
        "result": list(result),
        "was_cancelled": False,
        "updated_at": WHEN.format(second),
        **more,
    }
