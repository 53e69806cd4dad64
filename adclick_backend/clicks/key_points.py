"""Key points and smart rectangles of a Label Studio context -> clicks in image pixels, on the image they are of."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adclick_backend.clicks.near import Near
from adclick_backend.config.labeling_config import (
    BelongingError,
    ImageSettings,
    LabelingConfig,
    summary_sentence,
)
from model.clicks import Click

# Key points carry the size that the browser saw; anything larger is no size of an image.
_MAX_SIDE = 100_000
# What a context may hold besides regions: labels of a region, and what is about the whole image.
_NOT_DRAWN = (
    *(
        "labels",
        "choices",
        "textarea",
        "rating",
        "number",
        "datetime",
        "taxonomy",
        "pairwise",
        "ranker",
        "relation",
    ),
    None,
)


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
        image: key of the clicked image, "" for the only one.
        box: the smart rectangle that asks, as Label Studio stores it; nothing outside of it is wanted.
        version: name of the trained version whose click network answers; "" for the one that all projects share.
        begun: the mask that was there before the first click, as :class:`adclick_backend.clicks.begun.Begun` packs it;
            b"" for none.
        near: where the first click was expected; None while there is no answer to it.
    """

    region_id: str
    label: str
    clicks: tuple[Click, ...]
    width: int
    height: int
    warnings: tuple[str, ...] = ()
    background: bool = False
    image: str = ""
    box: Mapping[str, Any] | None = None
    version: str = ""
    begun: bytes = b""
    near: Near | None = None


def read_context(
    context: object, config: LabelingConfig, *, background_labels: Sequence[str], max_clicks: int
) -> ClickObject | None:
    """Read the key points, or the rectangle, of an interactive request.

    What was drawn last says what is asked: on which image, and whether with key points or with a rectangle. Label
    Studio sends what is like it along: the earlier key points of the object; a rectangle is an object by itself.

    Args:
        context: ``params.context`` of the request, as it came.
        config: says which image a region is of, and the label of key points that carry none.
        background_labels: labels, without case, whose clicks are negative.
        max_clicks: only the newest so many are kept.

    Returns:
        None when the context holds neither.

    Raises:
        ClickError: the context is malformed, has no image size, no key point of it has a position, or nobody can tell
            on which image it was drawn.
    """
    items = _items(context)
    regions = [item for item in items if _is_key_point(item) or _is_rectangle(item)]
    chosen = {str(item.get("id")): _label(item) for item in items if item.get("type") == "labels"}
    if not regions:
        return None
    if not config.can_click:
        raise ClickError(summary_sentence(config))
    image = _clicked_image(regions[-1], config)
    if _is_rectangle(regions[-1]):
        return _read_box(regions[-1], image, background_labels, chosen)
    points = [region for region in regions if _is_key_point(region) and _is_on(region, image, config)]
    width, height = _size(points[0], "original_width"), _size(points[0], "original_height")
    background = {label.lower() for label in background_labels}
    default = image.brush_label_for("") or ""
    # With <KeyPoint> and <Labels>, the label is an item of its own with the id of the point.
    labels = [_label(point) or chosen.get(str(point.get("id"))) or default for point in points]
    is_background = [label.strip().lower() in background for label in labels]
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
        region_id=_region_id(points[first], image),
        label=labels[first],
        clicks=tuple(distinct[-max_clicks:]),
        width=width,
        height=height,
        warnings=tuple(warnings),
        background=all(is_background),
        image=image.key,
    )


def other_tools(context: object) -> str:
    """What a context without key points and rectangles was drawn with, as a sentence; "" when nothing was drawn."""
    drawn = [region for region in _items(context) if region.get("type") not in _NOT_DRAWN]
    if not drawn:
        return ""
    kind, source = str(drawn[-1]["type"])[:40], str(drawn[-1].get("from_name") or "")[:80]
    return (
        f'A smart tool drew a region of the type "{kind}" with "{source}". Only smart key points and smart rectangles '
        f'are answered with a mask: choose the key points, and give "{source}" smart="false" in the labeling config.'
    )


