"""The page of the references: uploading, removing, the odd one out, pages of them."""

from __future__ import annotations

import re
from io import BytesIO

import pytest
from PIL import Image

from adclick_backend.dashboard.references import advice, list_references
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, png, send

REFERENCES = "/projects/1/references"


def test_uploaded_images_become_references_with_a_picture(connected: Backend) -> None:
    files = [(BytesIO(png(1)), "Gut 1.png"), (BytesIO(png(2)), "Gut 2.png"), (BytesIO(b"text"), "notes.txt")]
    answer = send(connected, REFERENCES, images=files, product="")
    assert (answer.status_code, answer.location) == (303, "/projects/1/references")
    assert "3 being prepared" in page(connected, REFERENCES)
    connected.work()
    text = page(connected, REFERENCES)
    assert "2 ready" in text
    assert "1 failed" in text
    assert "not an image" in text
    sources = re.findall(r'<img src="([^"]+)"', text)
    assert len(sources) == 2
    picture = connected.client.get(sources[0], buffered=True)
    assert (picture.status_code, picture.content_type) == (200, "image/jpeg")
    assert "immutable" in picture.headers["Cache-Control"]
    assert Image.open(BytesIO(picture.data)).size == (64, 48)
    again = connected.client.get(
        sources[0], headers={"If-None-Match": picture.headers["ETag"]}, buffered=True
    )
    assert again.status_code == 304


def test_an_upload_without_an_image_is_refused(connected: Backend) -> None:
    answer = send(connected, REFERENCES, images=[(BytesIO(b""), "")])
    assert answer.status_code == 400
    assert "No image was chosen." in answer.text


def test_references_are_removed_and_tried_again(connected: Backend) -> None:
    references = connected.services.references
    good = references.add("1", png(), source="upload", name="good.png")
    bad = references.add("1", b"", source="upload", name="bad.png")
    connected.work()
    assert send(connected, f"/projects/1/references/{bad.id}/retry").status_code == 303
    assert "1 being prepared" in page(connected, REFERENCES)
    assert send(connected, f"/projects/2/references/{good.id}/remove").status_code == 404
    assert "1 ready" in page(connected, REFERENCES)
    send(connected, f"/projects/1/references/{good.id}/remove")
    assert "0 ready" in page(connected, REFERENCES)


def test_the_odd_one_out_comes_first_and_is_marked(connected: Backend) -> None:
    rows = [
        connected.services.references.add("1", png(n), source="upload", name=f"n{n}.png") for n in range(5)
    ]
    connected.work()
    scores = {row.sha: (1.0, 9.9 if row is rows[2] else 0.1) for row in rows}
    connected.services.store.references.save_scores("1", "", scores)
    text = page(connected, REFERENCES)
    assert "1 unlike the others" in text
    tiles = re.findall(r'<li class="tile([^"]*)">.*?<strong title="([^"]+)"', text, re.S)
    assert tiles[0] == (" is-odd", "n2.png")
    assert [odd for odd, _ in tiles[1:]] == [""] * 4
    for row in rows[:2]:
        connected.services.references.remove("1", row.id)
    assert "unlike the others" not in page(
        connected, REFERENCES
    )  # with three left, none can be called the odd one


def test_thousands_of_references_come_in_pages(connected: Backend) -> None:
    for number in range(130):
        connected.services.references.add("1", png(number), source="folder", name=f"{number}.png")
    for number, tiles in ((1, 60), (2, 60), (3, 10), (99, 10), (-5, 60)):
        text = page(connected, f"{REFERENCES}?page={number}")
        assert text.count('<li class="tile') == tiles
    assert "page 3 of 3" in page(connected, REFERENCES + "?page=3")
    assert page(connected, REFERENCES + "?page=x").count('<li class="tile') == 60


def test_a_thumbnail_that_is_not_there_is_404(connected: Backend) -> None:
    for name in ("a" * 64, "..%2F..%2Fadclick", "A" * 64, "x"):
        assert connected.client.get(f"/projects/1/thumbnails/{name}.jpg").status_code == 404


@pytest.mark.parametrize(
    ("ready", "said"),
    [(0, "judged by its own image alone"), (1, "one reference"), (5, "5 references"), (50, "enough")],
)
def test_what_more_references_would_bring(ready: int, said: str) -> None:
    assert said in advice("", ready)
    assert advice("nut", ready).startswith("nut: ")


def test_a_reference_links_to_its_task(connected: Backend) -> None:
    store = connected.services.store
    store.references.follow("1", {1: [{"url": "/a.png", "product": "", "name": "a.png", "task_id": 5}]})
    rows = store.references.of_project("1")
    assert (
        list_references(rows, "http://ls:8080/", 1).tiles[0].task_url
        == "http://ls:8080/projects/1/data?task=5"
    )
    assert list_references(rows, "javascript:alert(1)", 1).tiles[0].task_url == ""
