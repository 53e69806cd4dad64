"""References that are no good, and webhooks that are read back before they are believed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.references.intake import RETRY_S
from tests.helpers.backend import CONFIG, Backend, annotation
from tests.helpers.fake_engine import BROKEN
from tests.helpers.references import bank, due_now, mark, png, states

# --- failures on the way


def test_an_image_that_cannot_be_fetched_is_tried_again_and_then_given_up(backend: Backend) -> None:
    backend.setup()
    mark(backend, "/data/upload/1/a.png")
    backend.services.connections.load_image = _down  # type: ignore[method-assign]
    for attempt in range(len(RETRY_S)):
        backend.work()
        (row,) = backend.services.store.references.of_project("1")
        assert (row.state, row.attempts) == ("pending", attempt + 1)
        assert row.reason == "Label Studio does not answer."
        assert row.due - time.time() == pytest.approx(RETRY_S[attempt], abs=2)
        due_now(backend)
    backend.work()
    assert states(backend) == ["failed"]
    backend.services.store.references.fetch_again()  # as after a restart, with the key set or the server up
    assert states(backend) == ["pending"]


def test_a_server_that_comes_back_in_time_loses_nothing(backend: Backend) -> None:
    mark(backend, "/data/local-files/?d=late.png")
    backend.services.connections.load_image = _down  # type: ignore[method-assign]
    backend.work()
    assert states(backend) == ["pending"]
    del backend.services.connections.load_image
    backend.draw("late.png")
    due_now(backend)
    backend.work()
    assert states(backend) == ["ready"]


def _down(*_: object, **__: object) -> None:
    from adclick_backend.errors import ImageError

    raise ImageError("Label Studio does not answer.")


def test_a_model_that_cannot_be_loaded_leaves_references_waiting(backend: Backend) -> None:
    mark(backend, backend.draw("a.png"))
    backend.engine.state = "failed"
    backend.work()
    assert states(backend) == ["pending"]
    backend.engine.state = "ready"
    backend.engine.error = BROKEN
    backend.work()
    (row,) = backend.services.store.references.of_project("1")
    assert (row.state, row.reason) == ("pending", str(BROKEN))
    backend.engine.error = ValueError("surprise")
    due_now(backend)
    backend.work()
    (row,) = backend.services.store.references.of_project("1")
    assert (row.state, "surprise" in row.reason) == ("failed", False)


def test_a_reference_whose_copy_is_gone_says_so(backend: Backend) -> None:
    reference = backend.services.references.add("1", png(), source="upload", name="a.png")
    backend.services.references.path(reference).unlink()
    backend.work()
    (row,) = backend.services.store.references.of_project("1")
    assert (row.state, "add the file again" in row.reason) == ("failed", True)


def test_an_annotated_task_without_an_image_is_explained(backend: Backend) -> None:
    backend.setup()
    data = {"id": 1, "data": {"picture": "/a.png"}}
    answer = backend.webhook("ANNOTATION_CREATED", annotation=annotation(1), task=data)
    assert answer.status_code == 201
    assert "fields picture" in backend.services.store.problems.latest("1")[0].sentence


# --- webhooks that are read back


class FakeLabelStudio:
    """Answers for annotations and tasks."""

    url = "http://127.0.0.1:9"

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.down = False

    def get(self, path: str, **_: object) -> Any:
        if self.down:
            raise LabelStudioError("Label Studio does not answer.")
        if path not in self.answers:
            raise LabelStudioError("Not found.", status=404)
        return self.answers[path]


@pytest.fixture
def doubtful(
    make_backend: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> tuple[Backend, FakeLabelStudio]:
    """A backend with a password, connected to a Label Studio that can be asked."""
    backend = make_backend(
        basic_auth_pass="p", label_studio_url="http://127.0.0.1:9", label_studio_api_key="0123456789"
    )
    backend.services.store.projects.save("1", label_config=CONFIG)
    server = FakeLabelStudio()
    monkeypatch.setattr(backend.services.connections, "label_studio", lambda project: server)
    return backend, server


def test_what_a_webhook_claims_without_password_is_read_back(
    doubtful: tuple[Backend, FakeLabelStudio],
) -> None:
    backend, server = doubtful
    url = backend.draw("a.png")
    server.answers["/api/annotations/1/"] = annotation(1)
    server.answers["/api/tasks/1/"] = {"id": 1, "project": 1, "data": {"image": url}}
    mark(backend, "/somewhere/else.png", 1, ["defective"])
    backend.work()
    (row,) = backend.services.store.references.of_project("1")
    assert (row.url, row.state) == (url, "ready")


def test_a_deletion_is_only_believed_when_the_annotation_is_gone(
    doubtful: tuple[Backend, FakeLabelStudio],
) -> None:
    backend, server = doubtful
    server.answers["/api/annotations/1/"] = annotation(1)
    server.answers["/api/tasks/1/"] = {"id": 1, "project": 1, "data": {"image": backend.draw("a.png")}}
    mark(backend, "/x.png")
    backend.work()
    assert bank(backend) == 1
    backend.webhook("ANNOTATIONS_DELETED", annotations=[{"id": 1}])
    backend.webhook("TASKS_DELETED", tasks=[{"id": 1}])
    backend.work()
    assert bank(backend) == 1
    server.answers.clear()
    backend.webhook("TASKS_DELETED", tasks=[{"id": 1}])
    backend.work()
    assert bank(backend) == 1  # what knows of no project at all is another Label Studio, or refuses to say
    server.answers["/api/projects/1/"] = {"id": 1}
    due_now(backend)
    backend.work()
    assert bank(backend) == 0


def test_an_annotation_of_another_project_is_not_taken(doubtful: tuple[Backend, FakeLabelStudio]) -> None:
    """Reliability row 24."""
    backend, server = doubtful
    server.answers["/api/annotations/1/"] = annotation(1)
    server.answers["/api/tasks/1/"] = {"id": 1, "project": 2, "data": {"image": backend.draw("a.png")}}
    mark(backend, "/x.png")
    backend.work()
    assert states(backend) == []


def test_reading_back_is_tried_again_and_then_explained(doubtful: tuple[Backend, FakeLabelStudio]) -> None:
    backend, server = doubtful
    server.down = True
    mark(backend, "/x.png")
    for _ in range(len(RETRY_S) + 1):
        backend.work()
        due_now(backend)
    assert backend.services.store.annotations.next_check() is None
    (problem,) = backend.services.store.problems.latest("1")
    assert "Annotation 1 could not be read from Label Studio" in problem.sentence