def _read_box(
    region: Mapping[str, Any],
    image: ImageSettings,
    background_labels: Sequence[str],
    chosen: Mapping[str, str],
) -> ClickObject:
    """A smart rectangle as a click in its middle."""
    width, height = _size(region, "original_width"), _size(region, "original_height")
    value = region["value"]
    left, top, across, down = sides = [_percent(value.get(name)) for name in ("x", "y", "width", "height")]
    angle = _percent(value.get("rotation") or 0)
    if left is None or top is None or across is None or down is None or angle is None:
        raise ClickError(f"A rectangle needs x, y, width and height as numbers, but has {sides}.")
    # Label Studio turns a rectangle clockwise round its first corner, in the picture's own proportions.
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    half_x, half_y = across / 200 * width, down / 200 * height
    middle = Click(
        left / 100 * width + half_x * cos - half_y * sin,
        top / 100 * height + half_x * sin + half_y * cos,
        True,
    )
    label = _label(region) or chosen.get(str(region.get("id"))) or image.brush_label_for("") or ""
    if label.strip().lower() in {name.lower() for name in background_labels}:
        raise ClickError(
            f'A rectangle of "{label}" asks for nothing; click what does not belong to the defect.'
        )
    return ClickObject(
        region_id=_region_id(region, image),
        label=label,
        clicks=(_inside(middle, width, height),),
        width=width,
        height=height,
        image=image.key,
        box=region,
    )


def _clicked_image(region: Mapping[str, Any], config: LabelingConfig) -> ImageSettings:
    """The image that a region was drawn on, which can be clicked on with what it was drawn with."""
    try:
        image = config.image_of(region)
    except BelongingError as error:
        raise ClickError(f"A click could not be answered. {error}") from error
    source = str(region.get("from_name") or "")
    if not image.can_click:
        raise ClickError(f'The image "{image.name}" cannot be clicked on. {summary_sentence(config)}')
    if source and source not in image.clicked_with:
        raise ClickError(
            f'A click came from "{source[:80]}", but the labeling config has "{image.click_name}" for clicks on '
            f'"{image.name}". Reload the page of the task.'
        )
    return image


def _is_on(region: Mapping[str, Any], image: ImageSettings, config: LabelingConfig) -> bool:
    try:
        return config.image_of(region) is image
    except BelongingError:
        return False


def _items(context: object) -> list[Mapping[str, Any]]:
    """What a context holds that has a value, oldest first, as Label Studio sends it."""
    if context is None:
        return []
    result = context.get("result", []) if isinstance(context, Mapping) else None
    if not isinstance(result, list):
        raise ClickError("The context of a click must be an object with a list of regions in 'result'.")
    return [item for item in result if isinstance(item, Mapping) and isinstance(item.get("value"), Mapping)]


def _is_key_point(region: Mapping[str, Any]) -> bool:
    # API clients leave the type out; Label Studio does not.
    return region.get("type") in ("keypointlabels", "keypoint") or "keypointlabels" in region["value"]


def _is_rectangle(region: Mapping[str, Any]) -> bool:
    return region.get("type") in ("rectanglelabels", "rectangle") or "rectanglelabels" in region["value"]


def _size(point: Mapping[str, Any], name: str) -> int:
    side = point.get(name)
    if isinstance(side, bool) or not isinstance(side, (int, float)) or not 1 <= side <= _MAX_SIDE:
        raise ClickError(f"The key points need the size of the image in pixels, but {name} is {side!r:.80}.")
    return int(side)


def _label(point: Mapping[str, Any]) -> str:
    for name in ("keypointlabels", "rectanglelabels", "labels"):
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


def _region_id(point: Mapping[str, Any], image: ImageSettings) -> str:
    """A name for the object that begins with this key point, or is asked for with this rectangle."""
    # Two images may be clicked at the same place, and API clients leave the id out.
    place = (point["value"].get("x"), point["value"].get("y"), *[image.key] * bool(image.key))
    name = point.get("id") or place
    return "adclick-" + hashlib.sha1(str(name).encode(), usedforsecurity=False).hexdigest()[:10]
