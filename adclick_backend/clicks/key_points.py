"""Key points of a Label Studio context -> clicks in image pixels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adclick_backend.config.labeling_config import LabelingConfig
from model.clicks import Click

# Key points carry the size that the browser saw; anything larger is no size of an image.
_MAX_SIDE = 100_000


class ClickError(ValueError):
    """A context whose clicks cannot be read; the message is one sentence for a person."""


@dataclass(frozen=True)
class ClickObject:
    """The clicks that ask for one mask.

    Attributes:
        region_id: id of the region that answers them, the same for one object while its clicks go on.
        label: what was clicked, as the key point says it.
        clicks: oldest first, all inside the image.
        width: of the EXIF-rotated image, pixels.
        height: of the EXIF-rotated image, pixels.
        warnings: sentences about clicks that were dropped or moved.
        background: all clicks carry a background label, so they belong to an object of another label.
    """

    region_id: str
    label: str
    clicks: tuple[Click, ...]
    width: int
    height: int
    warnings: tuple[str, ...] = ()
    background: bool = False


def read_context(
    context: object, config: LabelingConfig, *, background_labels: Sequence[str], max_clicks: int
) -> ClickObject | None:
    """Read the key points of an interactive request.

    Args:
        context: ``params.context`` of the request, as it came.
        config: names the label of key points that carry none.
        background_labels: labels, without case, whose clicks are negative.
        max_clicks: only the newest so many are kept.

    Returns:
        None when the context holds no key points.

    Raises:
        ClickError: the context is malformed, has no image size, or no key point of it has a position.
    """
    points = _key_points(context)
    if not points:
        return None
    width, height = _size(points[0], "original_width"), _size(points[0], "original_height")
    background = {label.lower() for label in background_labels}
    default = config.brush_label_for("") or ""
    labels = [_label(point) or default for point in points]
    is_background = [label.lower() in background for label in labels]
    first = next((i for i, other in enumerate(is_background) if not other), 0)

    warnings: list[str] = []
    read = [
        _click(point, width, height, negative) for point, negative in zip(points, is_background, strict=True)
    ]
    clicks = [click for click in read if click is not None]
    if not clicks:
        raise ClickError(f"None of the {len(points)} key points has a position: x and y must be numbers.")
    if len(clicks) < len(read):
        warnings.append(f"{len(read) - len(clicks)} of {len(read)} clicks had no position and were dropped.")
    inside = [_inside(click, width, height) for click in clicks]
    moved = sum(before != after for before, after in zip(clicks, inside, strict=True))
    if moved:
        warnings.append(f"{moved} of {len(read)} clicks lay outside the image and were moved to its edge.")
    distinct = list(dict.fromkeys(inside))
    if len(distinct) > max_clicks:
        warnings.append(f"Only the newest {max_clicks} of {len(distinct)} clicks were used.")
    return ClickObject(
        region_id=_region_id(points[first]),
        label=labels[first],
        clicks=tuple(distinct[-max_clicks:]),
        width=width,
        height=height,
        warnings=tuple(warnings),
        background=all(is_background),
    )


def _key_points(context: object) -> list[Mapping[str, Any]]:
    """The key point regions of a context, oldest first, as Label Studio sends them."""
    if context is None:
        return []
    result = context.get("result", []) if isinstance(context, Mapping) else None
    if not isinstance(result, list):
        raise ClickError("The context of a click must be an object with a list of regions in 'result'.")
    return [region for region in result if isinstance(region, Mapping) and _is_key_point(region)]


def _is_key_point(region: Mapping[str, Any]) -> bool:
    value = region.get("value")
    if not isinstance(value, Mapping):
        return False
    # API clients leave the type out; Label Studio does not.
    return region.get("type") in ("keypointlabels", "keypoint") or "keypointlabels" in value


def _size(point: Mapping[str, Any], name: str) -> int:
    side = point.get(name)
    if isinstance(side, bool) or not isinstance(side, (int, float)) or not 1 <= side <= _MAX_SIDE:
        raise ClickError(f"The key points need the size of the image in pixels, but {name} is {side!r:.80}.")
    return int(side)


def _label(point: Mapping[str, Any]) -> str:
    for name in ("keypointlabels", "labels"):
        labels = point["value"].get(name)
        if isinstance(labels, list) and labels and isinstance(labels[0], str):
            return labels[0]
    return ""


def _click(point: Mapping[str, Any], width: int, height: int, negative: bool) -> Click | None:
    """The click in pixels, wherever it lies; None without a position."""
    value = point["value"]
    x, y = _percent(value.get("x")), _percent(value.get("y"))
    if x is None or y is None:
        return None
    # Label Studio says is_positive beside the value; API clients say positive, or say it inside, or nothing.
    said = (source.get(name) for source in (point, value) for name in ("is_positive", "positive"))
    positive = next((bool(answer) for answer in said if answer is not None), True)
    return Click(x / 100 * width, y / 100 * height, positive and not negative)


def _percent(number: object) -> float | None:
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return None
    if isinstance(number, float) and not math.isfinite(number):
        return None
    return float(min(max(number, -1e6), 1e6))  # JSON allows integers that no float can hold


def _inside(click: Click, width: int, height: int) -> Click:
    """The click, or the centre of the border pixel nearest to it."""
    x = click.x if 0 <= click.x < width else min(max(click.x, 0.5), width - 0.5)
    y = click.y if 0 <= click.y < height else min(max(click.y, 0.5), height - 0.5)
    return Click(x, y, click.positive)


def _region_id(point: Mapping[str, Any]) -> str:
    """A name for the object that begins with this key point."""
    name = point.get("id") or (point["value"].get("x"), point["value"].get("y"))
    return "adclick-" + hashlib.sha1(str(name).encode(), usedforsecurity=False).hexdigest()[:10]
