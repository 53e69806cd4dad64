"""Images that a task holds itself."""

from __future__ import annotations

import base64
import time
import tracemalloc
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from adclick_backend.errors import ImageError
from adclick_backend.images.addresses import image_name
from adclick_backend.images.data_uris import read_data_uri
from adclick_backend.images.task_images import ImageSource
from adclick_backend.label_studio.instance import LabelStudio
from adclick_backend.settings import Settings
from tests.helpers.image_files.picture import picture, saved

PNG = saved(picture(), "PNG")
BASE64 = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{BASE64}",
        f"DATA:Image/PNG;Base64,{BASE64}",
        f"data:image/png;charset=utf-8;base64,{BASE64}",
        f"data:image/png;base64,{BASE64.rstrip('=')}",
        f"data:image/png;base64,{quote(BASE64, safe='')}",
        f"data:image/png;base64,{BASE64[:80]}\r\n {BASE64[80:]}",
        f"data:image/png,{quote(PNG)}",
    ],
)
def test_every_spelling_that_browsers_read(url: str) -> None:
    """reliability row 4."""
    assert read_data_uri(url, max_bytes=10_000) == PNG


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("data:text/html;base64,AAAA", "is no image"),
        ("data:,hello", "is no image"),
        ("data:image/png;base64", "is no image"),
        ("data:application/octet-stream;base64,AAAA", "is no image"),
        ("data:image/png;base64,A*AA", "is not base64"),
        ("data:image/png;base64,AAAAA", "is not base64"),
    ],
)
def test_anything_else_is_refused(url: str, said: str) -> None:
    """reliability row 4."""
    with pytest.raises(ImageError, match=said):
        read_data_uri(url, max_bytes=10_000)


def test_the_limit_is_that_of_files() -> None:
    """reliability row 4: also for a body that is one percent sign after another."""
    for form in (
        "data:image/png;base64," + base64.b64encode(bytes(1001)).decode(),
        "data:image/png," + "%00" * 1001,
    ):
        with pytest.raises(ImageError, match=r"larger than 0\.001 MB \(ADCLICK_MAX_IMAGE_MB\)"):
            read_data_uri(form, max_bytes=1000)
    assert read_data_uri("data:image/png," + "%00" * 1000, max_bytes=1000) == bytes(1000)


def test_a_huge_one_costs_nothing() -> None:
    """reliability row 33: refused by its length."""
    huge = "data:image/png," + "%" * 30_000_000
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(ImageError, match="larger than"):
        read_data_uri(huge, max_bytes=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000_000
    assert time.perf_counter() - started < 5


def test_a_task_may_hold_its_image(tmp_path: Path) -> None:
    """reliability row 4: nothing is fetched, and nothing kept in the folder of downloads."""
    images = ImageSource(Settings(), LabelStudio("http://127.0.0.1:9", "f" * 40), tmp_path)
    image = images.load(f"data:image/png;base64,{BASE64}", project="1", task_id=5)
    assert image.size == (24, 16)
    assert np.array_equal(image.pixels, picture())
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_picture_inside_is_said(tmp_path: Path) -> None:
    images = ImageSource(Settings(), LabelStudio("http://127.0.0.1:9", "f" * 40), tmp_path)
    drawing = images.load(
        "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>", project="1", task_id=5
    )
    with pytest.raises(ImageError, match="an SVG drawing"):
        drawing.pixels  # noqa: B018


def test_it_has_a_name_that_a_person_can_read() -> None:
    assert image_name(f"data:image/png;base64,{BASE64}") == "image in the task"
