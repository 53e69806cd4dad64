"""The page of generated defects: what it offers, what it shows, and what its buttons do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adclick_backend.store.generated import GeneratedFiles, Origin, key_of_type
from adclick_backend.store.participation import NEVER, TRIED, participation
from tests.helpers.backend import Backend, square
from tests.helpers.dashboard import page, png, send
from tests.helpers.labels import annotated, brush, rectangle

PAGE = "/projects/1/generated"
KEY = key_of_type("scratch")


def label(backend: Backend, number: int, result: list[dict[str, Any]]) -> None:
    data = {"id": number, "data": {"image": f"/data/upload/1/{number}.png"}}
    backend.webhook("ANNOTATION_CREATED", annotation=annotated(number, result), task=data)


@pytest.fixture
def labelled(connected: Backend) -> Backend:
    """Three masks of a scratch, a box of a dent, and a reference."""
    for number in (7, 8, 9):
        label(connected, number, [brush(square(20, 20))])
    label(connected, 10, [rectangle(10, 10, 8, 8, "dent")])
    connected.services.references.add("1", png(), source="upload", name="good.png")
    connected.work()
    return connected


@pytest.fixture
def generated(labelled: Backend) -> Backend:
    """Two pictures of a scratch."""
    for number in (0, 1):
        pixels = np.full((48, 64, 3), 90 + number, np.uint8)
        origin = Origin(
            "scratch", number, 7 + number, (16, 16, 24, 24), "f" * 64, "", 0, "small-1", ("e" * 64,)
        )
        files(labelled).add("1", origin, pixels, square(20, 20), b"a small picture")
    return labelled


def files(backend: Backend) -> GeneratedFiles:
    return GeneratedFiles(backend.services.files)


def kept(backend: Backend) -> list[bool]:
    return [picture.kept for picture in files(backend).pictures("1", KEY)]


def words(backend: Backend) -> str:
    return " ".join(page(backend, PAGE).split())


def picture(backend: Backend, name: str) -> bytes:
    with backend.client.get(f"{PAGE}/{KEY}/{name}") as answer:
        assert answer.status_code == 200
        return bytes(answer.data)


def test_without_a_label_the_page_says_what_to_do(connected: Backend) -> None:
    text = words(connected)
    assert "No defect is labelled yet" in text and "There is no reference to paint on" in text
    assert "Generate</button>" not in text


def test_each_type_with_masks_can_be_generated_and_boxes_are_not_enough(labelled: Backend) -> None:
    text = words(labelled)
    assert "3 images with a mask" in text and 'aria-label="Generate scratch"' in text and 'value="24"' in text
    assert "Boxes and choices do not say what the defect looks like" in text
    assert 'aria-label="Generate dent"' not in text


def test_fewer_than_three_labels_work_and_three_are_better(connected: Backend) -> None:
    label(connected, 7, [brush(square(20, 20))])
    connected.services.references.add("1", png(), source="upload", name="good.png")
    connected.work()
    text = words(connected)
    assert "3 labelled images are better" in text and 'aria-label="Generate scratch"' in text


def test_the_button_starts_a_job_that_the_page_follows(labelled: Backend) -> None:
    answer = send(labelled, PAGE, type="scratch", count="30")
    assert answer.headers["Location"].endswith(f"{PAGE}#{KEY}")
    assert files(labelled).wanted("1") == {"scratch": 30}
    (job,) = labelled.services.jobs.of_project("1")
    assert (job.kind, job.state) == ("generate", "queued")
    text = words(labelled)
    assert f"Cancel job {job.id}" in text and f"/projects/1/training/{job.id}/live" in text
    assert "Generated defects" in page(labelled, "/projects/1/training")
    send(labelled, PAGE, type="scratch", count="40")
    assert len(labelled.services.jobs.of_project("1")) == 1 and files(labelled).wanted("1") == {"scratch": 40}


def test_how_the_last_generation_ended_is_said(labelled: Backend) -> None:
    job = labelled.services.jobs.enqueue("1", "generate", "test")
    labelled.services.store.jobs.begin(job.id, "Starting.")
    labelled.services.store.jobs.end(job.id, "failed", "scratch: There is no place for a box.")
    assert "scratch: There is no place for a box." in words(labelled)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"type": "rust", "count": "24"}, "There is no label of “rust” to learn from."),
        ({"type": "scratch", "count": "0"}, "“0” is no number of pictures: choose one from 1 to 200."),
        ({"type": "scratch", "count": "9999999"}, "is no number of pictures"),
        ({"type": "scratch", "count": "many"}, "“many” is no number of pictures"),
    ],
)
def test_what_cannot_be_generated_is_said(labelled: Backend, form: dict[str, str], said: str) -> None:
    send(labelled, PAGE, **form)
    assert said in page(labelled, PAGE)
    assert labelled.services.jobs.of_project("1") == [] and files(labelled).wanted("1") == {}


def test_an_interrupted_generation_is_said(generated: Backend) -> None:
    files(generated).want("1", "scratch", 24)
    text = words(generated)
    assert (
        "2 of 24 are there. Their generation was interrupted: press <em>Generate</em>, and it goes on."
        in text
    )


def test_pictures_are_shown_discarded_and_put_back(generated: Backend) -> None:
    text = words(generated)
    assert "2 kept." in text and "Painted by small-1." in text
    assert picture(generated, "0.jpg") == b"a small picture"
    assert picture(generated, "0.png")[1:4] == b"PNG"

    send(generated, f"{PAGE}/{KEY}/0/discard")
    assert kept(generated) == [False, True]
    text = words(generated)
    assert (
        "Picture 0 of scratch is discarded." in text
        and "Put it back" in text
        and "1 kept, 1 discarded" in text
    )
    assert picture(generated, "0.png")[1:4] == b"PNG"
    send(generated, f"{PAGE}/{KEY}/0/put-back")
    assert kept(generated) == [True, True]

    send(generated, f"{PAGE}/{KEY}/discard-all")
    assert kept(generated) == [False, False]
    send(generated, f"{PAGE}/{KEY}/delete")
    assert kept(generated) == [] and "small-1" not in words(generated)


def test_nothing_is_deleted_while_it_is_used(generated: Backend) -> None:
    job = generated.services.jobs.enqueue("1", "train", "test")
    send(generated, f"{PAGE}/{KEY}/delete")
    assert "A training is under way, so nothing was deleted" in words(generated) and len(kept(generated)) == 2
    generated.services.jobs.cancel("1", job.id)
    send(generated, f"{PAGE}/{KEY}/delete")
    assert kept(generated) == []


@pytest.mark.parametrize(
    "path",
    ["nothing-00000000/0.png", f"{KEY}/7.png", f"{KEY}/0.gif", "..%2F..%2Freferences/0.png", "UPPER/0.png"],
)
def test_there_are_no_other_pictures(generated: Backend, path: str) -> None:
    assert generated.client.get(f"{PAGE}/{path}").status_code == 404


def test_whether_they_take_part_is_chosen(labelled: Backend) -> None:
    values = labelled.services.store.values
    assert participation(values, "1") == TRIED
    assert '<option value="tried" selected>used only when they help' in words(labelled)
    send(labelled, f"{PAGE}/take-part", choice=NEVER)
    assert participation(values, "1") == NEVER
    assert "Noted: in the next training, generated pictures are not used." in words(labelled)
    assert send(labelled, f"{PAGE}/take-part", choice="perhaps").status_code == 400
    assert participation(values, "1") == NEVER


def test_pictures_of_a_type_that_is_labelled_no_more_can_still_be_deleted(generated: Backend) -> None:
    for number in (7, 8, 9):
        generated.webhook("ANNOTATIONS_DELETED", annotations=[{"id": number}])
    text = words(generated)
    assert "2 kept." in text and 'aria-label="Generate scratch"' not in text
    assert "Delete all pictures of scratch for good" in text


def test_a_full_disk_is_said(labelled: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(GeneratedFiles, "want", full)
    send(labelled, PAGE, type="scratch", count="4")
    assert "The disk with the data folder is full: make room on it." in words(labelled)
    assert labelled.services.jobs.of_project("1") == []
