"""The preset small with a few thousand random weights: what it paints is noise, where it paints is exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.generation.anogen import small
from model.generation.anogen.checkpoint import PACKAGED
from model.generation.anogen.examples import Example
from model.generation.anogen.generator import GeneratorError, Learned
from model.generation.anogen.small import SmallGenerator
from model.generation.anogen.window import Box
from tests.helpers.tiny_painter import cloth, nut, spot_on, tiny_generator

BOX = Box(40, 30, 90, 80)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> SmallGenerator:
    return tiny_generator(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def learned(generator: SmallGenerator) -> Learned:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "STEPS", 2)
        return generator.learn([spot_on(0)])


def test_what_is_learned_says_from_what_and_by_whom(
    generator: SmallGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small, "STEPS", 3)
    told: list[tuple[float, float]] = []
    learned = generator.learn([spot_on(0), spot_on(1)], report=lambda *how: told.append(how))
    assert (learned.generator, learned.steps, learned.examples) == (generator.name, 3, 2)
    assert learned.vector.shape == (8 + small.COLOURS,) and learned.vector.dtype == np.float32
    assert [round(share, 2) for share, _ in told] == [0.33, 0.67, 1.0]
    assert learned.loss == told[-1][1] > 0


def test_learning_lowers_the_loss(generator: SmallGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the same crops and the same noise with the first guess, which nothing moves."""
    monkeypatch.setattr(small, "BATCH", 4)
    monkeypatch.setattr(small, "STEPS", 30)
    after = generator.learn([spot_on(0)])
    monkeypatch.setattr(small, "RATE", 0.0)
    before = generator.learn([spot_on(0)])
    assert not np.array_equal(before.vector, after.vector)
    assert after.loss < before.loss


def test_the_same_seed_learns_the_same(generator: SmallGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small, "STEPS", 2)
    first, again, other = (generator.learn([spot_on(0)], seed=seed) for seed in (0, 0, 2**70))
    assert np.array_equal(first.vector, again.vector) and not np.array_equal(first.vector, other.vector)


def test_learning_can_be_ended(generator: SmallGenerator) -> None:
    def stop(share: float, loss: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generator.learn([spot_on(0)], report=stop)


def test_labels_without_a_visible_defect_are_refused(generator: SmallGenerator) -> None:
    with pytest.raises(GeneratorError, match="None of the labelled defects has a mask of twelve pixels"):
        generator.learn([Example(cloth(0), np.zeros((120, 160), bool))])


def test_a_mask_that_fills_its_image_can_be_learned(
    generator: SmallGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small, "STEPS", 1)
    assert generator.learn([Example(cloth(0), np.ones((120, 160), bool))]).examples == 1


def test_outside_of_the_box_the_picture_is_the_good_one_to_the_last_bit(
    generator: SmallGenerator, learned: Learned
) -> None:
    normal = nut(3)
    before = normal.copy()
    painted = generator.paint(normal, BOX, learned, 7)
    assert painted is not None and painted.box == BOX
    outside = ~BOX.mask((120, 160))
    assert np.array_equal(painted.pixels[outside], normal[outside])
    assert np.array_equal(normal, before), "the good image itself stays"
    assert painted.mask.any() and not (painted.mask & outside).any()
    assert np.abs(painted.pixels.astype(int) - normal)[painted.mask].max(1).mean() >= small.SEEN
    assert painted.pixels.dtype == np.uint8 and painted.mask.dtype == bool


def test_the_same_seed_paints_the_same_picture_and_another_one_does_not(
    generator: SmallGenerator, learned: Learned
) -> None:
    first, again, other = (generator.paint(nut(3), BOX, learned, seed) for seed in (7, 7, 8))
    assert first is not None and again is not None and other is not None
    assert np.array_equal(first.pixels, again.pixels) and np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.pixels, other.pixels)


def test_a_defect_on_a_picture_without_colours_has_none(generator: SmallGenerator, learned: Learned) -> None:
    grey = np.repeat(nut(3)[..., :1], 3, axis=2)
    painted, coloured = (generator.paint(normal, BOX, learned, 7) for normal in (grey, nut(3)))
    assert painted is not None and coloured is not None
    assert not np.ptp(painted.pixels, axis=2).any()
    assert np.ptp(coloured.pixels.astype(int) - nut(3), axis=2).max() > 20


def test_nothing_is_jagged_at_the_edge_of_the_box(generator: SmallGenerator, learned: Learned) -> None:
    """The outermost pixels of the box change by at most a third of what is painted there."""
    normal = np.full((200, 200, 3), 120, np.uint8)
    painted = generator.paint(normal, BOX, learned, 1)
    assert painted is not None
    changed = np.abs(painted.pixels.astype(int) - 120).max(2)[BOX.top : BOX.bottom, BOX.left : BOX.right]
    edge = max(changed[0].max(), changed[-1].max(), changed[:, 0].max(), changed[:, -1].max())
    assert edge <= 135 / 3 + 1 and changed[5:-5, 5:-5].max() > edge


def test_at_the_edge_of_the_image_a_defect_does_not_fade(generator: SmallGenerator, learned: Learned) -> None:
    normal = np.full((120, 160, 3), 120, np.uint8)
    painted = [generator.paint(normal, Box(0, 0, 60, 60), learned, seed) for seed in range(4)]
    changes = [np.abs(one.pixels.astype(int) - 120).max(2) for one in painted if one is not None]
    assert max(change[0, :50].max() / change[1:10, :50].max() for change in changes) > 1 / 2


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_box_may_lie_anywhere_in_an_image_of_any_shape(
    generator: SmallGenerator, learned: Learned, data: st.DataObject
) -> None:
    height, width = data.draw(st.integers(40, 900)), data.draw(st.integers(40, 900))
    left, top = data.draw(st.integers(0, width - 2)), data.draw(st.integers(0, height - 2))
    box = Box(left, top, data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height)))
    normal = cloth(0, (height, width))
    painted = generator.paint(normal, box, learned, data.draw(st.integers(0, 5)))
    if painted is not None:
        outside = ~box.mask((height, width))
        assert np.array_equal(painted.pixels[outside], normal[outside])
        assert painted.mask.shape == (height, width) and not painted.mask[outside].any()


def test_nothing_that_can_be_seen_is_no_picture(
    generator: SmallGenerator, learned: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(small, "SEEN", 256.0)
    assert generator.paint(nut(3), BOX, learned, 1, go_on=lambda: asked.append(1)) is None
    assert len(asked) == small.TRIES * generator.steps


def test_what_another_generator_learned_is_refused(generator: SmallGenerator, learned: Learned) -> None:
    other = replace(learned, generator="tiny-2")
    with pytest.raises(
        GeneratorError, match=f"was learned by tiny-2, and {generator.name} paints: learn it again"
    ):
        generator.paint(nut(3), BOX, other, 1)


def test_painting_can_be_ended(generator: SmallGenerator, learned: Learned) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generator.paint(nut(3), BOX, learned, 1, go_on=stop)


def test_the_generator_that_ships_paints_and_is_small() -> None:
    assert PACKAGED.stat().st_size < 12_000_000
    found = SmallGenerator(steps=2)
    vector = np.ones(found.painter.denoiser.config.vector, np.float32)
    look = Learned(np.append(vector, np.eye(3, dtype=np.float32)), found.name, 0.0, 0, 0.0, 1)
    painted = [found.paint(nut(3), BOX, look, seed) for seed in range(4)]
    assert any(one is not None for one in painted)
