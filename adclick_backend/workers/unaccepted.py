"""The job that computes masks again where only key points were submitted, and offers them as predictions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adclick_backend.answers.all_alike import answer_alike
from adclick_backend.brush.regions import brush_region
from adclick_backend.clicks.key_points import ClickError, ClickObject, read_context
from adclick_backend.config.labeling_config import ImageSettings, LabelingConfig
from adclick_backend.engine.bank import EngineError
from adclick_backend.errors import ImageError
from adclick_backend.jobs.control import JobControl, JobFailed
from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.labels.mirror import Reader
from adclick_backend.protocol.body import Task
from adclick_backend.store import LabelledTask

if TYPE_CHECKING:
    from adclick_backend.services import Services

log = logging.getLogger(__name__)


def run(project: str, services: Services, control: JobControl) -> str:
    """Compute the masks of all key points whose mask was not accepted, and store them as predictions.

    Args:
        project: project id.
        services: of this process.
        control: of the job.

    Returns:
        What was done, as a sentence for a person.

    Raises:
        JobFailed: Label Studio refuses, or the labeling config has no place for a mask.
    """
    config = services.labels.config(project)
    if not config.can_click:
        raise JobFailed("The labeling config has no place for masks; the page Overview says what it lacks.")
    tasks = [task for task in services.store.labels.of_project(project) if task.flag == "unaccepted"]
    read, done = services.labels.reader(project), 0
    for number, task in enumerate(tasks):
        control.report(f"{number} of {len(tasks)} tasks.", number / len(tasks))
        try:
            regions = _regions(task, read, config, services)
        except (ClickError, ImageError, EngineError, LabelStudioError) as error:
            services.report(project, f"Its mask could not be computed again: {error}", task.task_id)
            continue
        if regions:
            _offer(task, regions, services)
            done += 1
    return f"The masks of {done} of {len(tasks)} tasks were computed again; they are there as predictions to accept."


def _regions(
    task: LabelledTask, read: Reader, config: LabelingConfig, services: Services
) -> list[dict[str, Any]]:
    """A mask for each label that was clicked in an image of a task."""
    annotation, _ = read(task)
    found = []
    for points in _by_label(annotation["result"] if annotation else ()):
        # A control that was renamed since then says nothing any more; the image's name still does.
        named = [
            point if point.get("from_name") in config.targets else {**point, "from_name": ""}
            for point in points
        ]
        wanted = read_context(
            {"result": named},
            config,
            background_labels=services.settings.background_labels,
            max_clicks=services.settings.max_clicks,
        )
        image = None if wanted is None else config.image(wanted.image)
        if wanted is None or image is None or image.key != task.image:
            continue
        label = image.brush_label_for(wanted.label)
        if label is None or not any(click.positive for click in wanted.clicks):
            continue
        found += _region(task, wanted, label, image, services)
    return found


def _region(
    task: LabelledTask, wanted: ClickObject, label: str, image: ImageSettings, services: Services
) -> list[dict[str, Any]]:
    asked = Task(id=task.task_id, data=task.data)
    wanted = replace(wanted, version=services.clicker.serving(task.project))
    if regions := image.asks_for_alike(wanted.label):
        painted = replace(wanted, label=label)
        return answer_alike(services.clicker, services.answers, task.project, asked, painted, image, regions)[
            0
        ]
    answered = services.clicker.answer(task.project, asked, wanted, image)
    if not answered.segmentation.mask.any():
        return []
    segmentation = answered.segmentation
    region = brush_region(wanted.region_id, segmentation.mask, label, segmentation.score, image)
    services.answers.remember(task.project, task.task_id, wanted, answered, region)
    return [region]


def _by_label(result: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The key points of an annotation, those of one label on one image together."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for item in result:
        if str(item.get("type")).startswith("keypoint"):
            value = item.get("value")
            labels = value.get("keypointlabels") if isinstance(value, Mapping) else None
            groups.setdefault(f"{item.get('to_name')} {labels}", []).append(item)
    return list(groups.values())


def _offer(task: LabelledTask, regions: Sequence[dict[str, Any]], services: Services) -> None:
    version = services.registry.serving_name(task.project)
    body = {
        "task": task.task_id,
        "project": int(task.project),
        "result": list(regions),
        "score": min(region["score"] for region in regions),
        "model_version": version,
    }
    try:
        services.connections.label_studio(task.project).post("/api/predictions/", body)
    except LabelStudioError as error:
        raise JobFailed(f"The masks cannot be brought to Label Studio: {error}") from error
