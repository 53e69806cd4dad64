"""ADClickBackend: what Label Studio asks of a model, ``predict`` and ``fit``."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from adclick_backend import deadline
from adclick_backend.answers.all_alike import answer_alike
from adclick_backend.answers.on_screen import proposed_on_screen
from adclick_backend.answers.segmenter import Answered
from adclick_backend.brush.regions import brush_region
from adclick_backend.brush.shapes import RegionError, draw, resize_mask
from adclick_backend.clicks.key_points import ClickError, ClickObject, other_tools, read_context
from adclick_backend.config.alike_labels import Regions
from adclick_backend.config.labeling_config import ImageSettings, LabelingConfig, parse_labeling_config
from adclick_backend.engine.bank import EngineError
from adclick_backend.engine.click_answers import Segmentation
from adclick_backend.errors import ImageError
from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.logs import request_id
from adclick_backend.protocol.body import Task, WebhookProject, read_body
from adclick_backend.protocol.events import AnnotationSaved, read_event
from adclick_backend.services import Services, default_services
from adclick_backend.web.contract import ProjectModel
from adclick_backend.web.opened_tasks import OpenedTasks

log = logging.getLogger(__name__)

Prediction = dict[str, Any]


def empty_prediction() -> Prediction:
    """The answer to a click that brings no mask; an empty list would be an error to Label Studio."""
    return {"result": [], "score": 0}


class ADClickBackend(ProjectModel):
    """Answers one request of one project. A new instance serves each request; what lasts is in `Services`.

    Args:
        project_id: as Label Studio sends it.
        label_config: the labeling config that came along; None when none did.
        services: what all requests share; the process's own by default.
    """

    def __init__(
        self,
        project_id: str | None = None,
        label_config: str | None = None,
        services: Services | None = None,
    ) -> None:
        self._services = services or default_services()
        super().__init__(project_id, label_config, store=self._services.store)

    def setup(self) -> None:
        """Say which model answers."""
        self.set("model_version", self._services.registry.serving_name(self._project))

    @property
    def labeling_config(self) -> LabelingConfig:
        """The labeling config of the project, taken apart."""
        background = self._services.settings.background_labels
        return parse_labeling_config(self.label_config, background_labels=background)

    def predict(
        self, tasks: Sequence[Mapping[str, Any]], context: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        """Answer a click, or get ready for one.

        Args:
            tasks: tasks as Label Studio sends them, each with ``id`` and ``data``.
            context: ``{"result": [...]}`` with the key points that a person drew; None when a task was opened
                or predictions were retrieved.
            kwargs: ignored; Label Studio sends ``login`` and ``password``.

        Returns:
            With a context, one prediction for each task, an empty one where the clicks ask for nothing or
            cannot be answered; the reason of the latter is on the status page. Without a context, what is
            proposed for each task (:class:`OpenedTasks`), ``[]`` where nothing is; the images are ready for
            a click then, or prepared in the background.
        """
        read = [read_body(Task, task) for task in tasks]
        if context is not None:
            return [self._answer(task, context) for task in read]
        return OpenedTasks(self._services, self._project, self.labeling_config).answer(read)

    def fit(self, event: str, data: Mapping[str, Any], **kwargs: Any) -> dict[str, Any] | None:
        """Take in an event of Label Studio; done within milliseconds, images are fetched in the background.

        Args:
            event: ``ANNOTATION_CREATED``, ``START_TRAINING`` ...
            data: the body of the webhook.
            kwargs: ``trusted=True`` when it carries the secret or the password; other keys are ignored.

        Returns:
            What to tell the caller; None for events that change nothing here.

        Raises:
            ApiError: 400; the body lacks what the event should carry.
        """
        services = self._services
        trusted = bool(kwargs.get("trusted"))
        if event == "START_TRAINING":
            return self._start_training()
        found = read_event(event, data)
        if not trusted and not services.store.projects.get(self._project).updated:
            return None  # of a project that nobody connected
        self._take_over(
            read_body(WebhookProject, data.get("project") or {}),
            replaces=trusted and not services.can_read_back,
            updated=event == "PROJECT_UPDATED",
        )
        if found is None:
            return None
        if isinstance(found, AnnotationSaved):
            for image in self.labeling_config.images:  # what was clicked is submitted now
                services.memory.forget(self._project, _remembered_as(str(found.task.id), image.key))
        changed = services.messages.take_in(self._project, found, trusted=trusted)
        if changed:
            services.keeper.wake()
        return {"references_changed": changed}

    def _start_training(self) -> dict[str, Any]:
        """Put a training in the queue; with one waiting there already, that one is the answer.

        Label Studio asks after each submitted annotation when a person has switched that on. What is submitted while a
        training runs may not be in it, so one more follows.
        """
        job = self._services.jobs.enqueue(
            self._project, "train", "Start Training in Label Studio", again=True
        )
        message = f"Training {job.id} of this project waits for its turn; the dashboard shows how it goes."
        return {"job": job.id, "message": message}

    def _take_over(self, project: WebhookProject, *, replaces: bool, updated: bool) -> None:
        """Note title and labeling config: what is not known yet, and of a message that may replace it what is news."""
        known = self._services.store.projects.get(self._project)
        told = {}
        if project.title and (replaces or not known.title):
            told["title"] = project.title
        if project.label_config and ((replaces and updated) or not known.label_config):  # others may be late
            told["label_config"] = project.label_config
        if told or not known.updated:
            self._services.store.projects.save(self._project, **told)

    def _answer(self, task: Task, context: Mapping[str, Any]) -> Prediction:
        telemetry = self._services.telemetry
        in_time = deadline.within(self._services.settings.click_timeout_s)
        with self._services.traffic, telemetry.in_flight.track_inprogress(), in_time:
            try:
                prediction = self._click(task, context)
            except (ClickError, ImageError, EngineError, LabelStudioError) as error:
                problem = str(error)
            except Exception:
                log.exception("A click on task %s of project %s failed", task.id, self._project)
                problem = f"A click could not be answered; see {request_id.get()} in the backend's log."
            else:
                telemetry.clicks.labels("mask" if prediction["result"] else "empty").inc()
                return prediction
        telemetry.clicks.labels("problem").inc()
        self._services.report(self._project, problem, task.id)
        return empty_prediction()

    def _click(self, task: Task, context: Mapping[str, Any]) -> Prediction:
        services, settings, config = self._services, self._services.settings, self.labeling_config
        drawn = read_context(
            context, config, background_labels=settings.background_labels, max_clicks=settings.max_clicks
        )
        if drawn is None:
            if problem := other_tools(context):
                raise ClickError(problem)
            return empty_prediction()
        image = next(image for image in config.images if image.key == drawn.image)
        for warning in drawn.warnings:
            log.warning("Task %s: %s", task.id, warning)
        name = _remembered_as(image.url(task.data) if task.id is None else str(task.id), image.key)
        drawn = replace(drawn, version=services.clicker.serving(self._project))
        wanted = drawn if drawn.box else self._joined(drawn, name, image, task)
        if not wanted.begun and not any(click.positive for click in wanted.clicks):
            return empty_prediction()
        label = image.brush_label_for(wanted.label)
        if label is None:
            known = ", ".join(image.all_brush_labels)
            raise ClickError(
                f'"{wanted.label}" was clicked, but the brush labels are {known}: add it to them.'
            )
        if not wanted.box and (regions := image.asks_for_alike(wanted.label)):
            return self._click_alike(task, name, replace(wanted, label=label), image, regions)
        answered = services.clicker.answer(self._project, task, wanted, image)
        if wanted.box:
            answered = _inside(answered, wanted)
        found = answered.segmentation
        if not found.mask.any():
            return empty_prediction()
        if not wanted.box:
            services.memory.remember_mask(
                self._project, name, wanted.region_id, _bounding_box(found), answered.near
            )
        with services.telemetry.phase("encode"):
            region = brush_region(wanted.region_id, found.mask, label, found.score, image)
        if task.id is not None:
            services.answers.remember(self._project, task.id, wanted, answered, region)
        version = services.clicker.told(self._project, answered)
        return {"result": [region], "score": region["score"], "model_version": version}

    def _click_alike(
        self, task: Task, name: str, wanted: ClickObject, image: ImageSettings, regions: Regions
    ) -> Prediction:
        """The answer to clicks that ask for every place that is alike; ``wanted.label`` is what is painted."""
        services = self._services
        result, version, near = answer_alike(
            services.clicker, services.answers, self._project, task, wanted, image, regions
        )
        if not result:
            return empty_prediction()
        # A further click is about the same object, wherever it is.
        everywhere = 0, 0, wanted.width, wanted.height
        services.memory.remember_mask(self._project, name, wanted.region_id, everywhere, near)
        score = min(region["score"] for region in result)
        return {"result": result, "score": score, "model_version": version}

    def _joined(self, drawn: ClickObject, name: str, image: ImageSettings, task: Task) -> ClickObject:
        """The object that clicks belong to: one that was clicked before, a mask on the screen, or a new one."""
        services = self._services
        if image.asks_for_alike(drawn.label):  # whose example is what is clicked, not what was proposed
            return services.memory.merge(self._project, name, drawn)
        serving = services.registry.serving_name(self._project)
        shown = proposed_on_screen(task, image, (drawn.height, drawn.width), serving)
        return services.memory.merge(self._project, name, drawn, shown=shown)


def _bounding_box(found: Segmentation) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the mask in image pixels, the last two exclusive."""
    columns, rows = np.flatnonzero(found.mask.any(axis=0)), np.flatnonzero(found.mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _remembered_as(task: str, image: str) -> str:
    """What the clicks on an image of a task are remembered under."""
    return f"{task} {image}" if image else task


def _inside(answered: Answered, wanted: ClickObject) -> Answered:
    """The part of an answer that lies in the smart rectangle that asked for it."""
    found = answered.segmentation
    try:
        box = draw(wanted.box or {}, wanted.height, wanted.width)
    except RegionError as error:
        raise ClickError(f"A smart rectangle could not be answered. {error}") from error
    if not (found.mask & box).any():
        raise ClickError(
            "Nothing was found in the middle of a smart rectangle; draw it closer round the defect, or click the "
            "defect with the smart key points."
        )
    height, width = found.probability.shape
    outside = ~resize_mask(box, height, width)
    probability = np.where(outside, np.float32(0), found.probability)
    segmentation = replace(found, mask=found.mask & box, probability=probability)
    return replace(answered, segmentation=segmentation)
