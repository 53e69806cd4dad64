"""The form that looks for places like the masks of a type, and the command that does the same."""

from __future__ import annotations

import pytest

from adclick_backend.cli import main
from adclick_backend.labels.alike_wish import AlikeWish
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, send
from tests.helpers.labels import annotated, block, brush

LABELS = "/projects/1/labels"
FIND = "/projects/1/find-alike"


@pytest.fixture
def labelled(connected: Backend) -> Backend:
    data = {"id": 7, "data": {"image": "/data/upload/1/7.png"}}
    connected.webhook("ANNOTATION_CREATED", annotation=annotated(7, [brush(block(8, 12, 16, 20))]), task=data)
    return connected


def test_there_is_nothing_to_find_without_a_label(connected: Backend) -> None:
    assert "Find these in other images" not in page(connected, LABELS)


def test_the_form_starts_one_search_for_what_was_chosen(labelled: Backend) -> None:
    assert '<option value="scratch">' in page(labelled, LABELS)
    answer = send(labelled, FIND, type="scratch", tasks="7, 12", everywhere="on")
    assert answer.headers["Location"].endswith("/projects/1/training")
    assert AlikeWish.read(labelled.services.store, "1") == AlikeWish("scratch", (7, 12), True)
    (job,) = labelled.services.jobs.of_project("1")
    assert (job.kind, job.state) == ("alike", "queued")
    assert "Places like some masks" in page(labelled, "/projects/1/training")

    send(labelled, FIND, type="scratch", tasks="")
    assert "A search is under way already" in page(labelled, LABELS)
    assert AlikeWish.read(labelled.services.store, "1") == AlikeWish("scratch", (7, 12), True)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"type": "rust"}, "There is no label of “rust” to look for."),
        ({"type": "scratch", "tasks": "7 all"}, "“all” is no number of a task."),
        ({"type": "scratch", "tasks": "9" * 30}, "is no number of a task."),
    ],
)
def test_what_cannot_be_looked_for_is_said(labelled: Backend, form: dict[str, str], said: str) -> None:
    send(labelled, FIND, **form)
    assert said in page(labelled, LABELS)
    assert labelled.services.jobs.of_project("1") == []


def test_the_commands_ask_for_the_jobs(labelled: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--project", "1", "--data-dir", str(labelled.settings.data_dir)]
    assert main(["find-alike", *where, "--label", "scratch", "--task", "7", "--task", "9"]) == 0
    assert AlikeWish.read(labelled.services.store, "1") == AlikeWish("scratch", (7, 9), False)
    assert main(["find-alike", *where, "--label", "dent"]) == 1
    assert main(["prepare-images", *where]) == 0
    said = capsys.readouterr().out
    assert "A search is under way already" in said and "without one, add --wait" in said
    assert {job.kind for job in labelled.services.jobs.of_project("1")} == {"alike", "prepare"}
