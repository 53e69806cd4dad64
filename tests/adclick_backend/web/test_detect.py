"""``POST /detect``: what the version that serves finds in an image of the line, as a bundle would say it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from io import BytesIO

import cv2
import numpy as np
import pytest

from adclick_backend.answers import trying
from adclick_runtime import coco_rle
from tests.helpers.backend import Backend
from tests.helpers.dashboard import png


def red(value: int = 200) -> bytes:
    """An image with a red square at (20, 24)."""
    pixels = np.full((48, 64, 3), 90, np.uint8)
    pixels[20:28, 16:24] = (0, 0, value)
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.fixture
def ready(connected: Backend) -> Backend:
    """A backend with three references."""
    for grey in (80, 90, 100):
        connected.services.references.add("1", png(grey), source="upload", name=f"good {grey}.png")
    connected.work()
    return connected


def test_an_image_in_and_regions_out(ready: Backend) -> None:
    answer = ready.client.post("/detect?project=1", data=red())
    assert answer.status_code == 200
    found = answer.json
    (region,) = found.pop("regions")
    assert region["box"] == [16, 20, 8, 8] and region["area"] == 64 and region["polygons"]
    mask = coco_rle.decoded(region["rle"], 48, 64) > 0
    assert mask.sum() == 64 and mask[20:28, 16:24].all()
    assert found.pop("milliseconds") >= 0
    assert 0.9 < found.pop("unlike") < 1.1  # as bright as the references
    assert found == {
        "defect": True,
        "type": "defect",
        "score": 0.9,
        "width": 64,
        "height": 48,
        "note": "",
        "version": ready.services.registry.serving_name("1"),
        "product": "",
    }


def test_a_form_is_as_good_as_bytes(ready: Backend) -> None:
    answer = ready.client.post("/detect?project=1", data={"image": (BytesIO(red()), "part.png")})
    assert answer.status_code == 200 and answer.json["defect"]
    two = {"a": (BytesIO(red()), "a.png"), "b": (BytesIO(red()), "b.png")}
    answer = ready.client.post("/detect?project=1", data=two)
    assert answer.status_code == 400 and "has 2 files" in answer.json["error"]["message"]


def test_the_version_that_serves_answers(ready: Backend) -> None:
    ready.serve_version()
    found = ready.client.post("/detect?project=1", data=red()).json
    assert (found["type"], found["version"]) == ("scratch", ready.services.registry.serving_name("1"))
    assert found["version"].endswith("v1")


def test_what_would_be_held_back_from_people_is_said_here(ready: Backend) -> None:
    ready.services.registry.propose_when("1", "never")
    assert ready.client.post("/detect?project=1", data=red()).json["defect"]


@pytest.mark.parametrize(
    ("query", "data", "status", "words"),
    [
        ("", red(), 400, "Say which project the image belongs to"),
        ("?project=../1", red(), 400, "A project id is a number"),
        ("?project=7", red(), 404, "No Label Studio project 7 was connected here."),
        ("?project=1", b"", 400, "is empty"),
        ("?project=1", b"%PDF", 400, "a PDF document"),
        ("?project=1", red()[:-30], 400, "damaged"),
    ],
)
def test_what_cannot_be_answered_is_said_in_words(
    ready: Backend, query: str, data: bytes, status: int, words: str
) -> None:
    answer = ready.client.post(f"/detect{query}", data=data)
    assert answer.status_code == status
    assert words in answer.json["error"]["message"]


def test_without_references_it_says_what_is_missing(connected: Backend) -> None:
    answer = connected.client.post("/detect?project=1", data=red())
    assert answer.status_code == 409
    assert "In project 1 there are too few references" in answer.json["error"]["message"]
    for grey in (80, 90, 100):
        connected.services.references.add(
            "1", png(grey), source="upload", name=f"good {grey}.png", product="nut"
        )
    connected.work()
    answer = connected.client.post("/detect?project=1", data=red())
    assert answer.status_code == 409 and "'nut': name one of them" in answer.json["error"]["message"]
    assert connected.client.post("/detect?project=1&product=nut", data=red()).json["defect"]


def test_nothing_of_it_becomes_a_reference_or_a_label(ready: Backend) -> None:
    store = ready.services.store
    before = store.references.of_project("1")
    ready.client.post("/detect?project=1", data=red())
    assert store.references.of_project("1") == before
    assert store.labels.of_project("1") == []


def test_it_is_behind_the_password(make_backend: Callable[..., Backend]) -> None:
    """Reliability row 9."""
    guarded = make_backend(basic_auth_user="u", basic_auth_pass="p")
    right = {"Authorization": "Basic " + b64encode(b"u:p").decode()}
    guarded.client.post("/setup", json={"project": "1.1", "schema": "<View/>"}, headers=right)
    assert guarded.client.post("/detect?project=1", data=red()).status_code == 401
    assert guarded.client.post("/detect?project=1", data=red(), headers=right).status_code == 409


def test_while_another_image_is_looked_at_it_says_when_to_come_again(
    ready: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "PATIENCE_S", 0.05)
    with ready.services.trier._turn():
        answer = ready.client.post("/detect?project=1", data=red())
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
    assert "Another image is being looked at" in answer.json["error"]["message"]
    assert ready.client.post("/detect?project=1", data=red()).status_code == 200


def test_limits_are_held(make_backend: Callable[..., Backend]) -> None:
    """Reliability row 11."""
    small = make_backend(max_image_mb=1, max_body_mb=2)
    small.setup()
    answer = small.client.post("/detect?project=1", data=bytes(1_500_000))
    assert answer.status_code == 400 and "ADCLICK_MAX_IMAGE_MB" in answer.json["error"]["message"]
    answer = small.client.post("/detect?project=1", data=bytes(3_000_000))
    assert answer.status_code == 413 and "ADCLICK_MAX_BODY_MB" in answer.json["error"]["message"]
