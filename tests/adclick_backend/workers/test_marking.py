"""Tasks marked as normal through Label Studio's API: asked first, and nothing of a person overwritten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adclick_backend.jobs.control import JobCancelled, JobControl, JobFailed
from adclick_backend.jobs.files import JobFiles
from adclick_backend.labels.marking import wait_for, waiting
from adclick_backend.workers import marking
from tests.helpers.backend import CONFIG, Backend, annotation
from tests.helpers.dashboard import page, send
from tests.helpers.fake_label_studio import LEGACY_TOKEN, FakeLabelStudio
from tests.helpers.local_server import Reply

NORMAL = "/projects/1/normal"


@pytest.fixture
def studio() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as server:
        yield server


@pytest.fixture
def backend(make_backend: Callable[..., Backend], studio: FakeLabelStudio) -> Backend:
    """Project 1 with tasks 1 to 6: 3 is annotated, 4 has a draft, 5 belongs to another project."""
    made = make_backend(label_studio_url=studio.url, label_studio_api_key=LEGACY_TOKEN)
    made.setup()
    made.services.connections.label_studio("1")._transport._sleep = lambda seconds: None
    folders = {1: "good", 2: "good", 3: "good", 4: "good", 5: "good", 6: "bad"}
    studio.tasks = [
        {
            "id": number,
            "project": 2 if number == 5 else 1,
            "data": {"image": f"/data/local-files/?d={folder}/{number}.png"},
            "annotations": [annotation(30, ("defective",), task=3)] if number == 3 else [],
            "drafts": [{"id": 1}] if number == 4 else [],
        }
        for number, folder in folders.items()
    ]
    return made


def mark(backend: Backend) -> str:
    """Do the job that waits."""
    services = backend.services
    job = services.store.jobs.next_queued("normal")
    assert job is not None
    services.store.jobs.begin(job.id, "Starting.")
    files = JobFiles(backend.settings.data_dir)
    files.folder("1", job.id).mkdir(parents=True, exist_ok=True)
    try:
        return marking.run("1", services, JobControl(services.store, files, job))
    finally:
        services.store.jobs.end(job.id, "done", "Over.")


def said(studio: FakeLabelStudio) -> dict[Any, list[Any]]:
    """Task -> what its annotations hold."""
    return {
        task["id"]: [one["result"] for one in task["annotations"]]  # type: ignore[attr-defined]
        for task in studio.tasks
    }


def test_what_would_be_marked_is_shown_and_nothing_is_written(
    backend: Backend, studio: FakeLabelStudio
) -> None:
    before = said(studio)
    text = page(backend, f"{NORMAL}?tasks=1,3-4,99")
    assert "1 task would be marked as normal" in text
    assert 'name="tasks" value="1"' in text
    assert "3 would stay as they are" in text
    for words in ("has an annotation already", "has a draft", "is not in this project"):
        assert words in text
    assert "2 tasks would be marked as normal" in page(backend, f"{NORMAL}?holds=GOOD/")
    assert "None of the tasks that you named can be marked" in page(backend, f"{NORMAL}?holds=nowhere")
    assert said(studio) == before
    assert backend.services.jobs.of_project("1") == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?tasks=", "Name tasks by their numbers"),
        ("?tasks=x", "is no task number"),
        ("?tasks=1-5000", "several steps"),
    ],
)
def test_what_cannot_be_meant_is_said(backend: Backend, query: str, words: str) -> None:
    assert words in page(backend, f"{NORMAL}{query}")


def test_tasks_are_marked_and_become_references(backend: Backend, studio: FakeLabelStudio) -> None:
    assert send(backend, NORMAL, tasks="1-6").status_code == 303
    sentence = mark(backend)
    assert sentence.startswith(
        "3 tasks are marked as normal. 3 were left as they are: task 3 has an annotation"
    )
    assert "task 5 belongs to another project" in sentence
    results = said(studio)
    assert results[1][0][0]["value"] == {"choices": ["normal"]}
    assert results[1][0][0]["from_name"] == "state"
    assert results[3] == [annotation(30, ("defective",))["result"]]
    assert [len(results[number]) for number in (4, 5, 6)] == [0, 0, 1]
    backend.draw("x.png")
    while backend.services.keeper.step():  # what was marked is read back
        pass
    labelled = {row.task_id: row.kinds for row in backend.services.store.gallery.images("1")}
    assert labelled == {1: {}, 2: {}, 6: {}}


def test_marking_again_marks_nothing_twice(backend: Backend, studio: FakeLabelStudio) -> None:
    for expected in (
        "1 task is marked as normal.",
        "0 tasks are marked as normal. One was left as it is: task 1 has an",
    ):
        send(backend, NORMAL, tasks="1")
        assert mark(backend).startswith(expected)
    assert len(said(studio)[1]) == 1


def test_what_label_studio_interrupts_goes_on_later(backend: Backend, studio: FakeLabelStudio) -> None:
    send(backend, NORMAL, tasks="1,2,6")
    answer = studio._annotate

    def away(number: int, body: dict[str, object]) -> Reply:
        return answer(number, body) if number == 1 else Reply.json({"detail": "down"}, 500)

    studio._annotate = away  # type: ignore[method-assign]
    with pytest.raises(
        JobFailed, match=r"1 of 3 tasks are marked as normal\..*other 2 wait on the page Labels"
    ):
        mark(backend)
    assert waiting("1", backend.services.store) == [2, 6]
    text = page(backend, "/projects/1/labels")
    assert "2 tasks are still to be marked" in text
    studio._annotate = answer  # type: ignore[method-assign]
    send(backend, NORMAL, tasks="2,6")
    assert mark(backend) == "2 tasks are marked as normal."
    assert "still to be marked" not in page(backend, "/projects/1/labels")


def test_what_waits_can_be_left_as_it_is(backend: Backend) -> None:
    wait_for("1", backend.services.store, [2, 6])
    send(backend, f"{NORMAL}/forget")
    assert waiting("1", backend.services.store) == []


def test_a_cancelled_job_leaves_nothing_waiting(backend: Backend, studio: FakeLabelStudio) -> None:
    send(backend, NORMAL, tasks="1,2")
    store = backend.services.store
    (job,) = backend.services.jobs.of_project("1")
    store.jobs.begin(job.id, "Starting.")
    store.jobs.ask_cancel(job.id, "Cancelled.")
    files = JobFiles(backend.settings.data_dir)
    files.folder("1", job.id).mkdir(parents=True)
    with pytest.raises(JobCancelled):
        marking.run("1", backend.services, JobControl(store, files, job))
    assert waiting("1", store) == []
    assert said(studio)[1] == []


def test_without_a_choice_that_means_normal_nothing_is_written(
    backend: Backend, studio: FakeLabelStudio
) -> None:
    config = CONFIG.replace('<Choice value="normal"/>', "")
    backend.setup(config=config)
    assert "No choice of the labeling config" in page(backend, f"{NORMAL}?tasks=1")
    send(backend, NORMAL, tasks="1")
    with pytest.raises(JobFailed, match="No choice of the labeling config"):
        mark(backend)
    assert said(studio)[1] == []


def test_a_second_job_does_not_take_the_tasks_of_the_first(backend: Backend) -> None:
    send(backend, NORMAL, tasks="1")
    send(backend, NORMAL, tasks="2")
    assert waiting("1", backend.services.store) == [1]
