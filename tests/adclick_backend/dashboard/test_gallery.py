"""The gallery: labelled images with their masks, filtered by type, annotator and training."""

from __future__ import annotations

import re
from typing import Any

import cv2
import numpy as np
import pytest

from adclick_backend.dashboard import gallery, label_pictures
from adclick_backend.labels.annotators import KEY, read_annotators
from tests.helpers.backend import CONFIG, Backend, annotation
from tests.helpers.dashboard import page, send
from tests.helpers.fake_label_studio import LEGACY_TOKEN, FakeLabelStudio
from tests.helpers.labels import block, brush, choice
from tests.helpers.local_server import Reply
from tests.helpers.references import mark

GALLERY = "/projects/1/gallery"


def label(backend: Backend, number: int, result: list[dict[str, Any]], user: Any = 1, **more: Any) -> None:
    """Somebody submits an annotation of a new task."""
    url = backend.draw(f"part {number}.png", [(10 + number, 20, 200)])
    said = {**annotation(number, (), task=number), "result": result, "completed_by": user, **more}
    answer = backend.webhook(
        "ANNOTATION_CREATED", annotation=said, task={"id": number, "data": {"image": url}}
    )
    assert answer.status_code == 201, answer.text


def painted(top: int = 16, name: str = "scratch") -> dict[str, Any]:
    return {**brush(block(top, 20, top + 8, 40), name), "from_name": "brush"}


@pytest.fixture
def labelled(connected: Backend) -> Backend:
    """Six tasks of two people; task 4 contradicts itself, 5 says nothing, the image of 6 is gone."""
    label(connected, 1, [painted()], user=1)
    label(connected, 2, [painted(name="dent")], user={"id": 2, "email": "b@example.com"})
    label(connected, 3, [choice("normal")], user=1)
    label(connected, 4, [painted(), choice("normal")], user=2)
    label(connected, 5, [{**choice("dark"), "from_name": "light"}], user=2)
    label(connected, 6, [painted()], user=None)
    (connected.images / "part 6.png").unlink()
    connected.sync()
    connected.services.store.values.set("1", KEY, '{"1": "Ada Lovelace"}')
    return connected


def tasks(text: str) -> list[int]:
    """The tasks on a page, in their order."""
    return [int(number) for number in re.findall(r'aria-label="Enlarge task (\d+)"', text)]


def picture(backend: Backend, route: str) -> Any:
    answer = backend.client.get(route, buffered=True)
    assert answer.status_code == 200, answer.text
    return cv2.imdecode(np.frombuffer(answer.data, np.uint8), 1).astype(int)


def test_all_that_is_labelled_is_there_the_last_one_first(labelled: Backend) -> None:
    text = page(labelled, GALLERY)
    assert tasks(text) == [6, 5, 4, 3, 2, 1]
    assert "6 images" in text
    assert "Ada Lovelace" in text
    assert "user 2" in text  # whose name Label Studio did not say
    assert text.count(">not learned<") == 3
    assert text.count('<img loading="lazy"') == 5


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("type=scratch", [6, 1]),
        ("type=dent", [2]),
        ("type=(normal)", [3]),
        ("type=(nothing)", [5, 4]),
        ("author=1", [3, 1]),
        ("author=2", [5, 4, 2]),
        ("training=trains", [3, 2, 1]),
        ("training=left", [6, 5, 4]),
        ("training=contradiction", [4]),
        ("training=(nothing)", [5]),
        ("training=unread", [6]),
        ("type=scratch&author=1&training=trains", [1]),
        ("type=no+such", []),
    ],
)
def test_filters(labelled: Backend, query: str, found: list[int]) -> None:
    text = page(labelled, f"{GALLERY}?{query}")
    assert tasks(text) == found
    assert f"{len(found)} image" in text
    assert "of 6" in text


def test_filters_offer_what_there_is(labelled: Backend) -> None:
    options = re.findall(r'<option value="([^"]*)"', page(labelled, GALLERY))
    assert options == [
        *("", "dent", "scratch", "(normal)", "(nothing)"),
        *("", "1", "2"),
        *("", "trains", "left", "contradiction", "unread", "(nothing)"),
    ]


