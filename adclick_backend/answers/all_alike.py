"""Every place that is like the clicked ones, as regions that Label Studio shows: one for all, or one for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_backend.answers.clicker import Clicker
from adclick_backend.answers.keeper import AnswerKeeper
from adclick_backend.answers.segmenter import Answered, AnsweredAlike
from adclick_backend.brush.regions import brush_region
from adclick_backend.brush.shapes import resize_mask
from adclick_backend.clicks.key_points import ClickObject
from adclick_backend.clicks.near import Near
from adclick_backend.config.alike_labels import Regions
from adclick_backend.config.labeling_config import ImageSettings
from adclick_backend.engine.all_alike import AlikePart, AlikeParts
from adclick_backend.engine.click_answers import Segmentation
from adclick_backend.protocol.body import Task

PLACES = 48
"""Squares along the longer side of an image by which parts are named."""


@dataclass(frozen=True)
class AlikeRegion:
    """One region of the answer.

    Attributes:
        wanted: the clicks that it answers, with its own region id.
        answered: its mask in the frame of the clicks, and what it comes from.
    """

    wanted: ClickObject
    answered: Answered


def regions_of(wanted: ClickObject, answered: AnsweredAlike, regions: Regions) -> Iterator[AlikeRegion]:
    """The regions of an answer; none when nothing was found.

    Ids follow from that of the clicked object, so that the answer to a further click takes the place of this one: the
    region of all parts has the object's own id; of single parts the first has it, the others one that goes by where in
    the image they lie.
    """
    found = answered.found
    if not found.parts:
        return
    if regions == "all":
        yield _region(wanted, answered, found.mask(), found.probability, found.score)
        return
    height, width = found.size
    taken: set[str] = set()
    for number, part in enumerate(found.parts):
        name = wanted.region_id if number == 0 else _name(wanted.region_id, part, found)
        if name in taken:  # two in one square
            name = f"{name}-{number}"
        taken.add(name)
        mask = part.whole(height, width)
        on_it = tuple(click for click in wanted.clicks if _holds(mask, click.x, click.y, wanted))
        one = replace(wanted, region_id=name, clicks=on_it)
        yield _region(one, answered, mask, _only(found, part), part.score)


def answer_alike(
    clicker: Clicker,
    keeper: AnswerKeeper,
    project: str,
    task: Task,
    wanted: ClickObject,
    image: ImageSettings,
    regions: Regions,
) -> tuple[list[dict[str, Any]], str, Near]:
    """Answer clicks that ask for every place that is alike, and keep each region of the answer for training.

    Args:
        clicker: answers clicks.
        keeper: keeps the answers.
        project: project id.
        task: the task.
        wanted: the clicks; its label is what the masks are painted with.
        image: of the task, that was clicked.
        regions: one for all, or one for each.

    Returns:
        The regions as Label Studio stores them, none when nothing was found; what it is told as ``model_version``; and
        where the first click was expected.

    Raises:
        ImageError, LabelStudioError, EngineError: with a sentence for a person.
    """
    answered = clicker.answer_alike(project, task, wanted, image)
    result = []
    for one in regions_of(wanted, answered, regions):
        found = one.answered.segmentation
        region = brush_region(one.wanted.region_id, found.mask, wanted.label, found.score, image)
        if task.id is not None:
            keeper.remember(project, task.id, one.wanted, one.answered, region)
        result.append(region)
    return result, clicker.told(project, answered), answered.near


def _region(
    wanted: ClickObject,
    answered: AnsweredAlike,
    mask: NDArray[np.bool_],
    probability: NDArray[np.float32],
    score: float,
) -> AlikeRegion:
    if mask.shape != (wanted.height, wanted.width):
        mask = resize_mask(mask, wanted.height, wanted.width)
    segmentation = Segmentation(mask, probability, score, {})
    found = Answered(segmentation, answered.sha, answered.references, answered.model_version, answered.near)
    return AlikeRegion(wanted, found)


def _name(stem: str, part: AlikePart, found: AlikeParts) -> str:
    """The id of a part that nobody clicked."""
    square = max(found.size) / PLACES
    rows, columns = part.box
    row, column = ((side.start + side.stop) / 2 // square for side in (rows, columns))
    return f"{stem}-r{row:.0f}c{column:.0f}"


def _holds(mask: NDArray[np.bool_], x: float, y: float, wanted: ClickObject) -> bool:
    height, width = mask.shape
    row, column = int(y * height / wanted.height), int(x * width / wanted.width)
    return bool(mask[min(row, height - 1), min(column, width - 1)])


def _only(found: AlikeParts, part: AlikePart) -> NDArray[np.float32]:
    """The probability map of one part: nothing outside of the box round it, and a little room."""
    height, width = found.probability.shape
    down, across = height / found.size[0], width / found.size[1]
    rows, columns = part.box
    only = np.zeros_like(found.probability)
    here = (
        slice(max(0, int(rows.start * down) - 1), int(rows.stop * down) + 2),
        slice(max(0, int(columns.start * across) - 1), int(columns.stop * across) + 2),
    )
    only[here] = found.probability[here]
    return only
