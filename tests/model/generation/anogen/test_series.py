from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np
import pytest

from model.generation.anogen import small
from model.generation.anogen.examples import Example
from model.generation.anogen.generator import GeneratorError, Learned, Painted
from model.generation.anogen.series import NOTHING, Generated, generate
from model.generation.anogen.small import SmallGenerator
from model.generation.anogen.window import Box, Image
from tests.helpers.tiny_painter import nut, spot_on, spotted, tiny_generator

EXAMPLES = [spot_on(0), spot_on(1)]
HOSTS = [nut(seed) for seed in range(10, 14)]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> SmallGenerator:
    return tiny_generator(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def learned(generator: SmallGenerator) -> Learned:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "STEPS", 1)
        return generator.learn(EXAMPLES)


@pytest.fixture(scope="module")
def series(generator: SmallGenerator, learned: Learned) -> list[Generated]:
    return list(generate(generator, learned, EXAMPLES, HOSTS, "spot", 8))


def same(one: Generated, other: Generated) -> bool:
    return (
        np.array_equal(one.pixels, other.pixels)
        and np.array_equal(one.mask, other.mask)
        and (one.box, one.type, one.host, one.seed, one.number)
        == (other.box, other.type, other.host, other.seed, other.number)
    )


def test_every_picture_is_its_host_outside_of_the_box(series: list[Generated]) -> None:
    assert [picture.number for picture in series] == list(range(8))
    for picture in series:
        outside = ~picture.box.mask((120, 160))
        assert np.array_equal(picture.pixels[outside], HOSTS[picture.host][outside])
        assert picture.mask.any() and not picture.mask[outside].any() and picture.type == "spot"


def test_the_good_images_take_turns_and_no_two_pictures_are_alike(series: list[Generated]) -> None:
    assert sorted(picture.host for picture in series) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len({picture.seed for picture in series}) == len({picture.box for picture in series}) == 8


@pytest.mark.parametrize("number", [0, 5])
def test_a_picture_can_be_made_again_alone(
    generator: SmallGenerator, learned: Learned, series: list[Generated], number: int
) -> None:
    (again,) = generate(generator, learned, EXAMPLES, HOSTS, "spot", number + 1, start=number)
    assert same(again, series[number])
    painted = generator.paint(HOSTS[again.host], again.box, learned, again.seed)
    assert painted is not None and np.array_equal(painted.pixels, again.pixels), (
        "host, box and seed are enough"
    )


def test_a_series_that_was_stopped_goes_on_as_if_it_had_not_been(
    generator: SmallGenerator, learned: Learned, series: list[Generated]
) -> None:
    first = list(islice(generate(generator, learned, EXAMPLES, HOSTS, "spot", 5), 2))
    rest = list(generate(generator, learned, EXAMPLES, HOSTS, "spot", 5, start=2))
    assert all(same(one, other) for one, other in zip([*first, *rest], series, strict=False))
    assert not list(generate(generator, learned, EXAMPLES, HOSTS, "spot", 5, start=5))


@pytest.mark.parametrize("other", [{"type": "hole"}, {"seed": 1}])
def test_another_type_and_another_seed_are_another_series(
    generator: SmallGenerator, learned: Learned, series: list[Generated], other: dict[str, int | str]
) -> None:
    name, seed = str(other.get("type", "spot")), int(other.get("seed", 0))
    (picture,) = generate(generator, learned, EXAMPLES, HOSTS, name, 1, seed=seed)
    assert picture.seed != series[0].seed and picture.box != series[0].box


