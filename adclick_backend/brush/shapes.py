"""Regions of an annotation -> pixels of the image: brushes, polygons, rectangles, ellipses.

Label Studio stores every region in the frame of the upright image as the browser loaded it. Turning the picture in
the editor only turns the view: ``image_rotation`` says how it was seen and changes no coordinate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.brush.rle import BrushError, decode_rle

Shape = Literal["brush", "polygon", "rectangle", "ellipse"]
Points = NDArray[np.float64]

_SUBPIXEL_BITS = 4
_FARTHEST = 1000.0  # percent of the image; anything beyond is no coordinate
_SAME_ASPECT = 0.02  # a scaled copy has the image's proportions but for rounding


class RegionError(ValueError):
    """A region that cannot be drawn; the message is one sentence for a person."""


def shape_of(region: Mapping[str, Any]) -> Shape | None:
    """What a region is drawn as; None for what covers no pixels, such as key points and choices."""
    match str(region.get("type", "")).lower().removesuffix("labels"):
        case "brush":
            return "brush"
        case "polygon":
            return "polygon"
        case "rectangle":
            return "rectangle"
        case "ellipse":
            return "ellipse"
    return None


def draw(region: Mapping[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    """The pixels of a region in the upright image, (height, width) bool.

    Raises:
        RegionError: it is malformed, or was drawn on a picture of other proportions.
    """
    value = region.get("value")
    if not isinstance(value, Mapping):
        raise RegionError("A region has no value.")
    match shape_of(region):
        case "brush":
            return _brush(region, value, height, width)
        case "polygon":
            return _fill(_polygon(value), height, width)
        case "rectangle":
            return _fill(_rectangle(value, height, width), height, width)
        case "ellipse":
            return _fill(_ellipse(value, height, width), height, width)
    raise RegionError(f"A region of the type {str(region.get('type'))[:40]!r} covers no pixels.")


def resize_mask(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """The mask at another size, nearest pixel; itself when it has that size."""
    if mask.shape == (height, width):
        return mask
    resized = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized > 0)


def _brush(region: Mapping[str, Any], value: Mapping[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    try:
        mask = decode_rle(value.get("rle"), region.get("original_width"), region.get("original_height"))  # type: ignore[arg-type]
    except BrushError as error:
        raise RegionError(str(error)) from error
    drawn_height, drawn_width = mask.shape
    expected = drawn_width * height / width
    if abs(expected - drawn_height) > max(2.0, _SAME_ASPECT * drawn_height):
        raise RegionError(
            f"A mask was painted on a picture of {drawn_width} x {drawn_height} pixels, but the image has "
            f"{width} x {height}."
        )
    return resize_mask(mask, height, width)


def _polygon(value: Mapping[str, Any]) -> Points:
    """Corners (N, 2) of a polygon in [0, 1] of the image."""
    points = value.get("points")
    if not isinstance(points, list) or len(points) < 3:
        raise RegionError("A polygon needs at least three points.")
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise RegionError("The points of a polygon must be pairs of x and y.")
    return np.array([[_percent(x, "x"), _percent(y, "y")] for x, y in points])


def _rectangle(value: Mapping[str, Any], height: int, width: int) -> Points:
    """Corners (4, 2) in [0, 1] of the image; turned clockwise round its first corner."""
    x, y, w, h = (_percent(value.get(name), name) for name in ("x", "y", "width", "height"))
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]])
    return _turned(corners, (x, y), value, height, width)


def _ellipse(value: Mapping[str, Any], height: int, width: int) -> Points:
    """Corners (64, 2) in [0, 1] of the image; turned clockwise round its centre."""
    x, y, rx, ry = (_percent(value.get(name), name) for name in ("x", "y", "radiusX", "radiusY"))
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    outline = np.stack([rx * np.cos(angle), ry * np.sin(angle)], axis=1)
    return _turned(outline, (x, y), value, height, width)


def _turned(
    points: Points, centre: tuple[float, float], value: Mapping[str, Any], height: int, width: int
) -> Points:
    """Points round a centre, turned by the region's rotation: degrees of the picture, not of its unit square."""
    degrees = _number(value.get("rotation") or 0, "rotation")
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    size, turn = np.array([width, height]), np.array([[cos, sin], [-sin, cos]])
    return np.asarray((points * size) @ turn / size + centre)


def _fill(points: Points, height: int, width: int) -> NDArray[np.bool_]:
    """The inside of a polygon given in [0, 1] of the image."""
    # OpenCV counts from the centres of pixels, coordinates here from their corners.
    pixels = (points * (width, height) - 0.5) * (1 << _SUBPIXEL_BITS)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.rint(pixels).astype(np.int32)], 1, shift=_SUBPIXEL_BITS)
    return np.asarray(mask > 0)


def _percent(number: object, name: str) -> float:
    found = _number(number, name)
    if abs(found) > _FARTHEST:
        raise RegionError(f"The {name} of a region is {found:g} percent of the image, far outside of it.")
    return found / 100


def _number(number: object, name: str) -> float:
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise RegionError(f"The {name} of a region must be a number, not {str(number)[:40]!r}.")
    if abs(number) > 1e9 or not math.isfinite(number):
        raise RegionError(f"The {name} of a region is {str(number)[:40]}, which is no coordinate.")
    return float(number)
