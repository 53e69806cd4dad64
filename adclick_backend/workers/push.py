"""The job that gives every task of a project its prediction, through Label Studio's API."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from adclick_backend.answers.proposer import Prediction, Serving
from adclick_backend.config.labeling_config import parse_labeling_config, summary_sentence
from adclick_backend.engine.bank import EngineError, VersionError
from adclick_backend.errors import ImageError
from adclick_backend.jobs.control import JobFailed
from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.labels.proposed import PREFIX
from adclick_backend.protocol.body import Task
from adclick_backend.store.proposal_source import UNWANTED
from adclick_backend.workers.all_tasks import AllTasks, Control

if TYPE_CHECKING:
    from adclick_backend.services import Services


def run(
    project: str, services: Services, control: Control, *, sleep: Callable[[float], object] = time.sleep
) -> str:
    """Give every task of a project the prediction of the version that serves.

    Nothing is kept but in Label Studio itself: a task whose newest prediction is of the version is passed over. So a
    push that was cancelled or killed goes on where it stopped when it is started again, and no task ever gets two
    predictions of one version. Label Studio shows the newest prediction: after a roll back, the older one of the
    version that serves again takes the place of the one that was brought after it.

    Args:
        project: project id.
        services: of this process.
        control: of the job.
        sleep: waits that many seconds.

    Returns:
        What was done, as a sentence for a person.

    Raises:
        JobFailed: Label Studio refuses, or was away for too long, or the labeling config has
            no place for a mask.
    """
    return _Push(project, services, control, sleep).run()


class _Push:
    """One run of the job."""

    def __init__(
        self, project: str, services: Services, control: Control, sleep: Callable[[float], object]
    ) -> None:
        self._project = project
        self._services = services
        self._control = control
        self._tasks = AllTasks(project, services, control, sleep)
        self._label_studio = self._tasks.label_studio

    def run(self) -> str:
        """See the function `run`."""
        settings, store = self._services.settings, self._services.store
        self._config = parse_labeling_config(
            store.projects.get(self._project).label_config, background_labels=settings.background_labels
        )
        if not any(image.can_propose for image in self._config.images):
            raise JobFailed(summary_sentence(self._config))
        if not self._services.proposer.serving(self._project).wanted:
            why = UNWANTED[self._services.registry.when(self._project)]
            return f"{why}, so nothing was brought to Label Studio. The page Versions changes that."
        total, pushed, looked_at = self._tasks.total(), 0, 0
        for task in self._tasks:
            pushed += self._serve(task)
            looked_at += 1
            total = max(total, looked_at)  # tasks may be added meanwhile
            self._tasks.share = looked_at / total
            self._control.report(f"{looked_at} of {total} tasks, {_counted(pushed)}.", self._tasks.share)
        failed = f" {self._tasks.failed} tasks could not be judged; the problems page says why." * bool(
            self._tasks.failed
        )
        return (
            f"{_counted(pushed).capitalize()} brought to Label Studio, {looked_at} tasks looked at.{failed}"
        )

    def _serve(self, raw: dict[str, Any]) -> bool:
        """Give one task its prediction; False when it has one, or there is nothing to say."""
        serving = self._services.proposer.serving(self._project)
        known = _listed(raw.get("predictions"))
        if _is_shown(known, serving):
            return False
        task = Task(id=raw["id"], data=raw["data"])
        if earlier := _of_version(known, serving):
            kept = {name: earlier[-1].get(name) for name in ("result", "score", "model_version")}
            return self._post(task, kept, serving)
        if not self._services.proposer.can_propose(self._project, task, self._config, serving):
            return False
        try:
            prediction = self._predict(task, serving)
        except VersionError as error:
            if self._services.proposer.serving(self._project) == serving:
                self._tasks.fail(task.id, str(error))
                return False
            return self._serve(raw)  # with the version before
        return prediction is not None and self._post(task, prediction, serving)

    def _predict(self, task: Task, serving: Serving) -> Prediction | None:
        """What is proposed for a task; None when that is nothing, or cannot be found out.

        Raises:
            VersionError: the version cannot be loaded.
        """
        while True:
            self._services.traffic.give_way()
            try:
                return self._services.proposer.predict(self._project, task, self._config, serving)
            except VersionError:
                raise
            except EngineError as error:
                self._tasks.fail(task.id, str(error))
                return None
            except (ImageError, LabelStudioError) as error:
                if not self._tasks.comes_back(error):
                    self._tasks.fail(task.id, str(error))
                    return None

    def _post(self, task: Task, prediction: Prediction, serving: Serving) -> bool:
        """Store a prediction unless the task shows one of the version by now, from another request or attempt."""
        body = {"task": task.id, "project": int(self._project), **prediction}
        while True:
            try:
                known = _listed(self._label_studio.get("/api/predictions/", task=task.id))
                if _is_shown(known, serving):
                    return False
                for earlier in _of_version(known, serving):
                    self._label_studio.delete(f"/api/predictions/{earlier['id']}/")
                self._label_studio.post("/api/predictions/", body)
            except LabelStudioError as error:
                if error.status in (400, 404):  # the task was deleted, or the config changed under it
                    self._tasks.fail(task.id, str(error))
                    return False
                self._tasks.wait(error)
            else:
                self._tasks.is_back()
                return True


def _listed(predictions: object) -> list[dict[str, Any]]:
    """The predictions of a task as Label Studio lists them, the newest last."""
    if isinstance(predictions, dict):  # a page of them
        predictions = predictions.get("results")
    found = predictions if isinstance(predictions, list) else []
    return sorted((each for each in found if isinstance(each, dict)), key=lambda each: int(each.get("id", 0)))


def _of_version(predictions: Sequence[dict[str, Any]], serving: Serving) -> list[dict[str, Any]]:
    return [each for each in predictions if each.get("model_version") == serving.name]


def _is_shown(predictions: Sequence[dict[str, Any]], serving: Serving) -> bool:
    """Whether Label Studio shows a prediction of the version, or one after it that is of another model altogether."""
    later = predictions[::-1]
    ours = [each for each in later if each.get("model_version") == serving.name or _is_proposal(each)]
    return bool(ours) and ours[0].get("model_version") == serving.name


def _is_proposal(prediction: dict[str, Any]) -> bool:
    """Whether a version of ADClick made the prediction."""
    result = prediction.get("result")
    items = result if isinstance(result, list) else []
    return any(isinstance(item, dict) and str(item.get("id")).startswith(PREFIX) for item in items)


def _counted(number: int) -> str:
    return "one prediction" if number == 1 else f"{number or 'no'} predictions"
