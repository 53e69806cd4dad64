from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adclick_runtime.frame import Frame
from model.checkpoint.backbone_id import backbone_of
from model.checkpoint.files import read_weights, write_checkpoint
from model.checkpoint.manifest import PACKAGED, PACKAGED_SEG, CheckpointError, read_manifest
from model.language.encoders import HashedWords
from model.language.vocabulary import Vocabulary
from model.segmentation.checkpoint import write_seg
from model.segmentation.inputs import views_behind
from model.segmentation.network import ADClickSeg, SegConfig
from model.segmentation.predictor import SegPredictor
from model.training.segmentation.calibration import offsets
from tests.helpers.plates import SmallPredictor, plate, stained


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    vocabulary = Vocabulary(HashedWords(), {"stain": ["a dark stain"], "scratch": ["a thin scratch"]})
    behind = backbone_of(PACKAGED, read_manifest(PACKAGED))
    network = ADClickSeg(SegConfig(words=vocabulary.width, views=views_behind(behind.name)))
    out = tmp_path / "seg.safetensors"
    write_seg(out, network, vocabulary, ["scratch", "stain"], [0.0, 3.0], "v7", {}, behind=behind)
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


def rewritten(weights: Path, change: Callable[[dict[str, torch.Tensor]], None], **about: Any) -> Path:
    """The checkpoint as another release may have written it: its sha256 is right."""
    manifest, state = read_manifest(weights), read_weights(weights)
    change(state)
    write_checkpoint(weights, state, {**manifest, **about})
    return weights


WRONG: dict[str, tuple[Callable[[dict[str, torch.Tensor]], Any], str]] = {
    "missing": (lambda state: state.pop("body.head.weight"), r"lacks body\.head\.weight"),
    "extra": (lambda state: state.update(more=torch.zeros(3)), "has unknown more"),
    "shape": (
        lambda state: state.update({"skip.trust": torch.zeros(2)}),
        r"has other shapes for skip\.trust",
    ),
    "no words": (lambda state: state.pop("words.states"), r"lacks words\.states"),
    "no mask of words": (lambda state: state.pop("words.present"), r"lacks words\.present"),
    "words of one type": (
        lambda state: state.update({"words.states": state["words.states"][:1]}),
        "for 2 types it has words of the shapes",
    ),
    "shorter words": (
        lambda state: state.update({"words.states": state["words.states"][..., :8].clone()}),
        "was trained with words = 384, and is given 8",
    ),
    "half a head": (lambda state: state.update({"types.mean": torch.zeros(530)}), "lacks linear.bias"),
    "a head of other maps": (
        lambda state: state.update(
            {f"types.{name}": torch.ones(9) for name in ("mean", "scale")}
            | {"types.linear.weight": torch.zeros(2, 9), "types.linear.bias": torch.zeros(2)}
        ),
        "has other shapes for linear.weight, mean, scale",
    ),
    "no number": (
        lambda state: state.update({"skip.trust": torch.tensor(float("nan"))}),
        r"holds values that are no numbers, in skip\.trust",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_weights_that_do_not_fit_are_refused_in_words(what: str, weights: Path) -> None:
    """Reliability row 8: the sha256 is right, and still it cannot be loaded."""
    change, says = WRONG[what]
    with pytest.raises(CheckpointError, match=rf"seg\.safetensors.*{says}"):
        SegPredictor(rewritten(weights, change))


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"widths": [24, 40, 64, 96, 120]}, "has other shapes for body"),
        ({"relative": 14}, "trained with relative = 14, and is given 13: train the project again"),
        (
            {"views": [["stride2", 20], ["stride4", 24], ["stride8", 40], ["stride16", 112]]},
            "trained with views = ",
        ),
        (
            {"views": [["stride2", 19], ["stride4", 24], ["stride8", 40], ["stride32", 8]]},
            "there is no 'stride32'",
        ),
        ({"depth": 3}, "sizes that are not of 'lite-seg': 'depth' is unknown here"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_in_words(sizes: dict[str, Any], says: str, weights: Path) -> None:
    network = {**read_manifest(weights)["network"], **sizes}
    with pytest.raises(CheckpointError, match=says):
        SegPredictor(rewritten(weights, lambda state: None, network=network))


def test_types_that_are_bright_on_normal_images_are_lowered() -> None:
    quiet, noisy = np.full((10, 10), -6.0, np.float32), np.full((10, 10), 2.0, np.float32)
    assert offsets([[quiet, noisy]], 2) == [
        -6.0,
        2.0,
    ]  # both reach their threshold at the same share of pixels
    dim = np.full((10, 10), -4.0, np.float32)
    assert offsets([[quiet, dim]], 2) == [-2.0, 0.0]  # the brightest keeps its threshold
    assert offsets([], 2) == [0.0, 0.0]


def test_loading_the_networks_imports_nothing_more_of_torch() -> None:
    """A tensor made by counting on the device without memory costs the first person a second of imports."""
    code = (
        "import sys\n"
        "from model.checkpoint.manifest import PACKAGED, PACKAGED_SEG\n"
        "from model.interactive.predictor import Predictor\n"
        "from model.segmentation.predictor import SegPredictor\n"
        "known = set(sys.modules)\n"
        "Predictor(PACKAGED), SegPredictor(PACKAGED_SEG)\n"
        "print(*(name for name in set(sys.modules) - known if name.startswith(('torch.', 'sympy'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"torch.utils._device"}, "the first is what choosing a device takes"
