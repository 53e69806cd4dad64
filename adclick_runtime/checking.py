"""Whether a detector finds in a picture what was found in it before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from adclick_runtime.coco_rle import decoded
from adclick_runtime.detection import Detection
from adclick_runtime.errors import BundleError

LEAST_IOU, MOST_SCORE = 0.95, 0.02
"""What is left of a mask, and by how much a score may differ, when a processor or an engine rounds otherwise."""


def compared(found: Detection, answer: Mapping[str, Any]) -> str:
    """Compare what was found with an answer of ``check.json``.

    Returns:
        How well they agree, in a sentence.

    Raises:
        BundleError: they do not.
    """
    wanted = answer["regions"]
    types = sorted(region.type for region in found.regions)
    if types != sorted(region["type"] for region in wanted):
        raise BundleError(
            f"In its picture the bundle finds {types or 'nothing'} here, and found {len(wanted)} regions where it was "
            "exported: install the release of adclick-runtime that its manifest names, and tell us."
        )
    ious, scores = [1.0], [0.0]
    for region in wanted:
        mask = decoded(region["segmentation"], *found.size) > 0
        same = [other for other in found.regions if other.type == region["type"]]
        best = max(same, key=lambda other: _iou(mask, other.mask))
        ious.append(_iou(mask, best.mask))
        scores.append(abs(best.score - region["score"]))
    sentence = f"{len(wanted)} regions: masks agree to {min(ious):.3f} IoU, scores to {max(scores):.3f}."
    if min(ious) < LEAST_IOU or max(scores) > MOST_SCORE:
        raise BundleError(
            f"What the bundle finds in its picture is not what it found where it was exported; {sentence}"
        )
    return sentence


def _iou(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))