class Fickle:
    """Paints a dot in the box, when it feels like it."""

    name = "fickle"

    def __init__(self, feels: Callable[[int], bool]):
        self.feels, self.asked = feels, 0

    def learn(
        self,
        examples: Sequence[Example],
        *,
        seed: int = 0,
        report: Callable[[float, float], None] = lambda share, loss: None,
    ) -> Learned:
        return Learned(np.zeros(1, np.float32), self.name, 0.0, 1, 0.0, len(examples))

    def paint(
        self, normal: Image, box: Box, learned: Learned, seed: int, go_on: Callable[[], None] = lambda: None
    ) -> Painted | None:
        go_on()
        self.asked += 1
        return Painted(normal, box, box.mask(normal.shape[:2])) if self.feels(self.asked) else None


def test_a_box_in_which_nothing_comes_out_is_followed_by_another_one() -> None:
    fickle = Fickle(lambda asked: asked % 3 == 0)
    found = list(generate(fickle, fickle.learn(EXAMPLES), EXAMPLES, HOSTS, "spot", 3))
    assert [picture.number for picture in found] == [0, 1, 2] and fickle.asked == 9


def test_a_number_on_which_nothing_comes_out_is_left_out() -> None:
    fickle = Fickle(lambda asked: asked > 4)
    found = list(generate(fickle, fickle.learn(EXAMPLES), EXAMPLES, HOSTS, "spot", 4))
    assert [picture.number for picture in found] == [1, 2, 3]


def test_when_nothing_comes_out_at_all_it_is_said() -> None:
    fickle = Fickle(lambda asked: False)
    with pytest.raises(GeneratorError, match=f"On {NOTHING} images in a row, nothing came out for 'spot'"):
        list(generate(fickle, fickle.learn(EXAMPLES), EXAMPLES, HOSTS, "spot", 100))
    assert fickle.asked == 3 * NOTHING


def test_without_a_good_image_nothing_can_be_painted() -> None:
    fickle = Fickle(lambda asked: True)
    with pytest.raises(GeneratorError, match="mark at least one image as free of defects"):
        list(generate(fickle, fickle.learn(EXAMPLES), EXAMPLES, [], "spot", 1))


def filling() -> tuple[Image, Example]:
    """A product that fills most of its image, and a defect on it that is larger than a nut."""
    large = np.full((120, 160, 3), 40, np.uint8)
    large[20:100, 20:140] = (150, 100, 60)
    return large, spotted(large, (80, 60), (55, 36))


def test_a_type_without_a_place_is_said_with_an_image() -> None:
    fickle, (_, whole) = Fickle(lambda asked: True), filling()
    said = r"On 3 images in a row, there was no place for a box of 'spot', .* good image \d: .* Check these labels"
    with pytest.raises(GeneratorError, match=said):
        list(generate(fickle, fickle.learn([whole]), [whole], HOSTS, "spot", 9))
    assert fickle.asked == 0


def test_a_good_image_without_a_place_is_passed_over() -> None:
    fickle, (large, whole) = Fickle(lambda asked: True), filling()
    found = list(generate(fickle, fickle.learn([whole]), [whole], [large, large, large, HOSTS[0]], "spot", 8))
    assert len(found) == 6 and {picture.host for picture in found} == {0, 1, 2}


def test_a_single_labelled_image_is_enough(generator: SmallGenerator, learned: Learned) -> None:
    assert len(list(generate(generator, learned, EXAMPLES[:1], HOSTS[:1], "spot", 2))) == 2


def test_a_series_can_be_ended_within_a_picture(generator: SmallGenerator, learned: Learned) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(generate(generator, learned, EXAMPLES, HOSTS, "spot", 1, go_on=stop))


class Watched(Sequence[Image]):
    """Good images that count how often they are read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return 200

    def __getitem__(self, place: int) -> Image:  # type: ignore[override]
        self.read.append(place)
        return HOSTS[place % 4]


def test_of_many_good_images_only_some_are_read() -> None:
    hosts, fickle = Watched(), Fickle(lambda asked: True)
    assert len(list(generate(fickle, fickle.learn(EXAMPLES), EXAMPLES, hosts, "spot", 5))) == 5
    assert len(hosts.read) == 12 + 5
