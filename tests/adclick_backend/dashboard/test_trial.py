"""The page Try it: what the serving version sees in an image that somebody drops, and what is kept of it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from werkzeug.test import TestResponse

from adclick_backend.answers import trying
from adclick_backend.store.tries import AGE_S, MOST, TryFiles
from tests.helpers.backend import CONFIG, Backend
from tests.helpers.dashboard import page, png, send
from tests.helpers.fake_engine import BROKEN
from tests.helpers.fake_label_studio import LEGACY_TOKEN, FakeLabelStudio
from tests.helpers.references import mark

TRIAL = "/projects/1/trial"


def red(x: int = 20, y: int = 24) -> bytes:
    """An image with a red square at (x, y)."""
    pixels = np.full((48, 64, 3), 90, np.uint8)
    pixels[y - 4 : y + 4, x - 4 : x + 4] = (0, 0, 200)
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.fixture
def ready(connected: Backend) -> Backend:
    """A backend with three references."""
    for grey in (80, 90, 100):
        connected.services.references.add("1", png(grey), source="upload", name=f"good {grey}.png")
    connected.work()
    return connected


def drop(backend: Backend, data: bytes, name: str = "part.png", **more: str) -> TestResponse:
    answer: TestResponse = send(backend, TRIAL, image=(BytesIO(data), name), **more)
    return answer


def shown(backend: Backend, data: bytes) -> str:
    """Address of the page about an image."""
    answer = drop(backend, data)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def test_an_image_is_dropped_and_what_is_seen_in_it_is_shown(ready: Backend) -> None:
    route = shown(ready, red())
    text = page(ready, route)
    assert "part.png" in text
    assert "masks come from the residual" in text.replace("\n", " ")
    assert "90.0 %" in text  # the highest probability
    assert text.count("What differs from it") == 3
    assert "good 80.png" in text
    pictures = re.findall(rf'src="({route}/[^"]+)"', text)
    assert len(pictures) == 2 + 1 + 6
    for address in pictures:
        answer = ready.client.get(address, buffered=True)
        assert answer.status_code == 200
        assert answer.mimetype == "image/jpeg"
        assert max(cv2.imdecode(np.frombuffer(answer.data, np.uint8), 1).shape) <= 1024


def test_what_is_drawn_over_the_image_is_where_the_defect_is(ready: Backend) -> None:
    route = shown(ready, red(20, 24))
    plain, found, heat = (
        cv2.imdecode(
            np.frombuffer(ready.client.get(f"{route}/{name}", buffered=True).data, np.uint8), 1
        ).astype(int)
        for name in ("image.jpg", "found.jpg", "heat.jpg")
    )
    changed = np.abs(found - plain).max(axis=2)
    assert changed[20:28, 16:24].mean() > 20
    assert changed[:, 40:].mean() < 5
    assert np.abs(heat - plain).max(axis=2)[20:28, 16:24].mean() > 20


def test_what_would_be_held_back_says_so(ready: Backend) -> None:
    assert "held back" not in page(ready, shown(ready, red()))
    ready.services.registry.propose_when("1", "never")
    text = page(ready, shown(ready, red()))
    assert "No mask would be proposed" in text
    assert "no, held back" in text


def test_the_threshold_works_without_a_script(ready: Backend) -> None:
    route = shown(ready, red())
    assert "2.08 % of the image is marked" in page(ready, f"{route}?threshold=50")  # 64 of 3072 pixels
    assert "100.00 % of the image is marked" in page(ready, f"{route}?threshold=10")  # 0.2 everywhere else
    assert "0.00 % of the image is marked" in page(ready, f"{route}?threshold=95")
    for odd in ("x", "", "-5", "1000"):
        assert ready.client.get(f"{route}?threshold={odd}").status_code == 200
    low, high = (
        ready.client.get(f"{route}/mask.jpg?threshold={percent}", buffered=True).data for percent in (10, 95)
    )
    assert low != high


def test_nothing_of_it_becomes_a_reference_a_label_or_a_white_point(ready: Backend) -> None:
    store = ready.services.store
    before = store.references.of_project("1")
    deep = cv2.imencode(".png", np.full((48, 64), 900, np.uint16))[1].tobytes()
    for data in (red(), deep):
        shown(ready, data)
    ready.work()
    assert store.references.of_project("1") == before
    assert store.labels.of_project("1") == []
    assert store.white_points.get("1", "") is None
    kept = [path for path in ready.settings.data_dir.rglob("*") if path.is_file()]
    assert not [path for path in kept if path.read_bytes() in (red(), deep)]  # not even the file


def test_pictures_are_gone_after_an_hour_and_there_are_only_a_few(ready: Backend) -> None:
    route = shown(ready, red())
    folder = ready.settings.data_dir / "projects/1/tries"
    (only,) = folder.iterdir()
    os.utime(only, (time.time(), time.time() - AGE_S - 1))
    answer = ready.client.get(route)
    assert answer.status_code == 404
    assert "try the image again" in answer.text
    for x in range(MOST + 3):
        shown(ready, red(10 + x))
    assert len(list(folder.iterdir())) == MOST
    for one in folder.iterdir():
        os.utime(one, (0, 0))
    TryFiles(ready.services.files).sweep()
    assert list(folder.iterdir()) == []


def test_nothing_else_can_be_read(ready: Backend) -> None:
    route = shown(ready, red())
    (ready.settings.data_dir / "projects/1/secret.jpg").write_text("secret")
    for name in ("about.json", "..%2F..%2Fsecret.jpg", "..", "none.jpg", "%2Fetc%2Fpasswd"):
        assert ready.client.get(f"{route}/{name}").status_code == 404
    for token in ("..", "0" * 32, "..%2F.."):
        assert ready.client.get(f"{TRIAL}/{token}").status_code == 404
    ready.setup(project="2.1")
    assert ready.client.get(route.replace("/1/", "/2/")).status_code == 404


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "damaged|empty|no image"),
        (b"%PDF-1.4 not an image", "PDF document"),
        (png()[:60], "damaged"),
    ],
)
def test_what_is_no_image_is_refused_in_words(ready: Backend, data: bytes, words: str) -> None:
    answer = drop(ready, data)
    assert answer.status_code == 422
    assert re.search(words, answer.text)
    assert not (ready.settings.data_dir / "projects/1/tries").exists()


def test_limits_are_those_of_every_other_image(make_backend: Callable[..., Backend]) -> None:
    small = make_backend(max_megapixels=0, max_image_mb=100)
    small.setup()
    assert "ADCLICK_MAX_MEGAPIXELS" in drop(small, red()).text
    light = make_backend(max_image_mb=0)
    assert "ADCLICK_MAX_IMAGE_MB" in drop(light, red()).text


def test_a_form_that_names_nothing_says_what_to_do(ready: Backend) -> None:
    assert "Choose an image file" in send(ready, TRIAL).text
    assert "is no task number" in send(ready, TRIAL, task="7; drop").text


def test_a_labelled_task_is_tried_from_its_kept_copy(connected: Backend, tmp_path: Path) -> None:
    url = connected.draw("part.png", [(20, 24, 200)])
    mark(connected, url, number=7)
    connected.sync()
    (connected.images / "part.png").unlink()
    assert 'name="task" value="7"' in page(connected, TRIAL)
    answer = send(connected, TRIAL, task="7")
    assert answer.status_code == 303
    text = page(connected, answer.headers["Location"])
    assert "part.png" in text
    assert 'href="http://127.0.0.1:9/projects/1/data?task=7"' in text
    assert "Nothing can be proposed for this image yet" in text


def test_a_task_that_nobody_labelled_is_read_from_label_studio(make_backend: Callable[..., Backend]) -> None:
    with FakeLabelStudio() as studio:
        backend = make_backend(label_studio_url=studio.url, label_studio_api_key=LEGACY_TOKEN)
        backend.setup()
        url = backend.draw("new.png", [(30, 20, 200)])
        studio.tasks = [
            {"id": 5, "project": 1, "data": {"image": url}},
            {"id": 6, "project": 2, "data": {"image": url}},
        ]
        assert send(backend, TRIAL, task="5").status_code == 303
        assert "Project 1 has no task 6" in send(backend, TRIAL, task="6").text
        assert "Project 1 has no task 99" in send(backend, TRIAL, task="99").text


def test_a_version_that_cannot_be_loaded_gives_way_to_the_one_before(ready: Backend) -> None:
    ready.serve_version()
    version = ready.services.registry.current("1")
    assert version is not None
    ready.engine.broken.add(version.weights)
    text = page(ready, shown(ready, red()))
    assert "masks come from the residual" in text.replace("\n", " ")
    assert ready.services.registry.current("1") is None


def test_a_model_that_is_out_of_order_says_so(ready: Backend) -> None:
    ready.engine.error = BROKEN
    answer = drop(ready, red())
    assert answer.status_code == 422
    assert str(BROKEN) in answer.text


def test_one_image_is_looked_at_at_a_time(ready: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "PATIENCE_S", 0.05)
    with ready.services.trier._one:
        answer = drop(ready, red())
    assert answer.status_code == 422
    assert "Another image is being looked at" in answer.text
    assert drop(ready, red()).status_code == 303


def test_it_gives_way_to_clicks(ready: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(
        ready.services.trier._traffic, "give_way", lambda: waited.append(len(ready.engine.proposed))
    )
    shown(ready, red())
    assert waited == [0, 1]  # before the proposal, and after it


def test_a_file_of_a_task_with_several_images_needs_its_product(connected: Backend) -> None:
    several = CONFIG.replace("</View>", '<Image name="back" value="$back"/></View>')
    connected.setup(config=several.replace('value="$image"', 'value="$front"'))
    answer = drop(connected, red())
    assert answer.status_code == 422
    assert "Say which of them the files show" in answer.text
