"""Label Studio is the truth: what messages name is read from it, a few tasks at a time or the whole project."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adclick_backend.references import syncing
from adclick_backend.references.reading_back import MANY, RETRY_S
from tests.helpers.backend import CONFIG, Backend
from tests.helpers.dashboard import page, send
from tests.helpers.fake_label_studio import PERSONAL_TOKEN, FakeLabelStudio
from tests.helpers.labels import annotated, block, brush, choice
from tests.helpers.local_server import Reply
from tests.helpers.references import due_now, png, wait_for

MASK = block(8, 12, 16, 20)
CREATED = "1795338618"  # of `FakeLabelStudio`'s projects


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLabelStudio]:
    monkeypatch.setattr("adclick_backend.label_studio.transport.random.uniform", lambda low, high: 0.0)
    with FakeLabelStudio() as running:
        yield running


@pytest.fixture
def backend(make_backend: Callable[..., Backend], server: FakeLabelStudio) -> Backend:
    """A backend that can read back; no password."""
    backend = make_backend(label_studio_url=server.url, label_studio_api_key=PERSONAL_TOKEN)
    backend.services.store.projects.save("1", label_config=CONFIG, hostname=server.url, created=CREATED)
    return backend


def add(server: FakeLabelStudio, number: int, result: list[dict[str, Any]], second: int = 0) -> None:
    """Task `number` with annotation `number` in Label Studio."""
    path = f"/data/upload/1/{number}.png"
    server.tasks.append(
        {
            "id": number,
            "project": 1,
            "data": {"image": path},
            "annotations": [annotated(number, result, second)],
        }
    )
    server.files[path] = Reply(body=png(10 + number % 200))


def tell(backend: Backend, number: int, result: list[dict[str, Any]], image: str = "", **more: Any) -> None:
    """The message that annotation `number` of task `number` was submitted."""
    data = {"id": number, "data": {"image": image or f"/data/upload/1/{number}.png"}}
    backend.webhook("ANNOTATION_CREATED", annotation=annotated(number, result), task=data, **more)


def labelled(backend: Backend) -> list[int]:
    return [row.task_id for row in backend.services.store.labels.of_project("1")]


def referenced(backend: Backend) -> list[int]:
    return sorted(row.task_id or 0 for row in backend.services.store.references.of_project("1"))


def rest(backend: Backend) -> None:
    """Whatever synchronisation messages asked for is done now."""
    backend.services.store.values.set("1", syncing.DUE, str(time.time() - 1))
    backend.work()
    assert wait_for(lambda: not backend.services.syncs.state("1").running)


def asked(server: FakeLabelStudio) -> list[str]:
    return [path.partition("?")[0] for path in server.paths if "/token/" not in path]


# --- a stranger's webhook


@pytest.mark.parametrize("stranger", [True, False])
def test_what_a_message_claims_is_read_from_label_studio(
    backend: Backend, server: FakeLabelStudio, stranger: bool
) -> None:
    """Stranger's webhook: the message says which task, and nothing else; with or without the secret."""
    add(server, 1, [choice("normal")])
    tell(backend, 1, [choice("defective")], image="/somewhere/else.png", stranger=stranger)
    assert labelled(backend) == []
    backend.work()
    (row,) = backend.services.store.references.of_project("1")
    assert (row.url, row.state) == ("/data/upload/1/1.png", "ready")


@pytest.mark.parametrize("stranger", [True, False])
def test_announced_deletions_delete_nothing_that_label_studio_has(
    backend: Backend, server: FakeLabelStudio, stranger: bool
) -> None:
    """Stranger's webhook: ids 1 to 4999 announced as deleted cost one look at the few that are known."""
    for number in range(1, 6):
        add(server, number, [choice("normal")])
        tell(backend, number, [])
    backend.work()
    assert referenced(backend) == [1, 2, 3, 4, 5]
    before = len(server.requests)
    for key, action in (("annotations", "ANNOTATIONS_DELETED"), ("tasks", "TASKS_DELETED")):
        backend.webhook(action, stranger=stranger, **{key: [{"id": number} for number in range(1, 5000)]})
        backend.work()
    assert (referenced(backend), labelled(backend)) == ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    assert len(server.requests) - before <= 6
    server.tasks = server.tasks[2:]  # and what is really gone goes, softly
    backend.webhook("TASKS_DELETED", stranger=stranger, tasks=[{"id": 1}, {"id": 2}])
    backend.work()
    assert referenced(backend) == [3, 4, 5]
    assert [task for task, _ in backend.services.store.labels.deleted("1")] == [2, 1]


