"""A detection as JSON, read back by the reader of COCO's run lengths and by OpenCV."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from adclick_runtime import coco_rle
from adclick_runtime.detection_json import as_json
from adclick_runtime.polygons import mask_of
from tests.helpers.detections import DarkSpots, dark_spot


def test_masks_come_back_from_run_lengths_and_from_polygons() -> None:
    image = dark_spot()
    found = DarkSpots().detect(image)
    made = json.loads(json.dumps(as_json(found, version="v2", product="plate")))
    (region,) = made.pop("regions")
    assert made == {
        "defect": True,
        "type": "scratch",
        "score": 0.98,
        "unlike": 1.25,
        "note": "",
        "width": 60,
        "height": 40,
        "milliseconds": 12.3,
        "version": "v2",
        "product": "plate",
    }
    assert (region["type"], region["score"], region["box"], region["area"]) == (
        "scratch",
        0.8765,
        [30, 10, 15, 10],
        149,
    )
    mask = image[..., 0] < 100
    assert np.array_equal(coco_rle.decoded(region["rle"], 40, 60) > 0, mask)
    polygons = [np.array(polygon, np.int32).reshape(-1, 2) for polygon in region["polygons"]]
    assert np.array_equal(mask_of(polygons, 40, 60), mask)


def test_nothing_found_is_said_as_such() -> None:
    made = as_json(DarkSpots().detect(np.full((4, 6, 3), 200, np.uint8)), version="v2")
    assert (made["defect"], made["type"], made["regions"]) == (False, "", [])


def test_an_image_of_something_else_is_noted() -> None:
    other = replace(DarkSpots().detect(dark_spot()), unlike=4.24)
    assert "4.2 times as unlike the references" in as_json(other, version="v2")["note"]
