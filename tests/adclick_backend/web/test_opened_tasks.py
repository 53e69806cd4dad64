"""Tasks without clicks: proposals within the time there is, the rest by a job, and nothing ever fails loudly."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from tests.helpers.backend import Backend, mask_of, point, square, task
from tests.helpers.dashboard import page
from tests.helpers.fake_engine import BROKEN
from tests.helpers.fake_label_studio import LEGACY_TOKEN, FakeLabelStudio
from tests.helpers.references import png

RED = [(20, 20, 200)]


def push_jobs(backend: Backend) -> list[str]:
    return [job.trigger for job in backend.services.jobs.of_project("1") if job.kind == "push"]


def test_opening_a_task_brings_its_mask_before_the_first_click(backend: Backend) -> None:
    backend.serve_version()
    url = backend.draw("a.png", RED)
    (prediction,) = backend.open_tasks([task(url)]).json["results"]
    (region,) = prediction["result"]
    assert np.array_equal(mask_of(region), square(20, 20))
    assert prediction["model_version"] == "fake-1+p1-v1"
    assert push_jobs(backend) == []
    answer = backend.click(task(url), [point(20, 20)])
    assert answer.json["results"][0]["model_version"] == "fake-1+p1-v1"


def test_what_a_first_click_will_look_at_is_opened_for_a_task_that_somebody_looks_at(
    backend: Backend,
) -> None:
    backend.serve_version()
    url, clean = backend.draw("a.png", RED), backend.draw("clean.png", [])
    backend.open_tasks([task(url, 1), task(clean, 2)])  # "Retrieve predictions"
    assert backend.services.prewarmer.join(5)
    assert backend.engine.looked_ahead == []
    backend.open_tasks([task(url, 1)])
    assert backend.services.prewarmer.join(5)
    assert backend.engine.looked_ahead == [backend.engine.proposed[-1][:2]]


def test_it_is_opened_as_well_where_nothing_is_worth_proposing_but_not_where_there_is_no_image(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.serve_version()
    monkeypatch.setattr(backend.services.proposer, "needed", lambda *_: math.inf)
    for number, url in enumerate([backend.draw("a.png", RED), "/data/local-files/?d=missing.png"]):
        assert backend.open_tasks([task(url, number)]).json["results"] == [[]]
        assert backend.services.prewarmer.join(5)
        assert len(backend.engine.looked_ahead) == 1


def test_what_follows_an_opened_task_is_proposed_for_before_somebody_opens_it(
    make_backend: Callable[..., Backend],
) -> None:
    """Label Studio covers the image until it has the answer."""
    with FakeLabelStudio() as label_studio:
        backend = make_backend(label_studio_url=label_studio.url, label_studio_api_key=LEGACY_TOKEN)
        backend.serve_version()
        first, second = backend.draw("a.png", RED), backend.draw("b.png", [(40, 30, 200)])
        label_studio.tasks = [task(second, 2)]
        backend.open_tasks([task(first, 1), task(second, 2)])  # "Retrieve predictions"
        assert backend.services.prewarmer.join(5)
        assert label_studio.calls("/api/tasks") == []
        backend.open_tasks([task(first, 1)])
        assert backend.services.prewarmer.join(5)
        (asked,) = label_studio.calls("/api/tasks")
        query = json.loads(parse_qs(urlsplit(asked.path).query)["query"][0])
        assert [(one["filter"], one["value"]) for one in query["filters"]["items"]] == [
            ("filter:tasks:id", 1),
            ("filter:tasks:total_annotations", 0),
        ]
        assert len(backend.engine.proposed) == 4


def test_every_task_of_a_request_gets_an_answer_in_its_place(backend: Backend) -> None:
    backend.serve_version()
    spots = [(10 + 5 * number, 20, 200) for number in range(6)]
    tasks = [task(backend.draw(f"{spot[0]}.png", [spot]), number) for number, spot in enumerate(spots, 1)]
    tasks.insert(2, task("/data/local-files/?d=missing.png", 90))
    tasks.insert(4, {"id": 91, "data": {"picture": "x"}})
    answers = backend.open_tasks(tasks).json["results"]
    assert len(answers) == 8
    assert [number for number, answer in enumerate(answers) if answer == []] == [2, 4]
    found = [mask_of(answer["result"][0]) for answer in answers if answer]
    assert all(np.array_equal(mask, square(x, y)) for mask, (x, y, _) in zip(found, spots, strict=True))
    assert {problem.task_id for problem in backend.services.store.problems.latest("1")} == {90, 91}


def test_what_does_not_fit_the_budget_is_left_to_a_job(make_backend: Callable[..., Backend]) -> None:
    """Reliability row 23: /predict answers in time, however many tasks it carries."""
    backend = make_backend(predict_budget_s=0.3)
    backend.serve_version()
    url = backend.draw("a.png", RED)
    backend.engine.hold.clear()
    started = time.perf_counter()
    answer = backend.open_tasks([task(url, number) for number in range(253)])
    assert time.perf_counter() - started < 5
    assert answer.json == {"results": [[]] * 253}
    assert push_jobs(backend) == ["retrieve predictions"]
    backend.open_tasks([task(url, number) for number in range(253)])
    assert len(push_jobs(backend)) == 1
    backend.engine.hold.set()
    assert backend.services.prewarmer.join(5)


def test_one_task_that_takes_too_long_is_ready_the_next_time(make_backend: Callable[..., Backend]) -> None:
    backend = make_backend(predict_budget_s=0.2)
    backend.serve_version()
    url = backend.draw("a.png", RED)
    backend.engine.hold.clear()
    assert backend.open_tasks([task(url)]).json == {"results": [[]]}
    assert push_jobs(backend) == []
    backend.engine.hold.set()
    assert backend.services.prewarmer.join(5)
    assert backend.open_tasks([task(url)]).json["results"][0]["result"]


def test_a_task_that_is_asked_for_twice_at_once_is_judged_once(make_backend: Callable[..., Backend]) -> None:
    backend = make_backend(predict_budget_s=0.1)
    backend.serve_version()
    url = backend.draw("a.png", RED)
    backend.engine.hold.clear()
    for _ in range(3):
        backend.open_tasks([task(url)])
    backend.engine.hold.set()
    assert backend.services.prewarmer.join(5)
    assert len(backend.engine.proposed) == 1


def test_without_references_and_training_the_image_is_only_prepared(backend: Backend) -> None:
    url = backend.draw("a.png", RED)
    assert backend.open_tasks([task(url)]).json == {"results": [[]]}
    assert backend.services.prewarmer.join(5)
    assert len(backend.engine.prepared) == 1
    assert backend.engine.proposed == []


def test_a_proposal_waits_for_clicks(make_backend: Callable[..., Backend]) -> None:
    """Reliability row 14: a person who clicks comes first."""
    backend = make_backend(predict_budget_s=0.2)
    backend.serve_version()
    url = backend.draw("a.png", RED)
    with backend.services.traffic:
        assert backend.open_tasks([task(url)]).json == {"results": [[]]}
        assert backend.engine.proposed == []
    assert backend.services.prewarmer.join(5)
    assert len(backend.engine.proposed) == 1


@pytest.mark.parametrize(
    ("error", "said"), [(BROKEN, "out of order"), (KeyError("surprise"), "backend's log")]
)
def test_a_broken_model_never_breaks_a_request(backend: Backend, error: Exception, said: str) -> None:
    backend.serve_version()
    url = backend.draw("a.png", RED)
    backend.engine.error = error
    answer = backend.open_tasks([task(url), task(url, 2)])
    assert (answer.status_code, answer.json) == (200, {"results": [[], []]})
    assert said in backend.services.store.problems.latest("1")[0].sentence


def test_a_damaged_folder_of_versions_never_breaks_a_request(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(backend.services.registry, "current", damaged)
    answer = backend.open_tasks([task(backend.draw("a.png", RED))])
    assert (answer.status_code, answer.json) == (200, {"results": [[]]})
    assert "in the backend's log" in backend.services.store.problems.latest("1")[0].sentence


def test_versions_lists_what_label_studio_may_have_been_told(backend: Backend) -> None:
    assert backend.client.get("/versions").json == {"versions": ["fake-1"]}
    backend.setup()
    backend.setup(project="2.1")
    backend.serve_version()
    backend.serve_version()
    expected = ["fake-1", "fake-1+p1-v1", "fake-1+p1-v2"]
    assert sorted(backend.client.get("/versions").json["versions"]) == expected
    assert backend.setup().json["model_version"] == "fake-1+p1-v2"
    assert backend.setup(project="2.1").json["model_version"] == "fake-1"


def test_a_version_that_cannot_be_loaded_leaves_the_task_to_the_one_before(backend: Backend) -> None:
    """Reliability row 8: the very request that finds out is answered by the version before, and the page says why."""
    backend.serve_version()
    backend.serve_version()
    registry = backend.services.registry
    newest = registry.current("1")
    assert newest is not None and newest.name == "v2"
    backend.engine.broken.add(newest.weights)
    url = backend.draw("a.png", RED)
    for number in (1, 2):
        (prediction,) = backend.open_tasks([task(url, number)]).json["results"]
        assert prediction["model_version"] == "fake-1+p1-v1"
        assert np.array_equal(mask_of(prediction["result"][0]), square(20, 20))
    assert [problem.task_id for problem in backend.services.store.problems.latest("1")] == [1]
    text = " ".join(page(backend, "/projects/1/versions").split())
    assert "Version v2 was to serve, and cannot:" in text
    assert "weights.safetensors lacks a layer. Version v1 serves instead." in text
    assert "v1 serves, not v2" in page(backend, "/projects/1")


def test_with_no_version_left_the_packaged_network_serves(backend: Backend) -> None:
    backend.serve_version()
    only = backend.services.registry.current("1")
    assert only is not None
    backend.engine.broken.add(only.weights)
    assert backend.open_tasks([task(backend.draw("a.png", RED))]).json["results"] == [[]]
    assert backend.services.registry.serving_name("1") == "fake-1"
    assert "the packaged network serves, not v1" in page(backend, "/projects/1")


def test_a_project_that_wants_no_masks_gets_its_images_ready_all_the_same(backend: Backend) -> None:
    backend.serve_version()
    backend.services.registry.propose_when("1", "never")
    url = backend.draw("a.png", RED)
    assert backend.open_tasks([task(url)]).json["results"] == [[]]
    assert backend.services.prewarmer.join(5)
    assert backend.engine.proposed == []
    assert len(backend.engine.prepared) == 1
    assert backend.services.store.problems.latest("1") == []  # who opens a task knows of the switch
    assert backend.open_tasks([task(url, 1), task(url, 2)]).json["results"] == [[], []]
    (problem,) = backend.services.store.problems.latest("1")
    assert problem.sentence == (
        "Masks before the first click are switched off for this project, so no predictions were brought. The page "
        "Versions changes that."
    )
    assert push_jobs(backend) == []


def test_masks_from_a_trained_version_only(make_backend: Callable[..., Backend]) -> None:
    """Switched in one worker process, seen by the other."""
    first, second = make_backend(), make_backend()
    for number in range(3):
        first.services.references.add("1", png(80 + number), source="upload", name=f"{number}.png")
    first.work()
    url = first.draw("a.png", RED)
    assert second.open_tasks([task(url)]).json["results"] != [[]]
    first.services.registry.propose_when("1", "trained")
    assert second.open_tasks([task(url)]).json["results"] == [[]]
    first.serve_version()
    assert second.open_tasks([task(url)]).json["results"] != [[]]
    first.services.registry.choose("1", "residual")
    assert second.open_tasks([task(url)]).json["results"] == [[]]
    first.services.registry.propose_when("1", "always")
    assert second.open_tasks([task(url)]).json["results"] != [[]]