def test_a_deletion_can_be_undone_although_label_studio_has_the_image_no_more(
    backend: Backend, server: FakeLabelStudio
) -> None:
    add(server, 1, [choice("normal")])
    add(server, 2, [brush(MASK)])
    backend.sync()
    backend.work()
    server.tasks, server.files = [], {}
    backend.webhook("TASKS_DELETED", tasks=[{"id": 1}, {"id": 2}])
    backend.work()
    backend.sync()
    assert (labelled(backend), referenced(backend)) == ([], [])
    for number in (1, 2):
        send(backend, f"/projects/1/labels/{number}/restore")
    backend.work()
    assert [row.state for row in backend.services.store.references.of_project("1")] == ["ready"]
    row = backend.services.store.labels.of_project("1")[1]
    assert backend.services.labels.path("1", row.file).is_file()
    backend.sync()  # Label Studio still does not have them; the person's word stays, as a training has to find it
    backend.webhook("TASKS_DELETED", tasks=[{"id": 1}])
    backend.work()
    assert (labelled(backend), referenced(backend)) == ([1, 2], [1])
    add(server, 1, [choice("defective")], second=50)  # and Label Studio speaks again
    backend.sync()
    assert (labelled(backend), referenced(backend)) == ([1, 2], [])


def test_an_annotation_that_was_brought_back_stays(backend: Backend, server: FakeLabelStudio) -> None:
    add(server, 1, [choice("normal")])
    backend.sync()
    server.tasks[0]["annotations"] = []
    backend.sync()
    assert referenced(backend) == []
    send(backend, "/projects/1/labels/1/restore")
    backend.sync()
    assert referenced(backend) == [1]


def test_a_task_of_another_project_is_not_taken(backend: Backend, server: FakeLabelStudio) -> None:
    """Reliability row 24."""
    add(server, 1, [choice("normal")])
    server.tasks[0]["project"] = 2
    tell(backend, 1, [choice("normal")], stranger=True)
    backend.work()
    assert labelled(backend) == []


def test_a_project_that_nobody_connected_costs_nothing(backend: Backend, server: FakeLabelStudio) -> None:
    """Stranger's webhook: made-up projects are neither noted nor asked for."""
    data = {"id": 1, "data": {"image": "/a.png"}}
    answer = backend.webhook(
        "ANNOTATION_CREATED", project=77, stranger=True, annotation=annotated(1, []), task=data
    )
    assert (answer.status_code, answer.json["result"]) == (200, None)
    assert not backend.services.store.projects.get("77").updated
    assert not backend.services.keeper.step()
    assert server.requests == []


def test_a_labeling_config_comes_from_label_studio_not_from_the_message(
    backend: Backend, server: FakeLabelStudio
) -> None:
    server.configs[1] = CONFIG.replace("dent", "stain")
    backend.webhook("PROJECT_UPDATED", config="<View/>", stranger=True)
    assert backend.services.store.projects.get("1").label_config == CONFIG
    backend.work()
    assert backend.services.store.projects.get("1").label_config == server.configs[1]


# --- wrong, restored or other Label Studio


def test_ids_announced_as_deleted_before_they_exist_come(backend: Backend, server: FakeLabelStudio) -> None:
    """Wrong, restored or other Label Studio: what its API returns now wins over every mark."""
    backend.webhook("ANNOTATIONS_DELETED", stranger=True, annotations=[{"id": n} for n in range(1, 100)])
    backend.webhook("TASKS_DELETED", stranger=True, tasks=[{"id": n} for n in range(1, 100)])
    backend.services.store.labels.delete_tasks("1", [1])  # as a release before this one noted it
    backend.work()
    for number in (1, 2):
        add(server, number, [choice("normal")])
        tell(backend, number, [choice("normal")])
    backend.work()
    assert referenced(backend) == [1, 2]


