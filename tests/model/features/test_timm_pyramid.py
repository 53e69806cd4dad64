"""Convolutional networks of timm as backbones of detectors. Their weights are random here: nothing is fetched."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from model.checkpoint.manifest import CheckpointError
from model.detectors.checkpoint import DetectorCheckpoint, Part
from model.detectors.eyes import BackboneEyes, own_eyes
from model.detectors.invad.config import INVAD, INVAD_LITE, InvADConfig
from model.detectors.invad.network import InvAD
from model.detectors.methods import PRESETS
from model.features import timm_networks
from model.features.timm_pyramid import TimmPyramid, named_pyramid
from tests.helpers.plates import plate

with_timm = pytest.mark.skipif(
    find_spec("timm") is None or find_spec("torchvision") is None,
    reason="the extra timm is not installed: pip install 'adclick-backend[timm]'",
)


def test_without_timm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm_networks, "find_spec", lambda name: None)
    said = r"The backbone timm-pyramid:resnet34@4-8-16 needs the package timm, which is not installed here: .*\[timm\]"
    with pytest.raises(CheckpointError, match=said):
        TimmPyramid("resnet34", (4, 8, 16))


@pytest.mark.parametrize(
    "name", ["resnet34", "timm-pyramid:resnet34", "timm-pyramid:resnet34@4-x", "lite0_vit"]
)
def test_names_of_other_backbones_are_refused(name: str) -> None:
    with pytest.raises(
        CheckpointError, match=r"There is no backbone .*, timm-pyramid:resnet34@4-8-16 for example"
    ):
        named_pyramid(name)


@with_timm
def test_maps_have_their_strides_and_channels() -> None:
    backbone = TimmPyramid("test_resnet", (4, 8, 16))
    with torch.inference_mode():
        maps = backbone(torch.rand(2, 3, 96, 160) * 255)
    assert {s: tuple(m.shape) for s, m in maps.items()} == {
        s: (2, c, 96 // s, 160 // s) for s, c in backbone.channels.items()
    }
    shifted = backbone.network((torch.full((1, 3, 64, 64), 50.0) - backbone.mean) / backbone.std)
    assert torch.equal(backbone(torch.full((1, 3, 64, 64), 50.0))[8], shifted[1])
    assert not any(p.requires_grad for p in backbone.parameters())


@with_timm
def test_networks_without_the_strides_are_refused() -> None:
    with pytest.raises(
        CheckpointError, match=r"has maps of the strides .*need 4, 8, 64 of a convolutional one"
    ):
        TimmPyramid("test_resnet", (4, 8, 64))
    with pytest.raises(CheckpointError, match=r"has maps of the strides .* of a convolutional one"):
        TimmPyramid("test_vit", (16,))
    with pytest.raises(CheckpointError, match="timm has no network 'resnet19'"):
        TimmPyramid("resnet19", (4, 8, 16))


@with_timm
def test_weights_come_from_a_file_and_the_identity_from_the_weights(tmp_path: Path) -> None:
    import timm

    file = tmp_path / "weights.pth"
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    first, again, other = (TimmPyramid("test_resnet", (4, 8, 16), p) for p in (file, file, None))
    assert first.backbone_id == again.backbone_id != other.backbone_id
    assert first.backbone_id.name == "timm-pyramid:test_resnet@4-8-16"
    file.write_bytes(b"none")
    with pytest.raises(
        CheckpointError, match=r"weights\.pth cannot be read as the weights of 'test_resnet': "
    ):
        TimmPyramid("test_resnet", (4, 8, 16), file)


@with_timm
def test_a_checkpoint_brings_its_backbone_along() -> None:
    """Reliability row 8."""
    backbone = TimmPyramid("test_resnet", (4, 8, 16))
    parts = [Part("residual", "residual")]
    held = DetectorCheckpoint(
        "v", backbone.backbone_id, 128, parts, ["residual"], backbone=backbone.state_dict()
    )
    eyes = own_eyes(held, "w")
    assert eyes is not None
    seen = BackboneEyes(backbone, backbone.backbone_id, 128).encode(plate(0)).pyramid[8]
    assert torch.equal(eyes.encode(plate(0)).pyramid[8], seen)
    assert (eyes.backbone_id, eyes.long_side) == (backbone.backbone_id, 128)
    foreign = TimmPyramid("test_resnet", (4, 8, 16)).state_dict()
    with pytest.raises(CheckpointError, match="w holds another backbone than the one that its manifest says"):
        own_eyes(DetectorCheckpoint("v", backbone.backbone_id, 128, parts, [], backbone=foreign), "w")
    assert own_eyes(DetectorCheckpoint("v", backbone.backbone_id, 128, parts, []), "w") is None


@with_timm
@pytest.mark.parametrize(
    ("name", "config", "encoder", "whole"),
    [("invad", INVAD, 24.9, 95.6), ("invad-lite", INVAD_LITE, 8.2, 17.1)],
)
def test_with_the_encoder_there_are_as_many_parameters_as_published(
    name: str, config: InvADConfig, encoder: float, whole: float
) -> None:
    preset = PRESETS[name]
    with torch.device("meta"):
        backbone = TimmPyramid(preset.timm, preset.strides)
        network = InvAD(config)
    counts = [sum(p.numel() for p in module.parameters()) / 1e6 for module in (backbone, network)]
    assert tuple(backbone.channels.values()) == config.channels
    assert round(counts[0], 1) == encoder
    assert round(sum(counts), 1) == whole
