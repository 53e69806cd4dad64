"""The job that gives every task of a project its prediction, through Label Studio's API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from adclick_backend.answers.proposer import Prediction, Serving
from adclick_backend.cluster.connection import WorkerLost
from adclick_backend.cluster.shards import SHARD, Here, Workers, cut
from adclick_backend.config.labeling_config import parse_labeling_config, summary_sentence
from adclick_backend.errors import ImageError
from adclick_backend.jobs.control import JobFailed
from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.labels.proposed import PREFIX
from adclick_backend.store.proposal_source import UNWANTED
from adclick_backend.workers.all_tasks import AllTasks, Control
from adclick_backend.workers.task_predictor import Predicted, RawTask, TaskPredictor

if TYPE_CHECKING:
    from adclick_backend.services import Services


def run(
    project: str,
    services: Services,
    control: Control,
    workers: Workers[RawTask, list[Predicted]] | None = None,
    *,
    sleep: Callable[[float], object] = time.sleep,
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
        workers: compute the predictions; this process by default. Label Studio gets them from this process alone.
        sleep: waits that many seconds.

    Returns:
        What was done, as a sentence for a person.

    Raises:
        JobFailed: Label Studio refuses, or was away for too long, or the labeling config has
            no place for a mask.
    """
    return _Push(project, services, control, workers, sleep).run()


class _Push:
    """One run of the job."""

    def __init__(
        self,
        project: str,
        services: Services,
        control: Control,
        workers: Workers[RawTask, list[Predicted]] | None,
        sleep: Callable[[float], object],
    ) -> None:
        self._project = project
        self._services = services
        self._control = control
        self._workers = workers or Here(TaskPredictor(project, services))
        self._shard = SHARD if workers else 1
        self._tasks = AllTasks(project, services, control, sleep)
        self._label_studio = self._tasks.label_studio
        self._total = self._looked_at = self._pushed = 0

    def run(self) -> str:
        """See the function `run`."""
        settings, store = self._services.settings, self._services.store
        config = parse_labeling_config(
            store.projects.get(self._project).label_config, background_labels=settings.background_labels
        )
        if not any(image.can_propose for image in config.images):
            raise JobFailed(summary_sentence(config))
        if not self._services.proposer.serving(self._project).wanted:
            why = UNWANTED[self._services.registry.when(self._project)]
            return f"{why}, so nothing was brought to Label Studio. The page Versions changes that."
        self._total = self._tasks.total()
        for tasks, found in self._workers.results(cut(self._unserved(), self._shard), self._say):
            if isinstance(found, WorkerLost):
                self._tasks.fail(tasks[0]["id"], f"Its image ended whoever looked at it: {found}")
                self._looked(False)
                continue
            for task, predicted in zip(tasks, found, strict=True):
                self._serve(task, predicted)
        said = f"{_counted(self._pushed).capitalize()} brought to Label Studio, {self._looked_at} tasks looked at."
        if self._tasks.failed:
            said += f" {self._tasks.failed} tasks could not be judged; the problems page says why."
        return said

    def _unserved(self) -> Iterator[RawTask]:
        """The tasks whose prediction has to be computed; to the others Label Studio has it, or is given it again."""
        for raw in self._tasks:
            serving = self._services.proposer.serving(self._project)
            known = _listed(raw.get("predictions"))
            if _is_shown(known, serving):
                self._looked(False)
            elif earlier := _of_version(known, serving):
                kept = {name: earlier[-1].get(name) for name in ("result", "score", "model_version")}
                self._looked(self._post(raw["id"], kept, serving))
            else:
                yield {"id": raw["id"], "data": raw["data"]}

    def _serve(self, task: RawTask, found: Predicted) -> None:
        """Bring Label Studio what was found for a task, or have it looked at once more."""
        serving = self._services.proposer.serving(self._project)
        error = found.error
        passing = isinstance(error, (ImageError, LabelStudioError)) and self._tasks.comes_back(error)
        if (
            passing or serving.name != found.version
        ):  # another version serves by now, or the one before it again
            self._workers.again([task])
        elif error is not None:
            self._tasks.fail(task["id"], str(error))
            self._looked(False)
        else:
            said = found.prediction is not None and self._post(task["id"], found.prediction, serving)
            self._looked(said)

    def _looked(self, pushed: bool) -> None:
        """One more task is done."""
        self._pushed += pushed
        self._looked_at += 1
        self._total = max(self._total, self._looked_at)  # tasks may be added meanwhile
        self._tasks.share = self._looked_at / self._total
        self._say("")

    def _say(self, sentence: str) -> None:
        """Say how far the job is, or what it waits for."""
        so_far = f"{self._looked_at} of {self._total} tasks, {_counted(self._pushed)}."
        self._control.report(sentence or so_far, self._tasks.share)

    def _post(self, task: int, prediction: Prediction, serving: Serving) -> bool:
        """Store a prediction unless the task shows one of the version by now, from another request or attempt."""
        body = {"task": task, "project": int(self._project), **prediction}
        while True:
            try:
                known = _listed(self._label_studio.get("/api/predictions/", task=task))
                if _is_shown(known, serving):
                    return False
                for earlier in _of_version(known, serving):
                    self._label_studio.delete(f"/api/predictions/{earlier['id']}/")
                self._label_studio.post("/api/predictions/", body)
            except LabelStudioError as error:
                if error.status in (400, 404):  # the task was deleted, or the config changed under it
                    self._tasks.fail(task, str(error))
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
