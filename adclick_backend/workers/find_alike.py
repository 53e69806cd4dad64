"""The job that looks, in all images without a label, for places like some accepted masks; nothing is trained."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adclick_backend.brush.regions import brush_region, rounded
from adclick_backend.brush.shapes import RegionError, draw
from adclick_backend.config.labeling_config import ImageSettings
from adclick_backend.engine.all_alike import AlikeParts
from adclick_backend.engine.bank import EngineError
from adclick_backend.errors import ImageError
from adclick_backend.jobs.control import JobFailed
from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.labels.alike_wish import AlikeWish
from adclick_backend.labels.proposed import PREFIX
from adclick_backend.labels.results import Statement
from adclick_backend.protocol.body import Task
from adclick_backend.store import LabelledTask
from adclick_backend.workers.all_tasks import AllTasks, Control

if TYPE_CHECKING:
    from adclick_backend.services import Services
    from model.interactive.elsewhere import Sample

log = logging.getLogger(__name__)

MOST_IMAGES = 20
"""Whose masks are the examples, those labelled last."""

MOST_SAMPLES = 40
"""Parts of their masks; more say little that is new."""

PARTS_OF_AN_IMAGE = 5


def run(
    project: str, services: Services, control: Control, *, sleep: Callable[[float], object] = time.sleep
) -> str:
    """Look for what :class:`AlikeWish` asks for, and store what is found as predictions with scores.

    A task with an annotation stays as it is. So does one that has a prediction of a trained version, unless the wish
    says otherwise; no prediction is deleted but those of an earlier search for the same type. A task whose prediction
    is of this very search is passed over, so that a job that was cancelled or killed goes on where it stopped.

    Args:
        project: project id.
        services: of this process.
        control: of the job.
        sleep: waits that many seconds.

    Returns:
        What was done, as a sentence for a person.

    Raises:
        JobFailed: there is no mask to look for, or Label Studio refuses, or is away for too long.
    """
    wish = AlikeWish.read(services.store, project)
    if wish is None:
        raise JobFailed("Nobody said what to look for: start it on the page Labels.")
    return _Search(project, services, control, sleep, wish).run()


class _Search:
    """One run of the job."""

    def __init__(
        self,
        project: str,
        services: Services,
        control: Control,
        sleep: Callable[[float], object],
        wish: AlikeWish,
    ) -> None:
        self._project, self._services, self._control, self._wish = project, services, control, wish
        self._tasks = AllTasks(project, services, control, sleep)
        self._config = services.labels.config(project)
        self._trained = {
            services.registry.full_name(project, version.name) for version in services.registry.list(project)
        }
        self._samples: dict[str, list[Sample]] = {}  # by the key of the image that they were clicked on
        self._examples: list[str] = []
        self._from: list[int] = []
        self._places = 0

    def run(self) -> str:
        """See the function `run`."""
        self._collect()
        version = self._wish.version(self._examples)
        total, found, labelled, kept = self._tasks.total(), 0, 0, 0
        for looked_at, raw in enumerate(self._tasks, 1):
            if raw.get("annotations") or raw.get("total_annotations"):
                labelled += 1
            elif any(_version_of(known) == version for known in _listed(raw)):
                found += 1
            elif not self._wish.everywhere and any(_version_of(p) in self._trained for p in _listed(raw)):
                kept += 1
            else:
                found += self._serve(raw, version)
            total = max(total, looked_at)
            self._tasks.share = looked_at / total
            self._control.report(
                f"{looked_at} of {total} tasks, {_tasks(found)} with places like these.", self._tasks.share
            )
        failed = self._tasks.failed
        words = [
            f"{_tasks(found)} of {total} {'has' if found == 1 else 'have'} places like the {_masks(self._examples)} of "
            f'"{self._wish.type}", as predictions of {version}.',
            f"{_tasks(labelled)} with a label stay as they are." * bool(labelled),
            f"{_tasks(kept)} keep the prediction of a trained version." * bool(kept),
            f"{_tasks(failed)} could not be looked at; the problems page says why." * bool(failed),
        ]
        return " ".join(filter(None, words))

    def _collect(self) -> None:
        """Remember what the examples look like."""
        read = self._services.labels.reader(self._project)
        labelled = self._services.store.labels.of_project(self._project)
        if self._wish.tasks:
            labelled = [task for task in labelled if task.task_id in self._wish.tasks]
        count = 0
        for task in sorted(labelled, key=lambda task: -task.task_id):
            _, statement = read(task)
            image = self._config.image(task.image)
            if image is None or not _drawn(statement, self._wish.type) or len(self._from) >= MOST_IMAGES:
                continue
            self._control.report(f"Reading the masks: task {task.task_id}.", 0.0)
            samples = self._samples_of(task, statement, image)
            self._samples.setdefault(image.key, []).extend(samples[: MOST_SAMPLES - count])
            count += len(samples)
        if not count:
            raise JobFailed(
                f'There is no accepted or painted mask of "{self._wish.type}"'
                + (f" in the tasks {', '.join(map(str, self._wish.tasks))}" if self._wish.tasks else "")
                + ": label one, submit it, and start this again."
            )

    def _samples_of(self, task: LabelledTask, statement: Statement, image: ImageSettings) -> list[Sample]:
        def mask_of(height: int, width: int) -> NDArray[np.bool_]:
            mask = np.zeros((height, width), bool)
            for drawn in _drawn(statement, self._wish.type):
                mask |= draw(drawn.region, height, width)
            return mask

        asked = Task(id=task.task_id, data=task.data)
        try:
            samples = self._services.segmenter.samples(
                self._project, asked, image, mask_of, PARTS_OF_AN_IMAGE
            )
        except EngineError as error:
            raise JobFailed(str(error)) from error
        except (ImageError, LabelStudioError, RegionError) as error:
            self._tasks.fail(task.task_id, f"Its masks could not be read: {error}")
            return []
        if samples:
            self._from.append(task.task_id)
            self._examples += [f"{task.task_id} {one.id}" for one in _drawn(statement, self._wish.type)]
        return samples

    def _serve(self, raw: Mapping[str, Any], version: str) -> bool:
        """Look at one task; whether something was found there."""
        task = Task(id=raw["id"], data=raw["data"])
        result: list[dict[str, Any]] = []
        for image in self._config.shown_images(task.data):
            samples = self._samples.get(image.key, [])
            label = image.brush_label_for(self._wish.type)
            if not samples or label is None or not image.can_propose:
                continue
            found = self._found(task, image, samples)
            if found is not None:
                result += self._regions(task, image, label, found, version)
        if not result:
            return False
        best = max(region["score"] for region in result)
        body = {"task": task.id, "project": int(self._project), "result": result, "score": rounded(best)}
        return self._post(task, {**body, "model_version": version})

    def _found(self, task: Task, image: ImageSettings, samples: list[Sample]) -> AlikeParts | None:
        while True:
            self._services.traffic.give_way()
            try:
                return self._services.segmenter.find_like(self._project, task, image, samples)
            except EngineError as error:
                raise JobFailed(str(error)) from error
            except (ImageError, LabelStudioError) as error:
                if not self._tasks.comes_back(error):
                    self._tasks.fail(task.id, str(error))
                    return None

    def _regions(
        self, task: Task, image: ImageSettings, label: str, found: AlikeParts, version: str
    ) -> list[dict[str, Any]]:
        note = (
            f"Nothing was learned: this place looks like masks of {self._wish.type} in "
            f"{'task' if len(self._from) == 1 else 'tasks'} {', '.join(map(str, self._from[:10]))}."
        )
        height, width = found.size
        regions = []
        for number, part in enumerate(found.parts):
            stem = f"{self._project} {task.id} {image.key} {version} {number}"
            name = PREFIX + sha256(stem.encode()).hexdigest()[:12]
            regions.append(brush_region(name, part.whole(height, width), label, part.score, image, note))
        return regions

    def _post(self, task: Task, body: Mapping[str, Any]) -> bool:
        """Store a prediction in the place of one of an earlier search for the type."""
        label_studio = self._tasks.label_studio
        while True:
            try:
                answer = label_studio.get("/api/predictions/", task=task.id)
                known = answer.get("results", []) if isinstance(answer, dict) else answer
                for earlier in known:
                    if str(earlier.get("model_version")).startswith(self._wish.family):
                        label_studio.delete(f"/api/predictions/{earlier['id']}/")
                label_studio.post("/api/predictions/", dict(body))
            except LabelStudioError as error:
                if error.status in (400, 404):  # the task was deleted, or the config changed under it
                    self._tasks.fail(task.id, str(error))
                    return False
                self._tasks.wait(error)
            else:
                self._tasks.is_back()
                return True


def _drawn(statement: Statement, type_: str) -> list[Any]:
    """The masks of a type in an annotation: painted, clicked or accepted, no boxes."""
    return [one for one in statement.drawn if one.type == type_ and one.kind in ("clicked", "mask")]


def _listed(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    predictions = raw.get("predictions")
    return [p for p in predictions if isinstance(p, Mapping)] if isinstance(predictions, list) else []


def _version_of(prediction: Mapping[str, Any]) -> str:
    return str(prediction.get("model_version") or "")


def _tasks(number: int) -> str:
    return "1 task" if number == 1 else f"{number or 'no'} tasks"


def _masks(examples: list[str]) -> str:
    return "mask" if len(examples) == 1 else f"{len(examples)} masks"
