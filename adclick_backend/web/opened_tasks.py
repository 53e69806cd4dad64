"""Tasks that arrive without clicks: opened by a person, or sent by "Retrieve predictions"."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from adclick_backend import deadline
from adclick_backend.answers.proposer import Prediction, Serving
from adclick_backend.config.labeling_config import ImageSettings, LabelingConfig
from adclick_backend.engine.bank import EngineError, VersionError
from adclick_backend.errors import ApiError, ImageError
from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.labels.alike_wish import newest_alike
from adclick_backend.protocol.body import Task, read_body
from adclick_backend.store import DiskError
from adclick_backend.store.proposal_source import UNWANTED

if TYPE_CHECKING:
    from adclick_backend.services import Services

log = logging.getLogger(__name__)

AHEAD = 2
"""So many tasks are proposed for before somebody opens them: those after the one that is open."""


class OpenedTasks:
    """Answers the tasks of one request with what is proposed for them, as far as the time goes.

    The computing is done by the threads that also prepare images, so a click never waits for more than one piece of
    it. What is not ready in time goes on there: the image is prepared for the click, and the next request finds its
    proposal done.

    Args:
        services: what all requests share.
        project: project id.
        config: its labeling config.
    """

    def __init__(self, services: Services, project: str, config: LabelingConfig) -> None:
        self._services = services
        self._project = project
        self._config = config

    def answer(self, tasks: Sequence[Task]) -> list[Any]:
        """One answer for each task, in order: a prediction, or ``[]`` for "no prediction".

        Within ``predict_budget_s`` as many tasks are answered as it allows; the rest of several tasks is left to a
        job that goes through the project. Never raises for a task: what went wrong is on the dashboard.
        """
        if not any(image.value for image in self._config.images):
            return [[] for _ in tasks]
        self._services.traffic.opened()
        proposer = self._services.proposer
        serving = proposer.serving(self._project)
        known = [self._looked_for(task, serving) for task in tasks]
        asked = [
            found is None and proposer.can_propose(self._project, task, self._config, serving)
            for task, found in zip(tasks, known, strict=True)
        ]
        self._warm([task for task, can in zip(tasks, asked, strict=True) if not can])
        until = time.monotonic() + self._services.settings.predict_budget_s
        answers: list[Any] = []
        late, alone = 0, len(tasks) == 1
        for task, found, can in zip(tasks, known, asked, strict=True):
            in_time = can and not late
            prediction, ready = self._within(task, serving, until, alone) if in_time else (found, not can)
            answers.append(prediction or [])
            late += not ready
        if not (serving.wanted or alone):
            self._services.report(self._project, self._unwanted())
        if late and not alone:
            try:
                self._services.jobs.enqueue(self._project, "push", "retrieve predictions")
            except DiskError as error:
                self._services.report(self._project, str(error))
        self._services.traffic.opened()
        return answers

    def _unwanted(self) -> str:
        """Why retrieving predictions brought none."""
        why = UNWANTED[self._services.registry.when(self._project)]
        return f"{why}, so no predictions were brought. The page Versions changes that."

    def _looked_for(self, task: Task, serving: Serving) -> Prediction | None:
        """What a person had looked for in the task's image, as long as no trained version proposes.

        Label Studio shows predictions of the version that serves only, so it is told once more, under that name.
        """
        found = newest_alike(task.predictions)
        if found is None or self._services.registry.current(self._project) is not None:
            return None
        score = found.get("score")
        score = float(score) if isinstance(score, (int, float)) else 0.0
        return {"result": found["result"], "score": score, "model_version": serving.name}

    def _within(
        self, task: Task, serving: Serving, until: float, alone: bool
    ) -> tuple[Prediction | None, bool]:
        """The prediction of a task, and whether it was ready in time.

        A task that was asked for alone is one that a person looks at: what a first click would have to open is opened.
        """
        place = (self._project, task.id, self._url(task))
        prewarmer, host = self._services.prewarmer, self._host(task)

        def work() -> Prediction | None:
            with self._in_time():
                found, judged = self._propose(task, serving)
            if alone and judged:  # a click is expected there even where nothing is worth proposing
                prewarmer.submit(("look", *place), lambda: self._look_ahead(task), soon=False, host=host)
            if alone and task.id is not None:
                ahead = ("ahead", self._project, task.id, serving)
                prewarmer.submit(ahead, lambda: self._propose_next(task.id or 0, serving), soon=False)
            return found

        future = prewarmer.submit(("propose", *place, serving), work, host=host)
        try:
            return future.result(max(until - time.monotonic(), 0.0)), True
        except (FutureTimeout, CancelledError):
            return None, False

    def _propose(self, task: Task, serving: Serving) -> tuple[Prediction | None, bool]:
        """What is proposed for a task, and whether its images could be looked at."""
        services = self._services
        services.traffic.give_way()
        try:
            return services.proposer.predict(self._project, task, self._config, serving), True
        except VersionError as error:
            services.report(self._project, str(error), task.id)
            before = services.proposer.serving(self._project)
            return (None, False) if before == serving else self._propose(task, before)
        except (ImageError, EngineError, LabelStudioError) as error:
            services.report(self._project, str(error), task.id)
        except Exception:
            log.exception("Task %s of project %s could not be judged", task.id, self._project)
            services.report(self._project, "No mask could be proposed; the backend's log says why.", task.id)
        return None, False

    def _propose_next(self, task: int, serving: Serving) -> None:
        """Make the proposals of the tasks after one that a person opened, so that these open at once.

        Until Label Studio has the answer it covers the image, and clicks do not get through.
        """
        filters = [
            {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": task},
            {"filter": "filter:tasks:total_annotations", "operator": "equal", "type": "Number", "value": 0},
        ]
        query = {"filters": {"conjunction": "and", "items": filters}, "ordering": ["tasks:id"]}
        try:
            api = self._services.connections.label_studio(self._project)
            answer = api.get(
                "/api/tasks", project=self._project, page=1, page_size=AHEAD, query=json.dumps(query)
            )
            tasks = [read_body(Task, row) for row in answer["tasks"]]
        except (LabelStudioError, ApiError, KeyError, TypeError) as error:
            log.info("The tasks after %s of project %s are not known: %s", task, self._project, error)
            return
        for following in tasks:
            with self._in_time():
                self._propose(following, serving)

    def _look_ahead(self, task: Task) -> None:
        self._services.traffic.give_way()
        for image in self._clickable(task):
            self._reported(self._services.segmenter.look_ahead, task, image)

    def _warm(self, tasks: Sequence[Task]) -> None:
        """Prepare the images of tasks for which nothing can be proposed, the first of them first."""
        prewarmer = self._services.prewarmer
        for task in reversed(tasks[: prewarmer.capacity]):
            key = (self._project, task.id, self._url(task))
            prewarmer.submit(key, lambda task=task: self._prepare(task), host=self._host(task))  # type: ignore[misc]

    def _prepare(self, task: Task) -> None:
        for image in self._clickable(task):
            self._reported(self._services.segmenter.prepare, task, image)

    def _reported(
        self, work: Callable[[str, Task, ImageSettings], None], task: Task, image: ImageSettings
    ) -> None:
        """Do `work` for an image of a task; what goes wrong is on the dashboard."""
        try:
            with self._in_time():
                work(self._project, task, image)
        except (ImageError, EngineError, LabelStudioError) as error:
            self._services.report(self._project, str(error), task.id)

    def _in_time(self) -> AbstractContextManager[None]:
        """What a task's images may take in the background."""
        return deadline.within(self._services.settings.fetch_timeout_s)

    def _host(self, task: Task) -> str:
        """The server that is asked for the images of a task, of several the first one."""
        urls = (image.url(task.data) for image in self._config.images)
        hosts = (self._services.connections.host_of(url, self._project) for url in urls if url)
        return next(filter(None, hosts), "")

    def _clickable(self, task: Task) -> list[ImageSettings]:
        """The images of a task that a person may click on; in a config with one image, that one."""
        shown = [image for image in self._config.shown_images(task.data) if image.value]
        return [image for image in shown if image.can_click] or shown[:1]

    def _url(self, task: Task) -> str:
        return " ".join(image.url(task.data) for image in self._config.images)