def test_what_was_taken_out_of_the_references_is_not_learned_from(labelled: Backend) -> None:
    services = labelled.services
    labelled.work()
    (reference,) = services.store.references.of_project("1")
    services.references.remove("1", reference.id)
    assert tasks(page(labelled, f"{GALLERY}?training=removed")) == [3]
    assert "page References" in page(labelled, f"{GALLERY}/3")


def test_masks_are_drawn_where_they_were_painted(labelled: Backend) -> None:
    large, plain = (picture(labelled, f"{GALLERY}/1/{size}.jpg") for size in ("large", "plain"))
    assert large.shape == plain.shape == (48, 64, 3)
    changed = np.abs(large - plain).max(axis=2)
    assert changed[17:23, 21:39].mean() > 20
    assert changed[30:, :].mean() < 3
    normal = picture(labelled, f"{GALLERY}/3/large.jpg")
    assert np.abs(normal - picture(labelled, f"{GALLERY}/3/plain.jpg")).max() == 0


def test_a_type_has_one_colour_in_all_pictures(labelled: Backend) -> None:
    scratch, dent = (picture(labelled, f"{GALLERY}/{task}/large.jpg")[20, 30] for task in (1, 2))
    assert np.abs(scratch - dent).max() > 30
    text = page(labelled, f"{GALLERY}/2")
    assert '<span class="swatch of-1"></span> dent' in text


def test_pictures_are_bounded_and_made_once(labelled: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "THUMBNAIL", 32)
    assert picture(labelled, f"{GALLERY}/1/small.jpg").shape == (24, 32, 3)
    folder = labelled.settings.data_dir / "projects/1/gallery"
    (kept,) = folder.iterdir()
    before = kept.read_bytes()

    def drawn(*_: object, **__: object) -> None:
        raise AssertionError("it is drawn again")

    with monkeypatch.context() as patch:
        patch.setattr(label_pictures, "with_masks", drawn)
        assert labelled.client.get(f"{GALLERY}/1/small.jpg", buffered=True).data == before
    label(labelled, 1, [painted(top=30)], at="2026-11-23T09:11:41.118986Z", updated_at="2026-11-23T09:11:41Z")
    assert labelled.client.get(f"{GALLERY}/1/small.jpg", buffered=True).data != before


def test_only_some_pictures_are_kept(labelled: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_pictures, "KEPT", 3)
    monkeypatch.setattr(label_pictures, "SWEPT", 1)
    folder = labelled.settings.data_dir / "projects/1/gallery"
    for task in (1, 2, 3, 4):
        picture(labelled, f"{GALLERY}/{task}/small.jpg")
    assert len(list(folder.iterdir())) == 2


def test_an_image_is_enlarged_and_leads_to_the_next(labelled: Backend) -> None:
    text = page(labelled, f"{GALLERY}/4?author=2")
    assert "2 of 3" in text
    assert f'href="{GALLERY}/5?author=2"' in text
    assert f'href="{GALLERY}/2?author=2"' in text
    assert f'href="{GALLERY}?page=1&author=2"' in text
    assert "Neither is learned until you correct one of them" in text
    assert 'href="http://127.0.0.1:9/projects/1/data?task=4"' in text
    assert 'name="task" value="4"' in text  # to be tried
    assert "painted" in page(labelled, f"{GALLERY}/1")


def test_pages(labelled: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "PAGE_SIZE", 4)
    text = page(labelled, f"{GALLERY}?page=2")
    assert tasks(text) == [2, 1]
    assert "page 2 of 2" in text
    assert 'rel="prev"' in text
    assert tasks(page(labelled, f"{GALLERY}?page=99")) == [2, 1]


def test_nothing_of_another_project_is_shown(labelled: Backend) -> None:
    labelled.setup(project="2.1")
    assert tasks(page(labelled, "/projects/2/gallery")) == []
    for route in (
        "/projects/2/gallery/1",
        "/projects/2/gallery/1/large.jpg",
        f"{GALLERY}/99",
        f"{GALLERY}/6/large.jpg",
    ):
        assert labelled.client.get(route).status_code == 404
    assert labelled.client.get(f"{GALLERY}/1/huge.jpg").status_code == 404


