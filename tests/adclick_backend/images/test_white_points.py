"""All 16-bit images of a product are read alike: clicks, references, training, whatever comes later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adclick_backend.images.task_images import LoadedImage
from adclick_backend.images.white_points import WhitePoints, white_of_files
from adclick_backend.store import Store
from tests.helpers.backend import HEIGHT, WIDTH, Backend, mask_of, point, square, task
from tests.helpers.deep import draw_deep, write_deep
from tests.helpers.image_files.picture import picture, saved


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def deep(brightest: int) -> LoadedImage:
    return LoadedImage(saved(np.array([[10, brightest]], np.uint16), "PNG"), 1)


EIGHT_BITS = LoadedImage(saved(picture(), "PNG"), 1)


def refer(store: Store, brightest: int, product: str = "", project: str = "1") -> int:
    """Add a reference and bring it in, as far as its white point goes; that white point."""
    image = deep(brightest)
    row = store.references.add(
        project, product=product, sha=image.sha256, source="upload", name=f"{brightest}.png", file="x.png"
    )
    white = WhitePoints(store).of_reference(project, product, image, row.name)
    store.references.settle(row, "ready", model_version="1")
    return white


# --- without references


@pytest.mark.parametrize(("first", "second"), [(3928, 4240), (4240, 3928)])
def test_two_images_of_one_product_have_one_window(store: Store, first: int, second: int) -> None:
    """The first decides, and it stays: after a restart, and for an image that is brighter by 8 %."""
    grey = [np.full((10, 10), value, np.uint16) for value in (first, second)]
    images = [LoadedImage(saved(pixels, "PNG"), 1) for pixels in grey]
    assert WhitePoints(store).of_image("1", "", images[0]) == (4095 if first < 4096 else 8191)
    white = store.white_points.get("1", "")
    assert white is not None
    if first < second:  # the whole image is brighter: it would be one white sheet
        assert WhitePoints(store).of_image("1", "", images[1]) == 8191
    else:
        assert WhitePoints(store).of_image("1", "", images[1]) == white.white


def test_a_brighter_part_of_an_image_changes_nothing(store: Store) -> None:
    points = WhitePoints(store)
    pixels = np.full((20, 20), 3900, np.uint16)
    assert points.of_image("1", "", LoadedImage(saved(pixels, "PNG"), 1)) == 4095
    pixels[:5] = 4212
    assert points.of_image("1", "", LoadedImage(saved(pixels, "PNG"), 1)) == 4095
    assert points.of_image("1", "", deep(10)) == 4095


def test_a_dark_first_image_does_not_spoil_the_rest(store: Store) -> None:
    """A cap on the lens of a 14-bit camera: the next image would be one white sheet."""
    points = WhitePoints(store)
    assert points.of_image("1", "", deep(60)) == 4095
    assert store.problems.latest("1") == []
    assert points.of_image("1", "", deep(15000)) == 16383
    assert points.of_image("1", "", deep(60)) == 16383
    (problem,) = store.problems.latest("1")
    assert "because an image that was opened is much brighter" in problem.sentence


def test_products_and_projects_have_their_own(store: Store) -> None:
    """reliability row 24: a 12-bit and a 14-bit camera, told apart by the product field."""
    points = WhitePoints(store)
    assert points.of_image("1", "left", deep(4000)) == 4095
    assert points.of_image("1", "right", deep(16000)) == 16383
    assert points.of_image("2", "left", deep(60000)) == 65535
    assert points.of_image("1", "left", deep(4000)) == 4095


def test_images_of_8_bits_have_none(store: Store) -> None:
    points = WhitePoints(store)
    assert points.of_image("1", "", EIGHT_BITS) == 0
    assert points.of_reference("1", "", EIGHT_BITS) == 0
    assert store.white_points.get("1", "") is None


# --- with references


def test_references_decide(store: Store) -> None:
    """Whatever was opened before them, and whatever is opened after."""
    points = WhitePoints(store)
    points.of_image("1", "", deep(60000))
    assert points.of_references("1", "") == 0
    assert refer(store, 4000) == 4095
    assert points.of_references("1", "") == 4095
    assert points.of_image("1", "", deep(60000)) == 4095
    assert points.of_reference("1", "", EIGHT_BITS) == 4095  # one name for all features of a bank


def test_a_brighter_reference_says_so_and_the_bank_is_prepared_again(store: Store) -> None:
    refer(store, 4000)
    refer(store, 3000)
    assert store.problems.latest("1") == []
    assert len(store.references.bank("1", "")) == 2
    assert refer(store, 16000) == 16383
    (problem,) = store.problems.latest("1")
    assert "are read with white at 16383 from now on, not at 4095" in problem.sentence
    assert "16000.png" in problem.sentence
    states = {row.name: row.state for row in store.references.of_project("1")}
    assert states == {"4000.png": "pending", "3000.png": "pending", "16000.png": "ready"}


def test_the_order_of_references_does_not_matter(store: Store) -> None:
    """reliability row 25."""
    for project, order in (("1", (4000, 9000, 15000)), ("2", (15000, 9000, 4000))):
        for brightest in order:
            refer(store, brightest, project=project)
    assert WhitePoints(store).of_references("1", "") == WhitePoints(store).of_references("2", "") == 16383


def test_it_stays_as_long_as_the_references_stay(store: Store) -> None:
    points = WhitePoints(store)
    refer(store, 4000)
    refer(store, 60000)
    bright, dark = sorted(store.references.of_project("1"), key=lambda row: row.name, reverse=True)
    store.references.remove("1", bright.id)
    assert points.of_references("1", "") == 65535
    store.references.remove("1", dark.id)
    assert points.of_references("1", "") == 0
    assert refer(store, 4000) == 4095


def test_a_reference_that_is_put_back_is_measured_again(store: Store) -> None:
    """The white point of its absence does not bind it, and a reference deleted for good takes it along as well."""
    refer(store, 60000)
    (row,) = store.references.of_project("1")
    store.references.remove("1", row.id)
    assert WhitePoints(store).of_image("1", "", deep(4000)) == 4095
    store.references.put_back("1", row.id)
    assert refer(store, 60000) == 65535
    with store.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM reference_images")
    assert store.white_points.get("1", "") is None


def test_other_products_keep_theirs(store: Store) -> None:
    refer(store, 4000, product="left")
    refer(store, 60000, product="right")
    store.references.remove("1", store.references.of_project("1")[0].id)
    assert WhitePoints(store).of_references("1", "left") == 0
    assert WhitePoints(store).of_references("1", "right") == 65535


def test_files_of_a_command_have_the_same_rule(tmp_path: Path) -> None:
    for number, brightest in enumerate((4000, 9000)):
        write_deep(tmp_path / f"{number}.png", np.full((4, 4), brightest, np.uint16))
    (tmp_path / "8.png").write_bytes(EIGHT_BITS.data)
    files = sorted(tmp_path.iterdir())
    assert white_of_files(files, max_megapixels=1) == 16383
    assert white_of_files([tmp_path / "8.png"], max_megapixels=1) == 0
    (tmp_path / "damaged.png").write_bytes(b"no image")
    assert white_of_files([*files, tmp_path / "damaged.png"], max_megapixels=1) == 16383


# --- in the backend


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    backend = Backend(tmp_path, product_field="product")
    backend.setup()
    yield backend
    backend.close()


def pixels_of(backend: Backend) -> dict[tuple[str, int], Any]:
    """(SHA-256, white point) -> pixels, of what the engine opened."""
    return {(key.sha, key.white): pixels for key, pixels in backend.engine._open.items()}


def test_clicks_see_the_square_in_both_images(backend: Backend) -> None:
    """12 bits, then brighter by 8 % in a part of it: the same grey is the same grey."""
    for number, (grey, name) in enumerate(((3434, "a.png"), (3706, "b.png")), 1):
        url = draw_deep(backend, name, grey, square=1100)
        answer = backend.click(task(url, number), [point(20, 16)])
        assert answer.status_code == 200
    shown = list(pixels_of(backend).values())
    assert [int(pixels[16, 20, 0]) for pixels in shown] == [68, 68]
    assert {white for _, white in pixels_of(backend)} == {4095}


def test_references_and_clicks_are_read_alike(backend: Backend) -> None:
    """One 14-bit reference: a dark image of the product is as dark as it is beside it."""
    reference = np.full((HEIGHT, WIDTH), 12000, np.uint16)
    write_deep(backend.images / "good.png", reference)
    backend.services.references.add(
        "1", (backend.images / "good.png").read_bytes(), source="upload", name="good.png"
    )
    backend.work()
    (key,) = backend.engine.encoded
    assert (key.white, backend.engine.encoded[key]) == (16383, round(12000 * 255 / 16383))
    url = draw_deep(backend, "dark.png", 3000, square=1100)
    assert backend.click(task(url), [point(20, 16)]).status_code == 200
    clicked, bank, _ = backend.engine.clicked[-1]
    assert (clicked.white, bank.white) == (16383, 16383)
    assert int(backend.engine._open[clicked][0, 0, 0]) == round(3000 * 255 / 16383)


def test_nothing_stale_is_left_when_the_white_point_changes(backend: Backend) -> None:
    """What was prepared with the old one has another name, in memory and on disk."""
    url = draw_deep(backend, "a.png", 3000, square=1100)
    backend.click(task(url), [point(20, 16)])
    before, bank_before, _ = backend.engine.clicked[-1]
    for number, brightest in enumerate((4000, 12000)):
        data = saved(np.full((HEIGHT, WIDTH), brightest, np.uint16), "PNG")
        backend.services.references.add("1", data, source="upload", name=f"{number}.png")
        backend.work()
    backend.click(task(url), [point(20, 16)])
    after, bank_after, _ = backend.engine.clicked[-1]
    assert (before.white, after.white) == (4095, 16383)
    assert before.name != after.name
    assert bank_before.fingerprint != bank_after.fingerprint
    assert len(bank_after.references) == 2
    assert {key.white for key in backend.engine.encoded} == {4095, 16383}
    assert all(bank_after.key(sha) in backend.engine.encoded for sha in bank_after.references)


def test_a_bank_of_an_earlier_release_is_prepared_again_at_the_start(backend: Backend) -> None:
    data = saved(np.full((HEIGHT, WIDTH), 12000, np.uint16), "PNG")
    backend.services.references.add("1", data, source="upload", name="old.png")
    backend.work()
    with backend.services.store.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM white_points")
    assert backend.services.references.bank("1").white == 0
    backend.services.keeper._take_up()
    backend.work()
    assert backend.services.references.bank("1").white == 16383


def test_a_bank_of_8_bits_is_left_alone(backend: Backend) -> None:
    """The names and fingerprints of 8-bit images are what they were, so their caches stay good."""
    backend.services.references.add("1", EIGHT_BITS.data, source="upload", name="good.png")
    backend.work()
    bank = backend.services.references.bank("1")
    (sha,) = bank.references
    assert (bank.white, bank.key(sha).name) == (0, sha)
    backend.click(task(draw_deep(backend, "a.png", 3000, square=1100)), [point(20, 16)])
    assert backend.services.references.bank("1").fingerprint == bank.fingerprint
    backend.services.keeper._take_up()
    assert backend.services.store.references.next_pending() is None


def test_the_mask_is_the_square_whatever_the_depth(backend: Backend) -> None:
    answer = backend.click(task(draw_deep(backend, "a.png", 3434, square=1100)), [point(20, 16)])
    (region,) = answer.json["results"][0]["result"]
    assert np.array_equal(mask_of(region), square(20, 16))
