"""A click on image files that browsers show and decoders trip over: the mask is the square that was clicked."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.backend import HEIGHT, WIDTH, Backend, annotation, mask_of, point, square, task
from tests.helpers.image_files import bmp
from tests.helpers.image_files.picture import saved
from tests.helpers.local_server import LocalServer, Reply

AT = (20, 20)  # the square's edges are those of JPEG's blocks


def plate() -> NDArray[np.uint8]:
    """Grey with a dark square, (48, 64, 3) RGB."""
    pixels = np.full((HEIGHT, WIDTH, 3), 140, np.uint8)
    pixels[square(*AT)] = 50
    return pixels


def clicked(backend: Backend, url: str) -> NDArray[np.bool_]:
    """The mask after a click into the square."""
    answer = backend.click(task(url), [point(*AT)])
    assert answer.status_code == 200
    problems = [problem.sentence for problem in backend.services.store.problems.latest("1")]
    assert problems == []
    (region,) = answer.json["results"][0]["result"]
    return mask_of(region)


@pytest.fixture
def backend(make_backend: Callable[..., Backend]) -> Backend:
    backend = make_backend()
    backend.setup()
    return backend


@pytest.mark.parametrize("version", [4, 5])
def test_a_bmp_whose_alpha_is_all_zero_is_opaque(backend: Backend, version: int) -> None:
    """Grabbers leave the fourth byte 0 and still declare it as alpha."""
    (backend.images / "a.bmp").write_bytes(bmp.alpha_zero(version, plate()))
    assert np.array_equal(clicked(backend, "/data/local-files/?d=a.bmp"), square(*AT))


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_marker_is_whole(backend: Backend, progressive: bool, missing: int) -> None:
    data = saved(plate(), "JPEG", quality=95, subsampling=0, progressive=progressive)
    (backend.images / "a.jpg").write_bytes(data[:-missing])
    assert np.array_equal(clicked(backend, "/data/local-files/?d=a.jpg"), square(*AT))


@pytest.mark.parametrize("format", ["PNG", "BMP"])
def test_a_compressed_answer_of_label_studio_is_unpacked(
    make_backend: Callable[..., Backend], format: str
) -> None:
    packed = gzip.compress(saved(plate(), format))
    reply = Reply(body=packed, headers={"Content-Encoding": "gzip", "Content-Type": "image/png"})
    with LocalServer(lambda request: reply) as label_studio:
        backend = make_backend(label_studio_url=label_studio.url, label_studio_api_key="f" * 40)
        backend.setup()
        assert np.array_equal(clicked(backend, "/data/upload/1/a.png"), square(*AT))


def test_a_task_that_holds_its_image(backend: Backend) -> None:
    image = base64.b64encode(saved(plate(), "PNG")).decode()
    assert np.array_equal(clicked(backend, f"data:image/png;base64,{image}"), square(*AT))


def test_a_normal_image_in_a_task_becomes_a_reference(backend: Backend) -> None:
    """Under a name that fits into a table."""
    image = base64.b64encode(saved(plate(), "PNG")).decode()
    data = {"id": 1, "data": {"image": f"data:image/png;base64,{image}"}}
    backend.webhook("ANNOTATION_CREATED", annotation=annotation(1), task=data)
    backend.work()
    (row,) = backend.services.store.references.of_project("1")
    assert (row.state, row.name) == ("ready", "image in the task")