@pytest.mark.parametrize("other", ["another project 1", "no such project", "a page", "another service"])
def test_a_wrong_label_studio_deletes_nothing_and_loses_nothing(
    backend: Backend, server: FakeLabelStudio, other: str
) -> None:
    """Wrong, restored or other Label Studio: an hour with a wrong LABEL_STUDIO_URL."""
    for number in (1, 2, 3):
        add(server, number, [choice("normal")])
    backend.sync()
    backend.work()
    right = (server.tasks, server.created_at, server.projects)
    server.tasks = []
    if other == "another project 1":
        server.created_at = "2025-01-01T00:00:00Z"
    elif other == "no such project":
        server.projects = []
    else:
        server.failures = [Reply(body=b"<h1>Hi</h1>" if other == "a page" else b'{"status": "UP"}')] * 100
    tell(backend, 4, [choice("normal")])  # submitted in the right Label Studio meanwhile
    backend.webhook("ANNOTATIONS_DELETED", annotations=[{"id": 1}])
    backend.webhook("TASKS_DELETED", tasks=[{"id": 2}])
    for _ in range(len(RETRY_S) + 2):
        backend.work()
        due_now(backend)
    backend.services.syncs.start("1")
    assert wait_for(lambda: not backend.services.syncs.state("1").running)
    assert (labelled(backend), referenced(backend)) == ([1, 2, 3], [1, 2, 3])
    shown = page(backend, "/projects/1")
    assert shown.count("could not be read from Label Studio, so nothing was changed") == 1
    assert "The labels are not up to date." in shown
    assert "All labels that Label Studio has are here" not in page(backend, "/projects/1/labels")
    server.failures = []
    server.tasks, server.created_at, server.projects = right
    add(server, 4, [choice("normal")])
    server.tasks = [one for one in server.tasks if one["id"] != 2]  # this one is really gone
    rest(backend)
    backend.work()
    assert referenced(backend) == [1, 3, 4]
    assert "The labels are not up to date." not in page(backend, "/projects/1")


def test_a_label_studio_of_unknown_age_that_knows_none_of_the_tasks_deletes_nothing(
    backend: Backend, server: FakeLabelStudio
) -> None:
    """Wrong, restored or other Label Studio: /setup never said when the project was created."""
    backend.services.store.projects.save("1", created="")
    for number in (1, 2):
        add(server, number, [choice("normal")])
    backend.sync()
    first, second = server.tasks
    server.tasks = []
    assert "none of the tasks of project 1 that are known here" in backend.sync()
    assert labelled(backend) == [1, 2]
    server.tasks = [second]
    assert backend.sync() == ""
    assert labelled(backend) == [2]
    assert first["id"] == 1


def test_a_label_studio_restored_from_a_backup_is_followed_back_and_forth(
    backend: Backend, server: FakeLabelStudio
) -> None:
    """Wrong, restored or other Label Studio: what the backup lacks goes softly, and comes back with a later one."""
    for number in (1, 2, 3):
        add(server, number, [choice("normal")], second=number)
    backend.sync()
    now, server.tasks = server.tasks, server.tasks[:1]
    assert backend.sync() == ""
    assert labelled(backend) == [1]
    assert len(backend.services.store.labels.deleted("1")) == 2
    server.tasks = now
    assert backend.sync() == ""
    assert (labelled(backend), referenced(backend)) == ([1, 2, 3], [1, 2, 3])


# --- bounded checks


def test_a_message_with_half_a_million_ids_queues_nothing(backend: Backend, server: FakeLabelStudio) -> None:
    """Bounded checks: unknown ids are dropped at once."""
    body = {
        "action": "ANNOTATIONS_DELETED",
        "project": {"id": 1},
        "annotations": [{"id": n} for n in range(1, 500_000)],
    }
    started = time.perf_counter()
    answer = backend.client.post("/webhook", data=json.dumps(body), content_type="application/json")
    print(f"half a million ids: {time.perf_counter() - started:.2f} s")
    assert answer.status_code == 201
    assert backend.services.store.annotations.next_checks() == []
    assert not backend.services.keeper.step()
    assert server.requests == []


