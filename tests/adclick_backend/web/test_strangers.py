"""What somebody may do who knows the address of the webhook, where nothing can be read back from Label Studio."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from adclick_backend.label_studio.webhooks import SECRET_HEADER
from adclick_backend.protocol.webhook_secret import secret_in
from adclick_backend.store.suspicions import Suspicions
from tests.helpers.backend import CONFIG, Backend
from tests.helpers.dashboard import page, send
from tests.helpers.labels import annotated, block, brush, choice
from tests.helpers.references import mark

MASK = block(8, 12, 16, 20)


@pytest.fixture
def labelled(backend: Backend) -> Backend:
    """A backend without password and without an API key, with five references."""
    backend.setup()
    for number in range(1, 6):
        mark(backend, backend.draw(f"{number}.png", grey=number), number)
    backend.work()
    return backend


def held(backend: Backend) -> tuple[int, int]:
    """How many references and how many normal images there are."""
    details = backend.services.labels.details("1")
    return len(backend.services.store.references.of_project("1")), details.normal


def suspected(backend: Backend) -> list[int]:
    found = backend.services.store.suspicions.of("1")
    return list(found.tasks) if found else []


@pytest.mark.parametrize("header", [None, "", "x", "ü", "a" * 100_000])
def test_announced_deletions_are_a_suspicion(labelled: Backend, header: str | None) -> None:
    """Stranger's webhook: ids 1 to 4999 deleted no reference and no label."""
    headers = {} if header is None else {SECRET_HEADER: header.encode().decode("latin-1")}
    for key, action in (("annotations", "ANNOTATIONS_DELETED"), ("tasks", "TASKS_DELETED")):
        everything = [{"id": number} for number in range(1, 5000)]
        answer = labelled.webhook(action, headers=headers, **{key: everything})
        assert answer.json["result"] == {"references_changed": False}
    assert held(labelled) == (5, 5)
    assert suspected(labelled) == [1, 2, 3, 4, 5]
    assert labelled.services.store.labels.deleted("1") == []


def test_a_stranger_adds_and_never_replaces(labelled: Backend) -> None:
    """Stranger's webhook: a label where there was none; a correction and a second annotation are suspicions."""
    mark(labelled, labelled.draw("6.png", grey=6), 6, stranger=True)
    assert held(labelled) == (6, 6)
    mark(labelled, "/1", 1, ["defective"], at="2026-11-22T10:00:00Z", stranger=True)
    data = {"id": 2, "data": {"image": "/data/local-files/?d=2.png"}}
    second = annotated(77, [brush(MASK)], task=2, updated_at="2026-11-22T10:00:00Z")
    labelled.webhook("ANNOTATION_CREATED", stranger=True, annotation=second, task=data)
    assert held(labelled) == (6, 6)
    assert suspected(labelled) == [1, 2]
    assert labelled.services.labels.counts("1") == {}


def test_what_was_said_before_is_no_suspicion(labelled: Backend) -> None:
    """A webhook that Label Studio has twice, one of them without the secret."""
    mark(labelled, "/data/local-files/?d=1.png", 1, stranger=True)
    labelled.webhook("ANNOTATIONS_DELETED", annotations=[{"id": 1}])
    labelled.webhook("ANNOTATIONS_DELETED", stranger=True, annotations=[{"id": 1}, {"id": 999}])
    mark(labelled, "/data/local-files/?d=1.png", 1, stranger=True)
    assert held(labelled) == (4, 4)
    assert suspected(labelled) == []


def test_ids_announced_as_deleted_before_they_exist_are_not_marked(labelled: Backend) -> None:
    """Stranger's webhook: no mark outlives the message."""
    labelled.webhook("ANNOTATIONS_DELETED", stranger=True, annotations=[{"id": 6}])
    labelled.webhook("TASKS_DELETED", stranger=True, tasks=[{"id": 6}])
    mark(labelled, labelled.draw("6.png", grey=6), 6)
    assert held(labelled) == (6, 6)


def test_what_a_stranger_dates_into_the_future_is_no_later_than_now(labelled: Backend) -> None:
    """Stranger's webhook: made-up annotations do not outlast what Label Studio says of the same ids."""
    mark(labelled, labelled.draw("6.png", grey=6), 6, stranger=True, at="2999-01-01T00:00:00Z")
    assert held(labelled) == (6, 6)
    soon = datetime.fromtimestamp(time.time() + 1, timezone.utc).isoformat()
    mark(labelled, "/data/local-files/?d=6.png", 6, ["defective"], at=soon)
    assert held(labelled) == (5, 5)


def test_a_labeling_config_is_not_replaced(labelled: Backend) -> None:
    labelled.webhook("PROJECT_UPDATED", stranger=True, config="<View/>")
    assert labelled.services.store.projects.get("1").label_config == CONFIG
    labelled.webhook("PROJECT_UPDATED", config="<View/>")
    assert labelled.services.store.projects.get("1").label_config == "<View/>"


def test_a_suspicion_is_shown_once_in_words_and_goes_when_a_person_says_so(labelled: Backend) -> None:
    assert "cannot be checked" not in page(labelled, "/projects/1")
    for _ in range(3):
        labelled.webhook("TASKS_DELETED", stranger=True, tasks=[{"id": 1}, {"id": 2}])
    shown = page(labelled, "/projects/1")
    assert shown.count("labels of 2 tasks were deleted or changed") == 1
    on_labels = page(labelled, "/projects/1/labels")
    assert "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY" in on_labels and "adclick connect" in on_labels
    send(labelled, "/projects/1/labels/suspicion/dismiss")
    assert "labels of 2 tasks" not in page(labelled, "/projects/1")
    assert held(labelled) == (5, 5)


def test_a_suspicion_is_bounded(labelled: Backend) -> None:
    labelled.services.store.suspicions.add("1", range(5000))
    labelled.services.store.suspicions.add("1", range(10_000, 15_000))
    assert len(suspected(labelled)) == Suspicions.MOST
    assert "1000 tasks or more" in page(labelled, "/projects/1")


def test_the_secret_makes_a_message_believed(labelled: Backend) -> None:
    labelled.webhook("ANNOTATIONS_DELETED", annotations=[{"id": 1}])
    labelled.webhook("TASKS_DELETED", tasks=[{"id": 2}])
    mark(labelled, "/3", 3, ["defective"], at="2026-11-22T10:00:00Z")
    assert held(labelled) == (2, 2)
    assert [task for task, _ in labelled.services.store.labels.deleted("1")] == [2, 1]


def test_a_thousand_deletions_take_less_than_a_second(backend: Backend) -> None:
    """Bounded checks: Label Studio waits no longer than that for an answer."""
    backend.setup()
    for number in range(1, 1001):
        result = [choice("normal")] if number % 2 else [brush(MASK)]
        data = {"id": number, "data": {"image": f"/data/local-files/?d={number}.png"}}
        backend.webhook("ANNOTATION_CREATED", annotation=annotated(number, result), task=data)
    assert held(backend) == (500, 500)
    started = time.process_time()
    backend.webhook("ANNOTATIONS_DELETED", annotations=[{"id": number} for number in range(1, 1001)])
    seconds = time.process_time() - started
    print(f"1000 deletions believed: {seconds:.2f} s of a processor")
    assert seconds < 1
    assert held(backend) == (0, 0)
    assert len(backend.services.store.labels.deleted("1")) == 1000


def test_the_secret_lies_in_the_data_folder_from_the_start(backend: Backend) -> None:
    """`adclick connect` looks there, perhaps before the first message comes."""
    assert secret_in(backend.settings.data_dir) == backend.services.webhook_secret.value
