"""The labels of a project as a zip file from the page Labels: streamed, its progress told, its failures in words."""

from __future__ import annotations

import errno
import io
import json
import zipfile
from collections.abc import Callable

import pytest

from adclick_backend.dashboard import exporting
from adclick_backend.exports.state import KEY, ExportStates
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page
from tests.helpers.labels import annotated, block, brush, choice

ZIP = "/projects/1/labels/export.zip"


@pytest.fixture
def labelled(connected: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Three labelled images; nobody waits for a Label Studio that is not there."""
    connected.services.connections.label_studio("1")._transport._sleep = lambda seconds: None
    results = {1: [brush(block(8, 12, 16, 20))], 2: [choice("normal")], 3: [brush(block(1, 1, 9, 9), "dent")]}
    for number, result in results.items():
        url = connected.draw(f"{number}.png", [(20, 10 + number, 200)])
        data = {"id": number, "data": {"image": url}}
        connected.webhook("ANNOTATION_CREATED", annotation=annotated(number, result), task=data)
    connected.sync()
    return connected


def files(backend: Backend, query: str) -> dict[str, bytes]:
    answer = backend.client.get(f"{ZIP}?{query}")
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_form_leads_to_a_zip_file_of_everything(labelled: Backend) -> None:
    text = page(labelled, "/projects/1/labels")
    assert "Take the labels along" in text
    assert '<option value="yolo-seg">YOLO polygons</option>' in text
    made = files(labelled, "format=coco&images=copy&split=&annotator=")
    assert len(json.loads(made["annotations.json"])["images"]) == 3
    assert made["images/1-1.png"] == (labelled.images / "1.png").read_bytes()
    assert "No Label Studio is known to ask" in made["left_out.csv"].decode()
    said = page(labelled, "/projects/1/labels")
    assert "Exported: 3 images, 1 of them free of defects, with 2 regions. Left out: 1;" in said
    answer = labelled.client.get(f"{ZIP}?format=mvtec")
    assert answer.headers["Content-Disposition"] == "attachment; filename=Screws-mvtec.zip"
    assert "Content-Length" not in answer.headers, "nobody knows before it is written"


def test_what_is_chosen_is_exported(labelled: Backend) -> None:
    made = files(labelled, "format=yolo-seg&images=none&split=50/50/0")
    assert [name for name in made if name.startswith("images")] == []
    assert sorted(name.split("/")[1] for name in made if name.startswith("labels/")) == [
        "train",
        "train",
        "val",
    ]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("format=voc", "There is no format"),
        ("", "There is no format"),
        ("format=coco&images=link", "Images are copied (copy) or left out (none)"),
        ("format=coco&split=1", "A split is three shares"),
        ("format=coco&annotator=Eve", "Nobody called"),
        ("format=coco&reviewed=on", "has no label that can be exported"),
    ],
)
def test_what_cannot_be_is_said_on_a_page(labelled: Backend, query: str, said: str) -> None:
    answer = labelled.client.get(f"{ZIP}?{query}")
    assert answer.status_code == 400
    assert said in answer.text


def test_one_image_at_a_time_is_sent_and_how_far_it_is_is_told(
    labelled: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "SILENCE_S", 0.0)
    answer = labelled.client.get(f"{ZIP}?format=coco", buffered=False)
    pieces = iter(answer.response)
    sent = b""
    while b"images/2-2.png" not in sent:
        sent += next(pieces)  # type: ignore[arg-type]
    live = labelled.client.get("/projects/1/labels/export/live").text
    assert "1 of 3 images are in the zip file." in live
    assert "data-ended" not in live
    answer.close()
    live = labelled.client.get("/projects/1/labels/export/live").text
    assert "The export was cancelled." in live
    assert "data-ended" in live


def test_a_failure_in_the_middle_ends_the_answer_and_is_said(
    labelled: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("adclick_backend.exports.labels.readable", full)
    with pytest.raises(OSError, match="No space left"):
        _ = labelled.client.get(f"{ZIP}?format=coco").data
    assert "the last 64 MB of the disk with the data folder are left to labels" in page(
        labelled, "/projects/1/labels"
    )


def test_an_export_whose_process_ended_is_not_said_to_go_on(labelled: Backend) -> None:
    store = labelled.services.store
    ExportStates(store, clock=lambda: 1000.0).say("1", "7 of 9 images are in the zip file.", running=True)
    assert ExportStates(store, clock=lambda: 1010.0).of("1").running
    assert "was interrupted" in ExportStates(store, clock=lambda: 1200.0).of("1").sentence
    assert KEY == "label_export"


def test_it_is_behind_the_password(make_backend: Callable[..., Backend]) -> None:
    backend = make_backend(basic_auth_user="ada", basic_auth_pass="secret")
    for path in (ZIP, "/projects/1/labels/export/live"):
        assert backend.client.get(path).status_code == 401
    assert backend.client.get(ZIP, auth=("ada", "secret")).status_code == 404
