"""Where a person clicks who knows the truth, how well a mask fits it, and patience."""

from __future__ import annotations

import re
import time

import cv2
import numpy as np
import pytest
import requests
from numpy.typing import NDArray


def where_to_click(mask: NDArray[np.bool_], truth: NDArray[np.bool_], *, alt: bool) -> tuple[float, float]:
    """Well inside what is missing (with Alt: what is too much), as fractions x, y of the image."""
    wrong = mask & ~truth if alt else truth & ~mask
    if not wrong.any():  # nothing to correct: confirm the defect, or what lies beside it
        # The first click lies in its middle, and Label Studio selects a key point that is clicked.
        wrong = (
            widened(truth, 41) & ~widened(truth, 11) if alt else truth & ~around(deepest(truth), truth.shape)
        )
    row, column = deepest(wrong if wrong.any() else truth)
    height, width = truth.shape
    return (column + 0.5) / width, (row + 0.5) / height


def deepest(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Row and column that lie farthest inside."""
    inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(row), int(column)


def around(place: tuple[int, int], shape: tuple[int, ...], radius: int = 20) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows - place[0], columns - place[1]) <= radius


def widened(mask: NDArray[np.bool_], diameter: int) -> NDArray[np.bool_]:
    return cv2.dilate(mask.astype(np.uint8), np.ones((diameter, diameter), np.uint8)) > 0


def overlap(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((mask & truth).sum() / (mask | truth).sum())


def count_references(backend: str, project: int) -> int:
    """How many ready references of the project /metrics counts."""
    count = re.compile(
        rf'^adclick_references{{[^}}]*project="{project}"[^}}]*state="ready"[^}}]*}} ([0-9.]+)$', re.M
    )
    return int(
        sum(float(number) for number in count.findall(requests.get(f"{backend}/metrics", timeout=60).text))
    )


def wait_for_references(backend: str, project: int, *, ready: int, limit_s: float = 180.0) -> None:
    """Wait until /metrics counts that many ready references of the project, or more."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if (found := count_references(backend, project)) >= ready:
            return
        time.sleep(0.3)
    pytest.fail(f"After {limit_s} s the project has no {ready} ready references, but {found}.")
