from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint.manifest import PACKAGED, PACKAGED_SEG, CheckpointError
from model.features.encoding import Frame
from model.language.encoders import HashedWords
from model.language.vocabulary import Vocabulary
from model.segmentation.checkpoint import write_seg
from model.segmentation.network import ADClickSeg, SegConfig
from model.segmentation.predictor import SegPredictor
from model.training.segmentation.calibration import offsets
from tests.helpers.plates import SmallPredictor, plate, stained


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    vocabulary = Vocabulary(HashedWords(), {"stain": ["a dark stain"], "scratch": ["a thin scratch"]})
    network = ADClickSeg(SegConfig(words=vocabulary.width))
    out = tmp_path / "seg.safetensors"
    write_seg(out, network, vocabulary, ["scratch", "stain"], [0.0, 3.0], "v7", {})
    return out


def test_each_type_has_a_map_in_the_working_frame(weights: Path) -> None:
    predictor, seg = SmallPredictor(), SegPredictor(weights)
    assert (seg.version, seg.types) == ("v7", ("scratch", "stain"))
    prepared = predictor.prepare(predictor.encode(stained(0)[0]), [], None)
    maps = seg.maps(prepared.kept(), Frame.of(96, 128, 128))
    assert set(maps) == {"scratch", "stain"}
    for found in maps.values():
        assert found.shape == (96, 128)
        assert found.dtype == np.float32
        assert 0 <= found.min() <= found.max() <= 1
    # the words are silent in an untrained network, so only the calibration tells the two apart
    odds = [m / (1 - m) for m in maps.values()]
    assert np.allclose(odds[0] / odds[1], np.exp(3), rtol=1e-2)


def test_the_packaged_network_finds_a_stain_on_a_product_it_never_saw() -> None:
    predictor, seg = SmallPredictor(), SegPredictor(PACKAGED_SEG)
    assert seg.types == ("defect",)
    image, mask = stained(3)
    references = [predictor.encode(plate(i)) for i in range(3)]
    normal = predictor.usual(references[0], references[1:])
    prepared = predictor.prepare(predictor.encode(image), references, normal)
    found = seg.maps(prepared, Frame.of(96, 128, 128))["defect"]
    assert found[mask].mean() > 3 * found[~mask].mean()


def test_a_click_checkpoint_is_refused_with_a_reason() -> None:
    with pytest.raises(CheckpointError, match="holds the preset 'lite'; masks before the first click need"):
        SegPredictor(PACKAGED)


def test_damaged_weights_are_refused(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="damaged or were exchanged"):
        SegPredictor(weights)
    manifest = weights.with_suffix(".json")
    manifest.write_text(json.dumps({"preset": "lite-seg"}))
    with pytest.raises(CheckpointError, match="lacks one of"):
        SegPredictor(weights)


def test_types_that_are_bright_on_normal_images_are_lowered() -> None:
    quiet, noisy = np.full((10, 10), -6.0, np.float32), np.full((10, 10), 2.0, np.float32)
    assert offsets([[quiet, noisy]], 2) == [
        -6.0,
        2.0,
    ]  # both reach their threshold at the same share of pixels
    dim = np.full((10, 10), -4.0, np.float32)
    assert offsets([[quiet, dim]], 2) == [-2.0, 0.0]  # the brightest keeps its threshold
    assert offsets([], 2) == [0.0, 0.0]
