"""The masks that ADClick proposed for a task and that a person has before them: what a click may correct.

Label Studio makes an annotation of a prediction when a task is opened, in which the regions keep their ids, and sends
the predictions along with every click. What was changed since is in the person's draft, which is some seconds behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adclick_backend.brush.rle import BrushError, decode_rle
from adclick_backend.brush.shapes import resize_mask
from adclick_backend.clicks.begun import Begun
from adclick_backend.config.labeling_config import ImageSettings
from adclick_backend.labels.proposed import PREFIX
from adclick_backend.protocol.body import Task

LOOKED_AT = 64
"""Regions of one task: more are not proposed."""


def proposed_on_screen(task: Task, image: ImageSettings, size: tuple[int, int], serving: str) -> list[Begun]:
    """The proposed masks of a task, as far as the request of a click tells; what is malformed is left out.

    Args:
        task: as Label Studio sends it along with a click.
        image: the image that is clicked.
        size: height and width in pixels of the frame that the click is in.
        serving: the ``model_version`` that answers now; of several predictions, its one is shown.
    """
    found: dict[str, Begun] = {}
    for region in _results(task, serving):
        name, value = str(region.get("id")), region.get("value")
        labels = value.get("brushlabels") if isinstance(value, Mapping) else None
        if not name.startswith(PREFIX) or region.get("to_name") != image.name or not isinstance(labels, list):
            continue
        if len(found) == LOOKED_AT or not labels or not isinstance(value, Mapping):
            continue
        try:
            mask = decode_rle(value.get("rle"), region.get("original_width"), region.get("original_height"))  # type: ignore[arg-type]
        except BrushError:
            continue
        if mask.any():
            found[name] = Begun(name, str(labels[0]), resize_mask(mask, *size))
    return list(found.values())


def _results(task: Task, serving: str) -> Iterator[Mapping[str, Any]]:
    """The regions of the newest draft; without one, those of the prediction that is shown."""
    rows = _rows(task.drafts)
    if not rows:
        predictions = _rows(task.predictions)
        rows = [row for row in predictions if row.get("model_version") == serving] or predictions
    result = max(rows, key=lambda row: str(row.get("updated_at") or ""), default={}).get("result")
    yield from (item for item in (result if isinstance(result, list) else []) if isinstance(item, Mapping))


def _rows(rows: object) -> list[Mapping[str, Any]]:
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
