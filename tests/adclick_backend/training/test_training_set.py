"""What a training starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from adclick_backend.errors import ImageError
from adclick_backend.training.training_set import (
    MOST_PIXELS,
    KeptImage,
    TrainingSet,
    build_training_set,
    key_of,
    whole,
    working_size,
)
from model.labels.labelled import LabelledImage
from tests.helpers.backend import CONFIG, Backend, point, task
from tests.helpers.deep import draw_deep
from tests.helpers.labels import annotated, block, brush, choice, rectangle, region
from tests.helpers.references import png

MASK = block(8, 12, 16, 20)


def label(backend: Backend, number: int, result: Any, grey: int | None = None, **more: Any) -> None:
    """Annotate task `number`, whose image has a grey value of its own."""
    url = backend.draw(f"{number}.png", grey=grey or 40 + number)
    data = {"id": number, "data": {"image": url, "product": more.pop("product", "")}}
    backend.webhook("ANNOTATION_CREATED", annotation=annotated(number, result, **more), task=data)


def build(backend: Backend) -> TrainingSet:
    """The training set of project 1, its images fetched as far as they can be; Label Studio itself is away."""
    backend.services.connections.label_studio("1")._transport._sleep = lambda seconds: None
    backend.sync()
    return build_training_set("1", backend.services)


@pytest.fixture
def backend(make_backend: Callable[..., Backend]) -> Backend:
    backend = make_backend(product_field="product")
    backend.setup()
    return backend


def test_16_bit_images_of_a_product_are_read_alike(backend: Backend) -> None:
    """Whichever of them came first, and as the clicks on them are; the fingerprint tells one scale from another."""
    for number, grey in enumerate((3000, 12000, 2000), 1):
        url = draw_deep(backend, f"{number}.png", grey)
        data = {"id": number, "data": {"image": url, "product": "nut"}}
        backend.webhook("ANNOTATION_CREATED", annotation=annotated(number, [choice("defective")]), task=data)
    found = build(backend)
    assert sorted(int(image.load()[0, 0, 0]) for image in found.images) == [
        round(grey * 255 / 16383) for grey in (2000, 3000, 12000)
    ]
    assert {key_of("1", image).white for image in found.images} == {16383}
    with backend.services.store.database.write() as connection:
        connection.exec_driver_sql("UPDATE white_points SET white = 65535")
    again = build(backend)
    assert {key_of("1", image).white for image in again.images} == {65535}
    assert again.fingerprint != found.fingerprint


def test_16_bit_references_decide_for_labelled_images(backend: Backend) -> None:
    url = draw_deep(backend, "1.png", 3000)
    data = {"id": 1, "data": {"image": url, "product": "nut"}}
    backend.webhook("ANNOTATION_CREATED", annotation=annotated(1, [choice("defective")]), task=data)
    draw_deep(backend, "good.png", 12000)
    good = (backend.images / "good.png").read_bytes()
    backend.services.references.add("1", good, source="upload", name="good.png", product="nut")
    backend.work()
    found = build(backend)
    assert int(found.images[0].load()[0, 0, 0]) == round(3000 * 255 / 16383)
    assert int(found.references["nut"][0]()[0, 0, 0]) == round(12000 * 255 / 16383)


def by_grey(found: TrainingSet) -> dict[int, dict[str, str]]:
    """Grey value of the image -> its labels."""
    return {
        int(image.load()[0, 0, 0]): {name: one.kind for name, one in image.labels.items()}
        for image in found.images
    }


def test_labelled_images_and_references_by_product(backend: Backend) -> None:
    label(backend, 1, [brush(MASK), rectangle(1, 1, 9, 9, "dent", "b")], product="nut")
    label(backend, 2, [choice("normal")], product="nut")
    label(backend, 3, [choice("defective")])
    backend.services.references.add("1", png(200), source="upload", name="good.png", product="bolt")
    backend.work()
    found = build(backend)
    assert found.skipped == []
    assert by_grey(found) == {41: {"dent": "box", "scratch": "mask"}, 42: {}, 43: {"defect": "tag"}}
    assert {image.load()[0, 0, 0]: image.product for image in found.images} == {41: "nut", 42: "nut", 43: ""}
    assert [image.name for image in found.images] == sorted(image.name for image in found.images)
    greys = {product: [int(load()[0, 0, 0]) for load in loads] for product, loads in found.references.items()}
    assert greys == {"nut": [42], "bolt": [200]}  # the normal image is a reference as well
    (scratched,) = [image for image in found.images if "scratch" in image.labels]
    np.testing.assert_array_equal(scratched.labels["scratch"].target > 0, MASK)
    assert scratched.load().shape == (*MASK.shape, 3)
    assert "rust" not in scratched.labels
    assert len(scratched.labels) == 2


def test_an_accepted_mask_brings_its_probability_map(backend: Backend) -> None:
    url = backend.draw("1.png", [(20, 20, 200)])
    mask = backend.click(task(url, 1), [point(20, 20)]).get_json()["results"][0]["result"][0]
    backend.services.answers.flush()
    data = {"id": 1, "data": {"image": url}}
    backend.webhook("ANNOTATION_CREATED", annotation=annotated(1, [mask]), task=data)
    (image,) = build(backend).images
    assert image.labels["scratch"].kind == "clicked"
    backend.draw("1.png", [(20, 20, 200)], grey=17)  # another image in the place of the one that was clicked
    backend.services.store.labels.not_fetched("1", 1, url, "")
    (image,) = build(backend).images
    assert image.labels["scratch"].kind == "mask"


def test_the_same_data_has_the_same_fingerprint_and_other_data_another(
    backend: Backend, tmp_path: Path, make_backend: Callable[..., Backend]
) -> None:
    """Reliability row 25."""
    for number in (1, 2):
        label(backend, number, [brush(MASK)])
    backend.services.references.add("1", png(200), source="upload", name="good.png")
    backend.work()
    first = build(backend)
    assert build(backend).fingerprint == first.fingerprint

    again = Backend(
        _folder(tmp_path / "again"), product_field="product"
    )  # other ids, other order, another place
    again.setup()
    again.services.references.add("1", png(200), source="upload", name="other name.png")
    again.work()
    for number, grey in ((12, 42), (11, 41)):
        label(again, number, [brush(MASK, name=f"r{number}")], grey=grey)
    assert build(again).fingerprint == first.fingerprint
    again.close()

    label(backend, 2, [brush(block(8, 12, 16, 21))], second=1)
    second = build(backend)
    assert second.fingerprint != first.fingerprint
    label(backend, 2, [rectangle(1, 1, 9, 9)], second=2)
    assert build(backend).fingerprint != second.fingerprint


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


# --- what is left out


def test_label_removed_from_the_config(backend: Backend) -> None:
    """Its regions are left out and named; what else is labelled in the image stays."""
    label(backend, 1, [brush(MASK), brush(MASK, "dent", "b")])
    label(backend, 2, [brush(MASK)])
    assert len(build(backend).images) == 2
    backend.setup(config=CONFIG.replace('<Label value="scratch"/>', ""))
    found = build(backend)
    assert by_grey(found) == {41: {"dent": "mask"}}
    sentence = 'The label "scratch" is no longer in the labeling config; its regions were left out.'
    assert found.skipped == [f"Task 2: {sentence}", f"Task 1: {sentence}"]
    assert backend.services.labels.counts("1") == {"dent": 1}


def test_deleted_task(backend: Backend) -> None:
    """It is out of the next training, and a training that has begun can still read its image."""
    label(backend, 1, [brush(MASK)])
    label(backend, 2, [brush(MASK)])
    running = build(backend)
    backend.webhook("TASKS_DELETED", tasks=[{"id": 1}])
    assert by_grey(build(backend)).keys() == {42}
    assert by_grey(running).keys() == {41, 42}


def test_corrupt_image(backend: Backend, tmp_path: Path) -> None:
    """A damaged copy is left out in words and fetched again; an image that never was one is only left out."""
    label(backend, 1, [brush(MASK)])
    label(backend, 2, [brush(MASK)])
    (tmp_path / "images" / "2.png").write_bytes(b"no image")
    found = build(backend)
    assert by_grey(found).keys() == {41}
    assert found.skipped[0].startswith("Task 2: It was left out: ")
    copy = next((backend.settings.data_dir / "projects" / "1" / "labels").glob("*"))
    copy.write_bytes(copy.read_bytes()[:-10])
    with pytest.raises(ImageError, match="damaged"):
        found.images[0].load()
    assert "Task 1: It was left out: The kept copy of the image is damaged." in build(backend).skipped
    assert by_grey(build(backend)).keys() == {41}


def test_corrupt_reference(backend: Backend) -> None:
    """Reliability row 21: a damaged or missing reference is named, and the others are used."""
    rows = [
        backend.services.references.add("1", png(grey), source="upload", name=f"{grey}.png")
        for grey in (100, 110, 120)
    ]
    backend.work()
    backend.services.references.path(rows[0]).write_bytes(b"no image")
    backend.services.references.path(rows[1]).unlink()
    found = build(backend)
    assert [int(load()[0, 0, 0]) for load in found.references[""]] == [120]
    assert len(found.skipped) == 2
    assert any("100.png was left out: The kept copy of the image is damaged." in s for s in found.skipped)


def test_malformed_masks_are_named(backend: Backend) -> None:
    """Reliability row 7."""
    label(backend, 1, [region("brushlabels", "scratch", format="rle", rle=[1, 2, 3])])
    found = build(backend)
    assert by_grey(found) == {41: {"scratch": "tag"}}
    assert "Task 1: A region labelled" in found.skipped[0]


def test_annotations_that_say_nothing(backend: Backend) -> None:
    label(backend, 1, [brush(block(0, 0, 0, 0))])
    label(backend, 2, [region("keypointlabels", "scratch", x=1, y=1)])
    label(backend, 3, [brush(MASK)], was_cancelled=True)
    found = build(backend)
    assert found.images == []
    assert [sentence[:7] for sentence in found.skipped] == ["Task 2:", "Task 1:"]


def test_one_file_in_two_tasks_counts_once_with_the_newest_label(backend: Backend) -> None:
    label(backend, 1, [brush(MASK)], grey=50, second=5)
    label(backend, 2, [rectangle(1, 1, 9, 9)], grey=50, second=1)
    found = build(backend)
    assert by_grey(found) == {50: {"scratch": "mask"}}
    assert "same file as that of a task labelled later" in found.skipped[0]


def test_nothing_labelled_is_an_empty_set(backend: Backend) -> None:
    found = build(backend)
    assert (found.images, found.references, found.skipped) == ([], {}, [])
    assert len(found.fingerprint) == 64


def test_an_image_larger_than_its_working_frame_is_labelled_in_its_own_pixels(backend: Backend) -> None:
    """The frames differ: image 4 times as large as the picture that the mask was painted on."""
    pixels = np.full((192, 256, 3), 77, np.uint8)
    cv2.imwrite(str(backend.images / "large.png"), pixels)
    data = {"id": 1, "data": {"image": "/data/local-files/?d=large.png"}}
    backend.webhook("ANNOTATION_CREATED", annotation=annotated(1, [brush(MASK)]), task=data)
    (image,) = build(backend).images
    assert image.labels["scratch"].target.shape == image.load().shape[:2] == (192, 256)
    np.testing.assert_array_equal(
        image.labels["scratch"].target > 0, MASK.repeat(4, axis=0).repeat(4, axis=1)
    )


def test_an_image_of_more_than_the_working_size_is_trained_on_as_a_scaled_copy(tmp_path: Path) -> None:
    """Reliability row 33: what clicks and proposals see stays whole, and all others are trained on as they are."""
    assert working_size(3000, 4000) == (3000, 4000)
    height, width = working_size(10_900, 10_900)
    assert height * width <= MOST_PIXELS and height == width
    pixels = np.zeros((3000, 5000, 3), np.uint8)
    file = tmp_path / "large.png"
    cv2.imwrite(str(file), pixels)
    kept = KeptImage(hashlib.sha256(file.read_bytes()).hexdigest(), lambda: file, 120)
    assert kept().shape[:2] == working_size(3000, 5000)
    assert kept.whole().shape == (3000, 5000, 3)
    assert whole(LabelledImage("a", kept, {}))().shape == (3000, 5000, 3)