def test_a_kept_copy_that_is_gone_is_said(labelled: Backend) -> None:
    for copy in (labelled.settings.data_dir / "projects/1/labels").iterdir():
        copy.unlink()
    answer = labelled.client.get(f"{GALLERY}/1/small.jpg")
    assert answer.status_code == 404
    assert "is gone" in answer.text


def test_a_mask_that_cannot_be_read_leaves_the_picture(connected: Backend) -> None:
    broken = painted()
    broken["value"] = {"format": "rle", "rle": [1, 2, 3], "brushlabels": ["scratch"]}
    label(connected, 1, [broken])
    connected.sync()
    assert picture(connected, f"{GALLERY}/1/large.jpg").shape == (48, 64, 3)


def test_several_images_of_a_task_are_apart(connected: Backend) -> None:
    config = CONFIG.replace('value="$image"', 'value="$front"').replace(
        "</View>", '<Image name="back" value="$back"/></View>'
    )
    connected.setup(config=config)
    front, back = connected.draw("front.png"), connected.draw("back.png", grey=200)
    said = {**annotation(1, (), task=1), "result": [], "completed_by": 1}
    connected.webhook(
        "ANNOTATION_CREATED",
        config=config,
        annotation=said,
        task={"id": 1, "data": {"front": front, "back": back}},
    )
    connected.sync()
    text = page(connected, GALLERY)
    assert f'href="{GALLERY}/1?image=back"' in text
    dark, light = (
        picture(connected, f"{GALLERY}/1/large.jpg?image={key}").mean() for key in ("image", "back")
    )
    assert light > dark + 50
    assert send(connected, "/projects/1/trial", task="1", shown="back").status_code == 303


def test_names_of_annotators_are_read_with_the_labels(connected: Backend) -> None:
    services = connected.services
    with FakeLabelStudio() as studio:
        connected.setup(hostname=studio.url, access_token=LEGACY_TOKEN)
        services.connections.confirm(studio.url)
        studio.files["/api/users/"] = Reply.json(
            [
                {"id": 1, "first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com"},
                {"id": 2, "first_name": "", "last_name": "", "email": "b@example.com"},
                {"id": "3", "email": "odd"},
                "odd",
            ]
        )
        studio.tasks = [
            {"id": 9, "data": {"image": "/x.png"}, "annotations": [{**annotation(9), "completed_by": 2}]}
        ]
        connected.sync()
        assert [row.author for row in services.store.gallery.images("1")] == [2]
        assert "b@example.com" in page(connected, f"{GALLERY}/9")
        # One that may not list users takes no name away.
        studio.files["/api/users/"] = Reply.json({"detail": "no"}, 403)
        read_annotators("1", services.store, services.connections.label_studio("1"))
        assert services.store.values.get("1", KEY) == '{"1": "Ada Lovelace", "2": "b@example.com"}'


def test_who_made_an_annotation_is_no_change_of_its_label(labelled: Backend) -> None:
    """Labels that a database of an earlier release holds get their author, and are not learned anew because of it."""
    store = labelled.services.store
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE annotation_revisions SET author = NULL")
    before = [row.updated for row in store.gallery.images("1")]
    said = {**annotation(1, (), task=1), "result": [painted()], "completed_by": 1}
    url = labelled.draw("part 1.png", [(11, 20, 200)])
    labelled.services.labels.mirror("1", {"id": 1, "data": {"image": url}, "annotations": [said]}, asked=1e12)
    assert [row.updated for row in store.gallery.images("1")] == before
    assert [row.author for row in store.gallery.images("1") if row.task_id == 1] == [1]


def test_without_a_label_the_page_says_what_will_be_here(connected: Backend) -> None:
    assert "Nothing is labelled yet" in page(connected, GALLERY)
    mark(connected, connected.draw("a.png"), number=1)
    assert tasks(page(connected, GALLERY)) == [1]  # without its picture, which is fetched later
