"""Networks of timm in the place of the transformer that ships. Their weights are random here: nothing is fetched."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from adclick_backend.cli import main
from adclick_runtime.frame import Frame
from model.checkpoint.manifest import PACKAGED, CheckpointError, read_manifest
from model.clicks import Click
from model.commands import prepare_backbone
from model.features import timm_networks
from model.features.backbones import channels_of
from model.features.projection import principal_components
from model.features.timm_backbone import TimmBackbone
from model.features.timm_networks import check_sizes
from model.interactive.predictor import Predictor
from model.segmentation.inputs import views_behind
from tests.helpers.plates import plate, stained

with_timm = pytest.mark.skipif(
    find_spec("timm") is None or find_spec("torchvision") is None,
    reason="the extra timm is not installed: pip install 'adclick-backend[timm]'",
)


def test_directions_that_are_not_there_are_zero_and_the_others_are_kept_whole() -> None:
    """A network of 3 channels in the place of 5: nothing that differed is alike afterwards."""
    torch.manual_seed(0)
    maps = torch.randn(2, 1, 3, 10, 20) * torch.tensor([1.0, 5.0, 0.1]).view(1, 1, 3, 1, 1)
    weight, bias, kept = principal_components(maps, 5)
    assert (weight.shape, bias.shape) == ((5, 3, 1, 1), (5,))
    assert kept == pytest.approx(1)
    assert not weight[3:].any()
    projected = torch.nn.functional.conv2d(maps[0], weight, bias)[0].flatten(1).T
    places = maps[0, 0].flatten(1).T
    standard = places / torch.cat([*maps[:, 0].flatten(2)], 1).std(1)
    assert torch.allclose(torch.cdist(projected, projected), torch.cdist(standard, standard), atol=2e-3)


def test_a_network_that_ships_is_seen_with_as_many_channels() -> None:
    assert channels_of("timm:resnet18") == channels_of("lite0_vit")
    assert views_behind("timm:resnet18") == views_behind("lite0_vit")
    assert channels_of("resnet18") == {}


def test_without_timm_the_command_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timm_networks, "find_spec", lambda name: None)
    out = tmp_path / "data/backbones/timm-resnet18.safetensors"
    assert main(["prepare-backbone", "timm:resnet18", "--out", str(out)]) == 2
    assert "pip install 'adclick-backend[timm]'" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["resnet18", "--out", "a.safetensors"],
            "There is no backbone 'resnet18' to prepare: name one as timm:NAME",
        ),
        (["timm:resnet18", "--out", "a.pth"], "The file is a.pth; its name must end in .safetensors."),
    ],
)
def test_the_command_says_what_is_wrong(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare-backbone", *words]) == 2
    assert says in capsys.readouterr().out


@with_timm
@pytest.mark.parametrize("model", ["test_resnet", "test_vit"])
def test_maps_lie_on_the_grids_of_their_strides(model: str) -> None:
    backbone = TimmBackbone(model).eval()
    with torch.inference_mode():
        maps = backbone(torch.rand(1, 3, 96, 160) * 255)
    for stride, channels in backbone.channels.items():
        assert maps[stride].shape == (1, channels, 96 // stride, 160 // stride)


@with_timm
def test_a_network_for_images_of_one_size_is_refused() -> None:
    with pytest.raises(CheckpointError, match="cannot be shown images of any size"):
        check_sizes(TimmBackbone("swin_tiny_patch4_window7_224").eval(), "swin_tiny_patch4_window7_224", 96)


@with_timm
def test_a_network_that_timm_does_not_have_is_refused() -> None:
    with pytest.raises(CheckpointError, match="timm has no network 'resnet19' whose maps can be used"):
        TimmBackbone("resnet19")


@with_timm
def test_what_was_prepared_serves_without_the_weights_that_it_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm

    weights, out = tmp_path / "weights.pth", tmp_path / "prepared.safetensors"
    torch.save(timm.create_model("test_vit").state_dict(), weights)
    monkeypatch.setattr(prepare_backbone, "HELD_BACK", range(1000, 1001))
    words = ["prepare-backbone", "timm:test_vit", "--pretrained", str(weights), "--out", str(out)]
    assert main([*words, "--drawn", "1", "--images", "1"]) == 0
    weights.unlink()
    manifest = read_manifest(out)
    assert manifest["backbone"] == "timm:test_vit"
    assert manifest["training"]["click network"] == read_manifest(PACKAGED)["sha256"]
    predictor = Predictor(out)
    image = stained(0)[0]
    prepared = predictor.prepare(predictor.encode(image), [predictor.encode(plate(1))], None)
    frame = Frame.of(*image.shape[:2], predictor.long_side)
    found = predictor.logits(prepared, frame, [Click(60, 40, True)], None)
    assert np.isfinite(found).all()
