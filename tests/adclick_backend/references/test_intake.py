"""References that are no good."""

from __future__ import annotations

import time

import pytest

from adclick_backend.references.intake import RETRY_S
from tests.helpers.backend import Backend, annotation
from tests.helpers.fake_engine import BROKEN
from tests.helpers.references import due_now, mark, png, states

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
