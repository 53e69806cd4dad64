"""16-bit values to 8 bits, and the white points that suit an image."""

from __future__ import annotations

import numpy as np
import pytest

from adclick_runtime.images.deep import DeepImage


def image(values: list[int]) -> DeepImage:
    return DeepImage(np.array([values], np.uint16))


@pytest.mark.parametrize(
    ("brightest", "white"),
    [(0, 4095), (255, 4095), (4095, 4095), (4096, 8191), (16383, 16383), (16384, 32767), (65535, 65535)],
)
def test_the_white_point_of_an_image_covers_its_values(brightest: int, white: int) -> None:
    """12 bits at least, or the noise of a dark field would be made light."""
    assert image([100, brightest]).brightness == (white, white)


def test_reflections_and_hot_pixels_do_not_count() -> None:
    values = [3000] * 990 + [60000] * 10
    assert image(values).brightness.white == 4095
    assert image([*values, 60000]).brightness == (65535, 4095)


def test_an_image_is_worth_looking_at_while_three_quarters_are_not_white() -> None:
    assert image([3000] * 75 + [9000] * 25).brightness.least == 4095
    assert image([3000] * 74 + [9000] * 26).brightness.least == 16383


def test_small_values_are_light_in_radiographs() -> None:
    shown = DeepImage(np.array([[0, 2048, 4095, 9000]], np.uint16), zero_is_white=True).shown(4095)
    assert shown[0, :, 0].tolist() == [255, 127, 0, 0]
