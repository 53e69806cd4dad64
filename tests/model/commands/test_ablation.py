from __future__ import annotations

from pathlib import Path

import pytest
from draw_samples import write_dataset

from adclick_backend.cli import main
from model.checkpoint.manifest import BACKBONES
from model.commands.run_folder import SAMPLES, taken
from model.features.backbones import EfficientNetLite0
from model.interactive import predictor
from model.training.interactive.samples import build_drawn
from tests.helpers.plates import SmallPredictor


def test_images_are_measured_with_the_eyes_that_saw_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded: list[Path | None] = []

    class Noted(SmallPredictor):
        def __init__(self, weights: Path | None = None, asked: str = "auto") -> None:
            loaded.append(weights)
            super().__init__(weights, asked)

    monkeypatch.setattr(predictor, "Predictor", Noted)
    run, data = tmp_path / "run", tmp_path / "set"
    taken(run, "lite")
    build_drawn(range(1), run / SAMPLES, EfficientNetLite0().eval(), long_side=128)
    write_dataset(data, products=["cap"], good=2, per_defect=1, size=96)
    asked = ["ablation", str(run), str(data), "--out", str(tmp_path / "out"), "--steps", "1", "--limit", "1"]
    assert main([*asked, "--seeds", "0", "--variants", "everything"]) == 0
    assert loaded == [BACKBONES["lite"].click]
    assert "| everything | 1 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("behind", "said"),
    [
        ("vit", "holds no samples of a training of the click network."),
        ("timm:resnet18", "were seen with 'timm:resnet18', which is no packaged backbone."),
    ],
)
def test_a_folder_that_cannot_be_measured_is_refused(
    behind: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken(tmp_path, behind)
    if behind != "vit":
        build_drawn(range(1), tmp_path / SAMPLES, EfficientNetLite0().eval(), long_side=64)
    assert main(["ablation", str(tmp_path), str(tmp_path)]) == 2
    assert said in capsys.readouterr().out
