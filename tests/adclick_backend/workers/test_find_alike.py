"""Places like some accepted masks, looked for in the images without a label and written as predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from adclick_backend.jobs.control import JobFailed
from adclick_backend.labels.alike_wish import AlikeWish
from adclick_backend.labels.proposed import PREFIX
from adclick_backend.workers import push
from adclick_backend.workers.find_alike import run
from tests.adclick_backend.workers.test_push import Cancelled, Control
from tests.helpers.backend import CONFIG, Backend, mask_of, square, task
from tests.helpers.fake_label_studio import LEGACY_TOKEN, FakeLabelStudio
from tests.helpers.labels import annotated, brush

BLOBS = {
    1: [(20, 20, 250)],
    2: [(12, 12, 250), (40, 30, 250)],
    3: [(20, 20, 180)],
    4: [(30, 20, 250)],
    5: [(50, 30, 250)],
}
"""Task -> its squares; task 1 and task 5 are labelled."""


@pytest.fixture
def label_studio() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as server:
        yield server  # type: ignore[misc]


@pytest.fixture
def backend(make_backend: Callable[..., Backend], label_studio: FakeLabelStudio) -> Backend:
    backend = make_backend(label_studio_url=label_studio.url, label_studio_api_key=LEGACY_TOKEN)
    backend.setup(config=CONFIG)
    backend.services.store.projects.save("1", label_config=CONFIG)
    for number, blobs in BLOBS.items():
        url = backend.draw(f"{number}.png", blobs)
        label_studio.tasks.append({"id": number, "data": {"image": url}, "annotations": []})
    label_studio.tasks[0]["annotations"] = [annotated(1, [brush(square(20, 20))])]
    label_studio.tasks[4]["annotations"] = [annotated(5, [brush(square(50, 30), "dent")])]
    assert backend.sync() == ""
    return backend


def find(backend: Backend, *tasks: int, control: Control | None = None, everywhere: bool = False) -> str:
    AlikeWish("scratch", tasks, everywhere).keep(backend.services.store, "1")
    return run("1", backend.services, control or Control(), sleep=lambda seconds: None)


def predictions(label_studio: FakeLabelStudio) -> dict[int, list[dict[str, Any]]]:
    return {int(task["id"]): list(task.get("predictions", [])) for task in label_studio.tasks}  # type: ignore[call-overload]


def test_each_place_like_the_masks_is_a_proposed_region_with_a_score(
    backend: Backend, label_studio: FakeLabelStudio
) -> None:
    said = find(backend)
    found = predictions(label_studio)
    assert {number for number, of_task in found.items() if of_task} == {2, 4}
    (prediction,) = found[2]
    assert prediction["model_version"].startswith("alike-scratch-")
    assert prediction["score"] == 0.7
    assert len(prediction["result"]) == 2
    for region, place in zip(prediction["result"], ((12, 12), (40, 30)), strict=True):
        assert np.array_equal(mask_of(region), square(*place))
        assert region["value"]["brushlabels"] == ["scratch"]
        assert region["id"].startswith(PREFIX)
        assert region["meta"]["text"] == [
            "Nothing was learned: this place looks like masks of scratch in task 1."
        ]
    assert '2 tasks of 5 have places like the mask of "scratch"' in said
    assert "2 tasks with a label stay as they are." in said


def test_a_search_goes_on_where_it_stopped(backend: Backend, label_studio: FakeLabelStudio) -> None:
    with pytest.raises(Cancelled):
        find(backend, control=Control(cancel_at=3))  # the masks, and two tasks
    assert [len(found) for found in predictions(label_studio).values()] == [0, 1, 0, 0, 0]
    find(backend)
    assert [len(found) for found in predictions(label_studio).values()] == [0, 1, 0, 1, 0]


def test_a_later_search_for_the_type_takes_the_place_of_the_earlier_one(
    backend: Backend, label_studio: FakeLabelStudio
) -> None:
    find(backend)
    before = predictions(label_studio)[2][0]["model_version"]
    label_studio.tasks[3]["annotations"] = [annotated(4, [brush(square(30, 20))])]
    backend.sync()
    find(backend)
    (after,) = predictions(label_studio)[2]
    assert after["model_version"] != before
    assert len(predictions(label_studio)[4]) == 1  # labelled since; what was predicted stays


def test_the_prediction_of_a_trained_version_stays_and_is_still_shown(
    backend: Backend, label_studio: FakeLabelStudio
) -> None:
    backend.serve_version()
    push.run("1", backend.services, Control(), sleep=lambda seconds: None)
    trained = predictions(label_studio)
    said = find(backend)
    assert predictions(label_studio) == trained
    assert "3 tasks keep the prediction of a trained version." in said
    find(backend, everywhere=True)
    both = [prediction["model_version"] for prediction in predictions(label_studio)[2]]
    assert both[0] == "fake-1+p1-v1" and both[1].startswith("alike-scratch-")


def test_only_the_masks_of_the_named_tasks_are_looked_for(backend: Backend) -> None:
    with pytest.raises(JobFailed, match='no accepted or painted mask of "scratch" in the tasks 5, 7'):
        find(backend, 5, 7)
    assert "the mask of" in find(backend, 1)


def test_what_was_found_is_shown_in_the_place_of_a_proposal_until_a_version_is_trained(
    backend: Backend, label_studio: FakeLabelStudio
) -> None:
    """Label Studio shows predictions of the version that serves only."""
    find(backend)
    (found,) = predictions(label_studio)[2]
    opened = task("/data/local-files/?d=2.png", 2)
    opened["predictions"] = [{"id": 9, "model_version": "alike-scratch-1", "result": []}, found]
    (shown,) = backend.open_tasks([opened]).json["results"]  # type: ignore[index]
    assert shown == {"result": found["result"], "score": 0.7, "model_version": "fake-1"}
    backend.serve_version()
    (shown,) = backend.open_tasks([opened]).json["results"]  # type: ignore[index]
    assert shown["model_version"] == "fake-1+p1-v1"
    assert shown["result"] != found["result"]


def test_an_image_that_is_gone_is_passed_over_and_said(
    backend: Backend, label_studio: FakeLabelStudio
) -> None:
    (backend.images / "4.png").unlink()
    assert "1 task could not be looked at; the problems page says why." in find(backend)
    assert len(predictions(label_studio)[2]) == 1


def test_nobody_said_what_to_look_for(backend: Backend) -> None:
    with pytest.raises(JobFailed, match="page Labels"):
        run("1", backend.services, Control(), sleep=lambda seconds: None)
