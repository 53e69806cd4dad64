"""Which source of masks serves: what counts, and who wins when it is close."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_backend.training.promotion import Look
from adclick_backend.training.source_trial import SPOILT, Tried, choose_source, try_sources
from model.labels.labelled import LabelledImage, painted

GREY = np.full((20, 20, 3), 90, np.uint8)


def image(name: str, mask: NDArray[np.bool_] | None = None) -> LabelledImage:
    return LabelledImage(name, lambda: GREY, {} if mask is None else {"defect": painted(mask)})


def square(side: int) -> NDArray[np.bool_]:
    mask = np.zeros((20, 20), bool)
    mask[:side, :side] = True
    return mask


def says(masks: Mapping[str, NDArray[np.bool_]]) -> Look:
    """A source that marks these masks, by the name of the image."""
    return lambda seen: {"defect": masks.get(seen.name, np.zeros((20, 20), bool)).astype(np.float32)}


def tried(name: str, worth: float) -> Tried:
    return Tried(name, {}, {"drawn": worth}, worth, 1.0)


def test_labelled_images_count_three_times_as_much_as_drawn_defects_and_as_good_images() -> None:
    labelled, drawn, good = image("labelled", square(10)), image("drawn", square(10)), image("good")
    half_spoilt = np.zeros((20, 20), bool)
    half_spoilt.flat[: round(SPOILT * 400 / 2)] = True
    looks = {
        "trained": says({"labelled": square(10)}),
        "residual": says({"drawn": square(10), "good": half_spoilt}),
        "packaged": says({"labelled": square(5), "drawn": square(10), "good": square(20)}),
    }
    shares: list[float] = []
    one, two, three = try_sources(looks, [labelled], [drawn], [good], shares.append)
    assert one.worth == pytest.approx((3 * 1 + 0 + 1) / 5)
    assert two.worth == pytest.approx((0 + 1 + 0.5) / 5)
    assert three.worth == pytest.approx((3 * 0.25 + 1 + 0) / 5)
    assert one.metrics == {
        "iou": 0.5,
        "ap": pytest.approx(0.625),
        "false_area": 0.0,
        "labelled": 1.0,
        "drawn": 0.0,
    }
    assert shares == sorted(shares) and 0.5 < shares[-1] < 1


def test_without_labels_drawn_defects_and_good_images_count_alike() -> None:
    (one,) = try_sources(
        {"residual": says({"good": square(20)})}, [], [image("drawn", square(4))], [image("good")]
    )
    assert one.worth == 0.0
    (one,) = try_sources({"residual": says({"drawn": square(4)})}, [], [image("drawn", square(4))], [])
    assert one.worth == 1.0


@pytest.mark.parametrize(
    ("worths", "types", "serves"),
    [
        ({"trained": 0.5, "packaged": 0.505, "invad-tiny": 0.509}, 1, "trained"),
        ({"trained": 0.5, "packaged": 0.52, "invad-tiny": 0.525}, 1, "packaged"),
        ({"trained": 0.5, "packaged": 0.4, "invad-tiny": 0.53}, 1, "invad-tiny"),
        ({"trained": 0.5, "packaged": 0.4, "invad-tiny": 0.53}, 2, "trained"),
        ({"trained": 0.5, "packaged": 0.4, "invad-tiny": 0.56}, 2, "invad-tiny"),
        ({"trained": math.nan, "packaged": 0.4, "invad-tiny": math.nan}, 1, "packaged"),
        ({"trained": math.nan, "packaged": math.nan}, 1, "trained"),
    ],
)
def test_a_source_has_to_lead_those_before_it(worths: Mapping[str, float], types: int, serves: str) -> None:
    """The trained network alone tells types apart, and where there are several that is worth something."""
    found = choose_source([tried(*row) for row in worths.items()], [image("a")], types, held_out=True)
    assert found.serves == serves
    assert [row["name"] for row in found.as_json()["rows"]] == list(worths)


def test_a_lead_that_may_be_chance_is_none() -> None:
    """Both lead by 0.1 on average: the one in every image, the other in two of four."""
    before = Tried("trained", {}, {}, 0.5, 1.0, [(1.0, [0.5, 0.5, 0.5, 0.5])])
    steady = Tried("residual", {}, {}, 0.6, 1.0, [(1.0, [0.6, 0.58, 0.62, 0.6])])
    lucky = Tried("packaged", {}, {}, 0.6, 1.0, [(1.0, [0.9, 0.9, 0.3, 0.3])])
    assert choose_source([before, steady], [image("a")], 1, held_out=True).serves == "residual"
    found = choose_source([before, lucky], [image("a")], 1, held_out=True)
    assert found.serves == "trained"
    assert "The packaged network did not do so much better that it counts" in found.reason


def test_the_reason_has_the_figures_and_says_when_they_flatter() -> None:
    one = Tried("invad-tiny+residual", {}, {"labelled": 0.61, "drawn": 0.5, "false_area": 0.001}, 0.6, 9.0)
    found = choose_source([tried("trained", 0.1), one], [image("a")], 1, held_out=False)
    assert found.reason == (
        "Of 2 sources of masks before the first click, tried on 1 images, InvAD and the residual did best: IoU 61.0% "
        "in labelled images, IoU 50.0% of drawn defects, 0.1% of good images marked. Some of them were trained on "
        "these images as well, for there are few."
    )


def test_maps_that_are_no_numbers_have_no_worth() -> None:
    """Reliability row 20."""

    def nothing(_: LabelledImage) -> Mapping[str, NDArray[np.float32]]:
        return {"defect": np.full((20, 20), np.nan, np.float32)}

    (one,) = try_sources({"invad-tiny": nothing}, [], [image("drawn", square(4))], [image("good")])
    assert math.isnan(one.worth)
    assert choose_source([one], [], 1, held_out=True).as_json()["rows"][0]["worth"] is None
