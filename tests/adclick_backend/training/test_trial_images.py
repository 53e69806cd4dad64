"""The images that sources of masks are tried on: kept from every training, and the same every time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from adclick_backend.errors import ImageError
from adclick_backend.training.holdout import Split
from adclick_backend.training.training_set import KeptImage, TrainingSet
from adclick_backend.training.trial_images import SIDE, choose_trial_images, draw_defects
from model.labels.labelled import LabelledImage
from tests.helpers.plates import labelled, plate


def references(count: int, product: str = "") -> list[KeptImage]:
    shas = sorted(hashlib.sha256(f"{product} {i}".encode()).hexdigest() for i in range(count))
    return [KeptImage(sha, lambda: Path("nowhere"), 1) for sha in shas]


def split(normal: list[LabelledImage] | None = None, held: bool = False) -> Split:
    return Split([], [labelled(1), labelled(2, "tag")], normal or [], held_out=held)


@pytest.mark.parametrize(("count", "kept"), [(4, 0), (5, 1), (8, 2), (12, 3), (30, 8), (5000, 8)])
def test_a_quarter_of_the_references_is_kept_from_the_training_where_enough_are_left(
    count: int, kept: int
) -> None:
    found = choose_trial_images(TrainingSet([], {"": references(count)}, [], ""), split())
    assert found.held_out == bool(kept)
    assert len(found.unseen) == kept
    assert len(found.good) == kept or not kept  # with few references they serve for both


def test_all_products_have_their_share() -> None:
    data = TrainingSet(
        [], {"a": references(40, "a"), "b": references(2, "b"), "c": references(40, "c")}, [], ""
    )
    products = [image.product for image in choose_trial_images(data, split()).good]
    assert products.count("a") >= 2 and products.count("c") >= 2 and "b" not in products


def test_normal_images_that_are_held_out_come_first_and_labelled_ones_count_when_unseen() -> None:
    own = references(8)
    held = LabelledImage(own[5].sha, plate, {})  # type: ignore[arg-type]
    found = choose_trial_images(TrainingSet([], {"": own}, [], ""), split([held], held=True))
    assert held.name in found.unseen
    assert [image.name for image in found.labelled] == [
        labelled(1).name
    ]  # where a defect is, a tag does not say
    assert choose_trial_images(TrainingSet([], {"": own}, [], ""), split([held])).labelled == []


def test_the_same_defects_are_drawn_every_time_and_on_small_copies() -> None:
    pixels = np.kron(plate(3), np.ones((16, 16, 1), np.uint8))
    good = [LabelledImage("ab" * 32, lambda: pixels, {}, "plates")]
    (drawn, hosts), (again, _) = draw_defects(good), draw_defects(good)
    assert len(drawn) == len({image.name for image in drawn}) == 6
    assert set(hosts.values()) == {"ab" * 32} and set(hosts) == {image.name for image in drawn}
    for one, other in zip(drawn, again, strict=True):
        assert max(one.load().shape) == SIDE
        assert one.product == "plates"
        assert np.array_equal(one.load(), other.load())
        assert one.labels["defect"].target.any() and not one.labels["defect"].target.all()


def test_a_good_image_that_cannot_be_read_is_left_out() -> None:
    def damaged() -> np.ndarray:  # type: ignore[type-arg]
        raise ImageError("The kept copy of the image is damaged.")

    assert draw_defects([LabelledImage("cd" * 32, damaged, {})]) == ([], {})
    assert draw_defects([]) == ([], {})
