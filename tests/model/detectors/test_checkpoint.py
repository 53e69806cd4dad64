"""Reliability row 8: a checkpoint of detectors is read back as it was written, or refused in words."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.checkpoint.backbone_id import BackboneId
from model.checkpoint.files import write_checkpoint
from model.checkpoint.manifest import FORMAT, PACKAGED, CheckpointError, manifest_path, read_manifest
from model.detectors.checkpoint import DetectorCheckpoint, Part, let_serve, read_detector, write_detector
from model.detectors.invad.config import InvADConfig
from model.detectors.invad.detector import InvADDetector
from model.detectors.invad.network import InvAD
from model.detectors.methods import detector_of

SMALL = InvADConfig(channels=(4, 6, 8), widths=(4, 4, 4), style=8, squeezed=4, code=4, blocks=1)
BEHIND = BackboneId("lite0_vit", "ab" * 32)


def a_part(name: str = "invad-small") -> Part:
    torch.manual_seed(0)
    return Part(name, "invad", asdict(SMALL), InvAD(SMALL).state_dict())


def a_checkpoint(**about: Any) -> DetectorCheckpoint:
    usual = {
        "version": "d-1",
        "backbone_id": BEHIND,
        "long_side": 128,
        "parts": [a_part(), Part("residual", "residual")],
        "serves": ["invad-small"],
        "calibration": {"flange": {"invad-small": {"location": 0.5}}},
        "training": {"notes": ["Trained on ten images."]},
    }
    return DetectorCheckpoint(**(usual | about))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    out = tmp_path / "detector.safetensors"
    write_detector(out, a_checkpoint())
    return out


def rewritten(weights: Path, **changes: Any) -> None:
    """Change what the manifest says; None takes it away."""
    manifest = {
        key: value for key, value in {**read_manifest(weights), **changes}.items() if value is not None
    }
    manifest_path(weights).write_text(json.dumps(manifest))


def test_what_is_written_is_read_back(weights: Path) -> None:
    read, written = read_detector(weights), a_checkpoint()
    assert read_manifest(weights)["preset"] == "detector"
    assert replace(read, parts=()) == replace(written, parts=())
    assert [(p.name, p.method) for p in read.parts] == [("invad-small", "invad"), ("residual", "residual")]
    assert not read.parts[1].tensors
    part = read.part("invad-small")
    assert part is not None
    detector = detector_of(part, read.backbone_id, read.long_side, weights.name)
    assert isinstance(detector, InvADDetector)
    assert (detector.name, detector.backbone_id, detector.long_side) == ("invad-small", BEHIND, 128)
    assert detector.network.config == SMALL
    kept = written.parts[0].tensors["decoder.constant"].half().float()
    assert torch.equal(detector.network.decoder.constant, kept)
    assert read.part("onenip") is None


def test_which_parts_serve_is_changed_without_touching_the_weights(weights: Path) -> None:
    before = weights.read_bytes()
    let_serve(weights, ["residual", "invad-small"])
    assert read_detector(weights).serves == ["residual", "invad-small"]
    assert weights.read_bytes() == before
    said = "lets 'onenip' serve, which it does not hold; it holds invad-small, residual"
    with pytest.raises(CheckpointError, match=said):
        let_serve(weights, ["onenip"])
    assert read_detector(weights).serves == ["residual", "invad-small"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("serves", []),
        ("serves", "residual"),
        ("serves", ["residual", "residual"]),
        ("parts", []),
        ("parts", ["residual"]),
        ("parts", [{"name": "residual", "method": "residual"}]),
        ("parts", [{"name": "a.b", "method": "residual", "network": {}}]),
        ("parts", [{"name": "backbone", "method": "residual", "network": {}}]),
        ("parts", 2 * [{"name": "residual", "method": "residual", "network": {}}]),
        ("calibration", []),
        ("training", "long"),
        ("long_side", 12),
        ("backbone_sha256", "none"),
    ],
)
def test_what_is_no_value_is_said(weights: Path, name: str, value: object) -> None:
    rewritten(weights, **{name: value})
    with pytest.raises(CheckpointError, match=rf"says {name} = .*; it must be .+\."):
        read_detector(weights)


@pytest.mark.parametrize(
    "name", ["parts", "serves", "calibration", "training", "long_side", "backbone_sha256"]
)
def test_what_is_missing_is_named(weights: Path, name: str) -> None:
    rewritten(weights, **{name: None})
    with pytest.raises(CheckpointError, match=f"lacks {name}: "):
        read_detector(weights)


def test_other_networks_and_newer_releases_are_refused(weights: Path) -> None:
    with pytest.raises(CheckpointError, match="holds the preset 'lite'; anomaly maps need 'detector'"):
        read_detector(PACKAGED)
    rewritten(weights, format=FORMAT + 1)
    with pytest.raises(CheckpointError, match="was written by a newer ADClick"):
        read_detector(weights)


def test_damage_and_numbers_that_are_none_are_refused(weights: Path, tmp_path: Path) -> None:
    tensors = load_file(weights)
    tensors["invad-small.decoder.constant"].fill_(float("nan"))
    broken = tmp_path / "nan.safetensors"
    write_checkpoint(broken, tensors, read_manifest(weights))
    with pytest.raises(
        CheckpointError, match=r"no numbers, in invad-small\.decoder\.constant: train it again"
    ):
        read_detector(broken)
    save_file(tensors, weights)
    with pytest.raises(CheckpointError, match="are damaged or were exchanged"):
        read_detector(weights)
    parts = [replace(a_part(), tensors={"decoder.constant": torch.full((2,), 1e6)})]
    with pytest.raises(CheckpointError, match=r"is not written: .* holds values that are no numbers"):
        write_detector(tmp_path / "large.safetensors", a_checkpoint(parts=parts))
    assert not (tmp_path / "large.safetensors").exists()


def test_parts_that_cannot_be_made_are_refused(weights: Path, tmp_path: Path) -> None:
    read = read_detector(weights)
    part = read.parts[0]

    def made(**about: Any) -> None:
        detector_of(replace(part, **about), read.backbone_id, read.long_side, "w")

    with pytest.raises(CheckpointError, match="of the method 'oracle'; this release has the networks invad"):
        made(method="oracle")
    with pytest.raises(CheckpointError, match="sizes that are not of 'invad': 'depth' is unknown here"):
        made(network={"depth": 3})
    with pytest.raises(CheckpointError, match=r"sizes that are not of 'invad'.*each is twice the one before"):
        made(network={**part.network, "strides": [4, 8, 32]})
    with pytest.raises(CheckpointError, match=r"w \(invad-small\) does not fit this network: it lacks "):
        made(network={**part.network, "blocks": 2})
    foreign = tmp_path / "foreign.safetensors"
    tensors = {**load_file(weights), "other.weight": torch.ones(1)}
    write_checkpoint(foreign, tensors, read_manifest(weights))
    with pytest.raises(CheckpointError, match=r"holds other\.weight, which belongs to none of its parts"):
        read_detector(foreign)
