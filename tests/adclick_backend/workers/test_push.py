"""The push of predictions against a Label Studio that goes away, forgets tasks and is asked twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from adclick_backend.jobs.control import JobFailed
from adclick_backend.workers.all_tasks import PATIENCE_S
from adclick_backend.workers.push import run
from tests.helpers.backend import CONFIG, Backend
from tests.helpers.fake_label_studio import LEGACY_TOKEN, FakeLabelStudio
from tests.helpers.local_server import Reply


class Cancelled(Exception):
    """What the control of a job raises."""


class Control:
    """Remembers what a job says, and cancels it at some report."""

    def __init__(self, cancel_at: int = 1_000_000) -> None:
        self.shares: list[float] = []
        self.sentences: list[str] = []
        self._cancel_at = cancel_at

    def report(self, message: str, progress: float) -> None:
        self.shares.append(progress)
        self.sentences.append(message)
        if len(self.shares) >= self._cancel_at:
            raise Cancelled


@pytest.fixture
def label_studio() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as server:
        yield server  # type: ignore[misc]


@pytest.fixture
def served(make_backend: Callable[..., Backend], label_studio: FakeLabelStudio) -> Backend:
    """A project with a trained version and five tasks."""
    backend = make_backend(label_studio_url=label_studio.url, label_studio_api_key=LEGACY_TOKEN)
    backend.setup(config=CONFIG)
    backend.services.store.projects.save("1", label_config=CONFIG)
    backend.serve_version()
    for number in range(1, 6):
        url = backend.draw(f"{number}.png", [(10 * number, 20, 200)])
        label_studio.tasks.append({"id": number, "data": {"image": url}, "annotations": []})
    return backend


waits: list[float] = []


def push(backend: Backend, control: Control | None = None) -> str:
    waits.clear()
    return run("1", backend.services, control or Control(), sleep=waits.append)


def versions(label_studio: FakeLabelStudio) -> list[list[str]]:
    return [
        [prediction["model_version"] for prediction in task.get("predictions", [])]  # type: ignore[attr-defined]
        for task in label_studio.tasks
    ]


def test_every_task_gets_one_prediction(served: Backend, label_studio: FakeLabelStudio) -> None:
    control = Control()
    said = push(served, control)
    assert said == "5 predictions brought to Label Studio, 5 tasks looked at."
    assert versions(label_studio) == [["fake-1+p1-v1"]] * 5
    assert control.shares == sorted(control.shares)
    assert control.shares[-1] == 1
    sent = json.loads(label_studio.calls("/api/predictions/")[1].body)
    assert {"task", "project", "result", "score", "model_version"} == sent.keys()
    assert (sent["task"], sent["project"]) == (1, 1)


def test_no_task_gets_two_predictions_of_a_version(served: Backend, label_studio: FakeLabelStudio) -> None:
    push(served)
    assert push(served).startswith("No predictions brought")
    assert versions(label_studio) == [["fake-1+p1-v1"]] * 5
    served.serve_version()
    push(served)
    assert versions(label_studio) == [["fake-1+p1-v1", "fake-1+p1-v2"]] * 5


def test_after_a_roll_back_the_version_that_serves_again_is_the_one_that_is_shown(
    served: Backend, label_studio: FakeLabelStudio
) -> None:
    """Label Studio shows the newest prediction of a task."""
    push(served)
    first = [task["predictions"][0]["result"] for task in label_studio.tasks]  # type: ignore[index]
    served.serve_version()
    push(served)
    served.services.registry.roll_back("1")
    with pytest.raises(Cancelled):
        push(served, Control(cancel_at=2))
    assert push(served).startswith("3 predictions")
    assert versions(label_studio) == [["fake-1+p1-v2", "fake-1+p1-v1"]] * 5
    assert [task["predictions"][-1]["result"] for task in label_studio.tasks] == first  # type: ignore[index]
    assert push(served).startswith("No predictions")


def test_the_prediction_of_another_model_on_top_is_left_there(
    served: Backend, label_studio: FakeLabelStudio
) -> None:
    push(served)
    for task in label_studio.tasks:
        other = {"id": 900 + int(str(task["id"])), "model_version": "sam", "result": [{"id": "x"}]}
        task["predictions"].append(other)  # type: ignore[attr-defined]
    assert push(served).startswith("No predictions")
    assert versions(label_studio) == [["fake-1+p1-v1", "sam"]] * 5


def test_a_prediction_that_arrived_meanwhile_is_not_doubled(
    served: Backend, label_studio: FakeLabelStudio
) -> None:
    """Label Studio stored the answer to its own request after this job read the list of tasks."""

    class Meanwhile(Control):
        def report(self, message: str, progress: float) -> None:
            super().report(message, progress)
            label_studio.tasks[4]["predictions"] = [{"model_version": "fake-1+p1-v1", "result": []}]

    assert push(served, Meanwhile()).startswith("4 predictions")
    assert versions(label_studio) == [["fake-1+p1-v1"]] * 5


def test_a_cancelled_push_goes_on_where_it_stopped(served: Backend, label_studio: FakeLabelStudio) -> None:
    with pytest.raises(Cancelled):
        push(served, Control(cancel_at=2))
    assert [len(found) for found in versions(label_studio)] == [1, 1, 0, 0, 0]
    assert push(served).startswith("3 predictions")


def test_label_studio_may_go_away_for_a_while(served: Backend, label_studio: FakeLabelStudio) -> None:
    """Reliability row 22: retries, and nothing twice."""

    class Away(Control):
        def report(self, message: str, progress: float) -> None:
            super().report(message, progress)
            if len(self.shares) == 2:
                label_studio.failures += [Reply(500)] * 3

    assert push(served, Away()).startswith("5 predictions")
    assert sum(waits) >= 3
    assert versions(label_studio) == [["fake-1+p1-v1"]] * 5


def test_a_push_can_be_cancelled_while_label_studio_is_away(
    served: Backend, label_studio: FakeLabelStudio
) -> None:
    label_studio.failures += [Reply(500)] * 10_000
    with pytest.raises(Cancelled):
        push(served, Control(cancel_at=3))
    assert sum(waits) < 5


def test_a_push_gives_up_in_the_end(served: Backend, label_studio: FakeLabelStudio) -> None:
    """Reliability row 22."""
    label_studio.failures += [Reply(500)] * 10_000
    with pytest.raises(JobFailed, match="goes on where it stopped"):
        push(served)
    assert sum(waits) >= PATIENCE_S


def test_a_refused_key_is_no_reason_to_wait(served: Backend, label_studio: FakeLabelStudio) -> None:
    label_studio.legacy_enabled = False
    with pytest.raises(JobFailed, match="refuses the legacy token"):
        push(served)
    assert waits == []


def test_a_task_without_an_image_or_a_deleted_one_is_passed_over(
    served: Backend, label_studio: FakeLabelStudio
) -> None:
    label_studio.tasks[1]["data"] = {"image": "/data/local-files/?d=missing.png"}

    class Deleting(Control):
        def report(self, message: str, progress: float) -> None:
            super().report(message, progress)
            if len(label_studio.tasks) == 5:
                del label_studio.tasks[4]

    said = push(served, Deleting())
    assert said.startswith("3 predictions")
    assert "2 tasks could not be judged" in said
    assert {problem.task_id for problem in served.services.store.problems.latest("1")} == {2, 5}


def test_a_config_without_a_brush_is_explained(served: Backend) -> None:
    served.services.store.projects.save("1", label_config="<View><Image name='i' value='$image'/></View>")
    with pytest.raises(JobFailed, match="BrushLabels"):
        push(served)


def test_a_version_that_cannot_be_loaded_is_pushed_by_none(
    served: Backend, label_studio: FakeLabelStudio
) -> None:
    """Reliability row 8: the tasks get the predictions of the version before, each one, and none is asked for twice."""
    served.serve_version()
    newest = served.services.registry.current("1")
    assert newest is not None and newest.name == "v2"
    served.engine.broken.add(newest.weights)
    assert push(served) == "5 predictions brought to Label Studio, 5 tasks looked at."
    assert versions(label_studio) == [["fake-1+p1-v1"]] * 5
    assert push(served) == "No predictions brought to Label Studio, 5 tasks looked at."


def test_a_project_that_wants_no_masks_gets_none_and_is_told(
    served: Backend, label_studio: FakeLabelStudio
) -> None:
    served.services.registry.propose_when("1", "never")
    assert push(served) == (
        "Masks before the first click are switched off for this project, so nothing was brought to Label Studio. The "
        "page Versions changes that."
    )
    assert versions(label_studio) == [[]] * 5
    served.services.registry.propose_when("1", "always")
    push(served)
    assert versions(label_studio) == [["fake-1+p1-v1"]] * 5
