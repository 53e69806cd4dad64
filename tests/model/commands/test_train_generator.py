from __future__ import annotations

from pathlib import Path

import pytest

from adclick_backend.cli import main
from model.checkpoint.manifest import read_manifest
from model.commands import train_generator
from model.generation.anogen.network import DenoiserConfig
from model.generation.anogen.small import SmallGenerator
from model.generation.anogen.window import Box
from tests.helpers.spotted_nuts import write_nuts
from tests.helpers.tiny_painter import nut, spot_on


@pytest.fixture(autouse=True)
def few_drawn_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_generator, "DRAWN_PRODUCTS", 1)


def test_the_command_trains_what_then_learns_and_paints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nuts(tmp_path / "set" / "nut")
    run, out = tmp_path / "run", tmp_path / "painter.safetensors"
    words = ["train", "generator", str(tmp_path / "set"), "--run", str(run), "--out", str(out)]
    words += ["--drawn", "2", "--batch", "2", "--version", "nuts-1"]
    assert main([*words, "--steps", "1"]) == 0
    assert f"Wrote {out}." in capsys.readouterr().out
    cut = (run / "crops" / "windows.npy").stat().st_mtime_ns
    assert main([*words, "--steps", "2"]) == 0, "it goes on"
    assert (run / "crops" / "windows.npy").stat().st_mtime_ns == cut, "with the crops that were cut"
    manifest = read_manifest(out)
    about = manifest["training"]
    assert (manifest["version"], manifest["preset"], about["steps"]) == ("nuts-1", "anogen-small", 2)
    assert (about["sets"], about["real_images"]) == (["set/nut"], 3) and about["drawn_defects"] >= 2
    generator = SmallGenerator(out, steps=1)
    assert generator.painter.denoiser.config == DenoiserConfig()
    monkeypatch.setattr("model.generation.anogen.small.STEPS", 1)
    learned = generator.learn([spot_on(0)])
    painted = generator.paint(nut(3), Box(40, 30, 90, 80), learned, 1)
    assert learned.generator.startswith("nuts-1-") and (painted is None or painted.mask.any())


def test_without_a_product_nothing_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_nuts(tmp_path / "set" / "nut")
    words = [
        "train",
        "generator",
        str(tmp_path / "set"),
        "--run",
        str(tmp_path / "run"),
        "--exclude",
        "set/nut",
    ]
    assert main(words) == 2
    assert "No product in MVTec layout" in capsys.readouterr().out and not (tmp_path / "run").exists()
