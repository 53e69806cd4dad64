"""Reliability row 8: a hostile or damaged checkpoint is refused in words, and nothing in it runs."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from model.checkpoint.backbone_id import backbone_of
from model.checkpoint.files import load_into, read_weights, write_checkpoint
from model.checkpoint.manifest import (
    FORMAT,
    LITE,
    PACKAGED,
    VIT,
    WEIGHTS,
    CheckpointError,
    UnreadableError,
    manifest_path,
    read_manifest,
)
from model.interactive.predictor import Predictor

ABOUT = {"version": "test-1", "preset": "lite"}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    write_checkpoint(path, {"a": torch.arange(6.0).view(2, 3)}, ABOUT)
    return path


def test_what_is_written_is_read_back(checkpoint: Path) -> None:
    assert read_weights(checkpoint)["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read_manifest(checkpoint)["version"] == "test-1"
    assert not list(checkpoint.parent.glob(".*"))


def test_a_pickle_is_refused_and_does_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "witness"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (witness,)

    for name in ("w.pt", "w.safetensors"):
        path = tmp_path / name
        data = pickle.dumps(Payload())
        path.write_bytes(data)
        import hashlib

        manifest_path(path).write_text(json.dumps({**ABOUT, "sha256": hashlib.sha256(data).hexdigest()}))
        with pytest.raises(CheckpointError, match=name):
            read_weights(path)
    assert not witness.exists()


def test_an_exchanged_file_is_refused(checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes() + b"x")
    with pytest.raises(CheckpointError, match="damaged or were exchanged"):
        read_weights(checkpoint)


def test_a_truncated_file_is_refused(checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:20])
    with pytest.raises(CheckpointError, match="sha256"):
        read_weights(checkpoint)


@pytest.mark.parametrize(
    ("text", "says"), [("{", "not valid JSON"), ("{}", "lacks one of"), ("[]", "lacks one of")]
)
def test_a_bad_manifest_is_refused(checkpoint: Path, text: str, says: str) -> None:
    manifest_path(checkpoint).write_text(text)
    with pytest.raises(CheckpointError, match=says):
        read_weights(checkpoint)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.json.*cannot be read"):
        read_manifest(tmp_path / "gone.safetensors")


def test_weights_of_another_network_are_refused() -> None:
    layer = nn.Linear(2, 3)
    good = {k: v.clone() for k, v in layer.state_dict().items()}
    with pytest.raises(CheckpointError, match="lacks bias"):
        load_into(layer, {"weight": good["weight"]}, "these weights")
    with pytest.raises(CheckpointError, match="unknown extra"):
        load_into(layer, {**good, "extra": good["bias"]}, "these weights")
    with pytest.raises(CheckpointError, match="other shapes for weight"):
        load_into(layer, {**good, "weight": good["weight"].T}, "these weights")


def test_values_that_are_no_numbers_are_refused(checkpoint: Path) -> None:
    write_checkpoint(checkpoint, {"a": torch.tensor([1.0, float("inf")]), "n": torch.arange(3)}, ABOUT)
    with pytest.raises(
        CheckpointError, match=r"w\.safetensors holds values that are no numbers, in a: train"
    ):
        read_weights(checkpoint)


def test_weights_that_are_gone_are_no_damage(checkpoint: Path) -> None:
    """They may come back: a disk that was away, a permission that was wrong."""
    checkpoint.unlink()
    with pytest.raises(UnreadableError, match="cannot be read: No such file"):
        read_weights(checkpoint)


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"backbone": None}, "says backbone = None"),
        (
            {"backbone": "resnet"},
            "needs the backbone 'resnet'; this release has efficientnet_lite0, lite0_vit and wide_resnet50",
        ),
        ({"long_side": "abc"}, "says long_side = 'abc'; it must be a whole number of pixels"),
        ({"format": FORMAT + 1}, "was written by a newer ADClick"),
        ({"preset": "huge"}, "holds the preset 'huge'"),
        ({"network": {"inputs": 40}}, "trained on 40 maps of evidence, and this release makes 39"),
        ({"network": {"widths": [24, 40, 64, 96, 120]}}, "has other shapes for"),
        ({"network": {"previous": False}}, "has other shapes for stem.weight"),
        (
            {"backbone_sha256": "0" * 64},
            r"behind another lite0_vit \(sha256 000000000000\) than the one that is here \(\w{12}\): use a checkpoint",
        ),
    ],
)
def test_a_click_network_that_does_not_fit_is_refused_in_words(
    about: dict[str, Any], says: str, tmp_path: Path
) -> None:
    weights = tmp_path / "own.safetensors"
    weights.write_bytes(PACKAGED.read_bytes())
    manifest_path(weights).write_text(json.dumps({**read_manifest(PACKAGED), **about}))
    with pytest.raises(CheckpointError, match=says):
        Predictor(weights)


def test_a_backbone_that_is_not_here_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.features.loading.SHARED", tmp_path)
    with pytest.raises(CheckpointError, match=r"no backbone inside, and lite0-vit\.safetensors is not among"):
        Predictor(VIT.click)
    assert Predictor(LITE.click).backbone_id.name == "efficientnet_lite0"


def test_checkpoints_with_the_same_backbone_inside_have_the_same_eyes(tmp_path: Path) -> None:
    """And what lies in no safetensors file is refused before torch is asked."""
    found = {backbone_of(weights, read_manifest(weights)) for weights in (LITE.click, LITE.stated)}
    assert len(found) == 1
    broken, manifest = tmp_path / "w.safetensors", read_manifest(LITE.click)
    for data in (b"", b"\xff" * 64):
        broken.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"w\.safetensors is not a readable safetensors file"):
            backbone_of(broken, manifest)
    broken.write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="has no backbone inside, and its manifest names none"):
        backbone_of(broken, manifest)
    broken.unlink()
    with pytest.raises(UnreadableError, match="cannot be read: No such file"):
        backbone_of(broken, manifest)


def test_a_manifest_that_asks_for_a_giant_takes_no_memory(tmp_path: Path) -> None:
    """By its manifest this network has 200 GB."""
    weights = tmp_path / "giant.safetensors"
    sizes = {"widths": [4096] * 5}
    write_checkpoint(weights, read_weights(PACKAGED), {**read_manifest(PACKAGED), "network": sizes})
    with pytest.raises(CheckpointError, match="does not fit this network: it has unknown down"):
        Predictor(weights)


def test_the_packaged_weights_are_small_and_load() -> None:
    assert sum(file.stat().st_size for file in WEIGHTS.glob("*.safetensors")) < 58_000_000
    assert Predictor().version == read_manifest(PACKAGED)["version"]