def test_a_thousand_deletions_are_one_synchronisation(backend: Backend, server: FakeLabelStudio) -> None:
    """Bounded checks: many tasks are read in pages, few by their ids, both after the project itself."""
    for number in range(1, 1001):
        add(server, number, [choice("defective")])
    backend.sync()
    kept, server.tasks = server.tasks, server.tasks[900:]
    before = len(server.requests)
    started = time.process_time()
    answer = backend.webhook("ANNOTATIONS_DELETED", annotations=[{"id": number} for number in range(1, 1001)])
    seconds = time.process_time() - started
    print(f"1000 deletions read back: {seconds:.2f} s")
    assert (answer.status_code, seconds < 1) == (201, True)
    assert backend.services.store.annotations.next_checks() == []
    rest(backend)
    assert len(labelled(backend)) == 100
    requests = [path for path in asked(server)[before:] if path.startswith("/api/")]
    assert len(requests) <= 1 + 2 + 9  # the project, its annotated tasks, 900 missing ones
    assert len(kept) == 1000


def test_a_storm_of_messages_is_a_bounded_number_of_requests(
    backend: Backend, server: FakeLabelStudio
) -> None:
    """Bounded checks: made-up submissions too, and one synchronisation a minute at most."""
    for number in range(1, 501):
        tell(backend, number, [], stranger=True)
    assert len(backend.services.store.annotations.next_checks()) <= MANY
    backend.work()
    assert wait_for(lambda: not backend.services.syncs.state("1").running)
    before = len(asked(server))
    for number in range(1, 501):
        tell(backend, number, [], stranger=True)
        backend.webhook("ANNOTATIONS_CREATED", stranger=True, annotations=[{"id": number}])
    backend.work()
    assert len(asked(server)) - before <= 3
    due = float(backend.services.store.values.get("1", syncing.DUE) or 0)
    assert due == pytest.approx(backend.services.syncs.state("1").at + syncing.REST_S, abs=0.5)


def test_references_do_not_wait_for_messages(backend: Backend, server: FakeLabelStudio) -> None:
    """Bounded checks: what a person waits for and what messages named take turns."""
    for number in range(1, 4):
        backend.services.references.add("1", png(number), source="upload", name=f"{number}.png")
    steps = 0
    while any(row.state == "pending" for row in backend.services.store.references.of_project("1")):
        tell(backend, 1000 + steps, [], stranger=True)
        assert backend.services.keeper.step()
        steps += 1
    assert steps <= 6


def test_what_cannot_be_read_is_tried_again_said_once_and_read_later(
    backend: Backend, server: FakeLabelStudio
) -> None:
    """Reliability row 22."""
    for number in (1, 2):
        add(server, number, [choice("normal")])
        tell(backend, number, [choice("normal")])
    server.failures = [Reply(status=500)] * (len(RETRY_S) + 1)
    for _ in range(len(RETRY_S) + 1):
        backend.work()
        due_now(backend)
    assert backend.services.store.annotations.next_checks() == []
    (problem,) = backend.services.store.problems.latest("1")
    assert "500" in problem.sentence and "tried again every 10 minutes" in problem.sentence
    rest(backend)
    assert referenced(backend) == [1, 2]


def test_what_a_message_brings_counts_as_a_new_label(
    make_backend: Callable[..., Backend], server: FakeLabelStudio
) -> None:
    backend = make_backend(label_studio_url=server.url, label_studio_api_key=PERSONAL_TOKEN, train_every=2)
    backend.services.store.projects.save("1", label_config=CONFIG, created=CREATED)
    for number in (1, 2):
        assert backend.services.jobs.of_project("1") == []
        add(server, number, [brush(MASK)])
        tell(backend, number, [])
        backend.work()
    assert [job.kind for job in backend.services.jobs.of_project("1")] == ["train"]
