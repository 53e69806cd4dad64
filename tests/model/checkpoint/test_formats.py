"""What was written before is read after an upgrade: a checkpoint of each format, and the digits that it gave then.

``tests/fixtures/checkpoints/format-0`` was written by the last release whose manifests had no number, format-1 by the
first one that wrote it, format-2 by the first one whose backbone may lie apart. Nothing in these folders ever changes;
a new format gets a new folder (`tests.helpers.patterned`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adclick_runtime.frame import Frame
from model.checkpoint.files import read_weights
from model.checkpoint.manifest import FORMAT, read_manifest
from model.clicks import Click
from model.interactive.lite import LiteConfig
from model.interactive.predictor import Predictor
from model.segmentation.inputs import inputs
from model.segmentation.network import SegConfig
from model.segmentation.predictor import SegPredictor, type_logits
from tests.helpers.patterned import WIDTHS, prepared_waves, unpack, waves, write_click, write_segmentation
from tests.helpers.plates import plate, stained

FIXTURES = Path(__file__).parents[2] / "fixtures" / "checkpoints"

SPREADS = (1.7391, 5.3636, 4.4669, 21.3421)
"""Of the features of a drawn plate, from the finest on."""

CLICK = {0: (1.9527, 1.8933, -1.0138), **dict.fromkeys((1, 2), (-0.7588, -1.8022, 3.8065))}
SEGMENTATION = {
    0: ((-2.1715, -0.1172, 5.5974), (-2.0467, -0.7750, 4.9988)),
    **dict.fromkeys((1, 2), ((-1.5456, 1.6955, -0.8102), (-1.8846, 1.5555, -0.8199))),
}
"""Logits at three places, by the release that wrote the checkpoint; of each type. In float32, whatever the machine."""

PLACES = ((0, 0), (20, 40), (63, 63))


def test_there_is_a_checkpoint_of_every_format() -> None:
    assert sorted(CLICK) == sorted(SEGMENTATION) == list(range(FORMAT + 1))


@pytest.mark.parametrize("number", CLICK)
@torch.inference_mode()
def test_a_click_network_answers_as_it_did_when_it_was_written(number: int, tmp_path: Path) -> None:
    weights = unpack(FIXTURES / f"format-{number}" / "click.safetensors.xz", tmp_path)
    assert read_manifest(weights).get("format", 0) == number
    predictor = Predictor(weights)
    assert (predictor.long_side, predictor.temperature) == (128, 0.5)
    image, reference = (predictor.encode(pixels) for pixels in (stained(0)[0], plate(1)))
    assert [float(maps.std()) for maps in image.pyramid.values()] == pytest.approx(SPREADS, rel=1e-3)
    logits = predictor.network(waves(1, 47, 32, 32))[0, 0]
    assert [float(logits[place]) for place in PLACES] == pytest.approx(CLICK[number], abs=2e-3)
    prepared = predictor.prepare(image, [reference], None)
    found = predictor.logits(prepared, Frame.of(96, 128, 128), [Click(60, 40, True)], None)
    assert found.shape == (96, 128)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("number", SEGMENTATION)
@torch.inference_mode()
def test_a_trained_version_answers_as_it_did_when_it_was_written(number: int, tmp_path: Path) -> None:
    weights = unpack(FIXTURES / f"format-{number}" / "seg.safetensors.xz", tmp_path)
    assert read_manifest(weights).get("format", 0) == number
    predictor, prepared = SegPredictor(weights), prepared_waves()
    found = type_logits(predictor.network, inputs(prepared), predictor.states, predictor.present)
    for logits, expected in zip(found, SEGMENTATION[number], strict=True):
        assert [float(logits[place]) for place in PLACES] == pytest.approx(expected, abs=2e-3)
    maps = predictor.maps(prepared, Frame.of(64, 64, 64))
    assert list(maps) == ["scratch", "stain"]
    assert (maps["scratch"] > maps["stain"]).all(), "the offsets and the head say so"


def test_what_is_written_now_is_what_the_newest_checkpoint_holds(tmp_path: Path) -> None:
    """So a change of what is written is seen here, and gets a format of its own."""
    write_click(tmp_path / "click.safetensors", LiteConfig(previous=True, widths=WIDTHS))
    write_segmentation(tmp_path / "seg.safetensors", SegConfig(widths=WIDTHS, reduced=4))
    for name in ("click", "seg"):
        then = unpack(FIXTURES / f"format-{FORMAT}" / f"{name}.safetensors.xz", tmp_path / "then")
        now = tmp_path / f"{name}.safetensors"
        assert read_manifest(now) == {**read_manifest(then), "sha256": read_manifest(now)["sha256"]}
        written, kept = read_weights(now), read_weights(then)
        assert written.keys() == kept.keys()
        assert all(torch.equal(written[key], kept[key]) for key in kept)


def test_the_sizes_in_the_manifest_are_those_of_the_network(tmp_path: Path) -> None:
    weights = unpack(FIXTURES / "format-1" / "seg.safetensors.xz", tmp_path)
    config = SegPredictor(weights).network.config
    assert (config.widths, config.reduced) == (WIDTHS, 4)
    assert np.isclose(config.noise, SegConfig.noise)
