"""A detection as JSON: what `adclick-detect` writes, and what ``POST /detect`` answers, here and in the backend."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from adclick_runtime import coco_rle
from adclick_runtime.detection import Detection
from adclick_runtime.polygons import polygons_of
from adclick_runtime.regions import Region

_DIGITS = 4


def as_json(found: Detection, *, version: str, product: str = "") -> dict[str, Any]:
    """What was found in an image, as a JSON object.

    Args:
        found: in the image.
        version: name of the version that looked.
        product: whose references the image was compared with; "" when products are not told apart.

    Returns:
        ``defect`` says whether any region was found; ``type`` and ``score`` are those of the image, ``width`` and
        ``height`` its size in pixels, ``unlike``, ``note`` and ``milliseconds`` as in `Detection`; ``regions`` has one
        object each, the surest first: ``type``, ``score``, ``area`` in pixels, ``box`` as ``[x, y, width, height]`` in
        pixels, ``rle`` as COCO's compressed run lengths of the whole image, and ``polygons`` as lists
        ``[x, y, x, y, ...]`` of the numbers of border pixels, one a connected part, holes bridged.
    """
    height, width = found.size
    return {
        "defect": bool(found.regions),
        "type": found.type,
        "score": _rounded(found.score),
        "unlike": _rounded(found.unlike),
        "note": found.note,
        "width": width,
        "height": height,
        "milliseconds": round(found.milliseconds, 1),
        "version": version,
        "product": product,
        "regions": [_region(region) for region in found.regions],
    }


def _region(region: Region) -> dict[str, Any]:
    x, y, width, height = cv2.boundingRect(region.mask.view(np.uint8))
    cut = region.mask[y : y + height, x : x + width]
    return {
        "type": region.type,
        "score": _rounded(region.score),
        "area": int(np.count_nonzero(cut)),
        "box": [x, y, width, height],
        "rle": coco_rle.encoded(region.mask),
        "polygons": [(polygon + np.array((x, y))).ravel().tolist() for polygon in polygons_of(cut)],
    }


def _rounded(number: float) -> float:
    return round(float(number), _DIGITS)
