"""Labeling configs of real projects, and one with two images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.helpers.backend import HEIGHT, WIDTH

CONFIGS: dict[str, str] = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "real_configs.json").read_text()
)
TWO_IMAGES = CONFIGS["click on the second of two images"]


def two_images(front: str, back: str, number: int = 1, **data: object) -> dict[str, Any]:
    """A task of `TWO_IMAGES`."""
    data = {"front": front, "back": back, **data}
    return {"id": number, "data": data, "annotations": [], "predictions": [], "drafts": []}


def drawn(
    kind: str, from_name: str, to_name: str, label: str | None, name: str = "r1", **value: Any
) -> dict[str, Any]:
    """A region of an image of the size that `Backend.draw` makes; places are given in percent."""
    labels = {} if label is None else {"labels": [label], kind: [label]}
    return {
        "id": name,
        "type": kind,
        "from_name": from_name,
        "to_name": to_name,
        "origin": "manual",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "is_positive": True,
        "value": {**value, **labels},
    }


def clicked(
    x: float,
    y: float,
    from_name: str = "click",
    to_name: str = "image",
    label: str | None = "scratch",
    **more: Any,
) -> dict[str, Any]:
    """A key point at pixel (x, y)."""
    place = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 0.4}
    return {**drawn("keypointlabels", from_name, to_name, label, "kp1", **place), **more}
