from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from adclick_backend.cli import main
from model.checkpoint.backbone_id import backbone_of
from model.checkpoint.manifest import BACKBONES, read_manifest
from model.interactive.predictor import Predictor
from model.training.interactive.temperature import fit_temperature
from tests.helpers.plate_product import write_product


@pytest.fixture
def plates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small product in MVTec layout, and a training that looks at it small."""
    monkeypatch.setattr("model.commands.train_click.SAMPLE_SIDE", 96)
    monkeypatch.setattr("model.commands.train_click.HELD_BACK", 1)
    monkeypatch.setattr("model.commands.train_click.fit_temperature", partial(fit_temperature, count=2))
    monkeypatch.setattr("model.training.interactive.samples.PIECES_OF_DRAWN", 2)
    monkeypatch.setattr("model.training.interactive.samples.DEFECTS_OF_DRAWN", 2)
    return write_product(tmp_path / "data")


@pytest.mark.parametrize(("behind", "told"), [("vit", False), ("lite", True)])
def test_one_command_makes_weights_that_can_be_served(
    plates: Path, tmp_path: Path, behind: str, told: bool
) -> None:
    out = tmp_path / "new.safetensors"
    command = ["train", "click", str(plates), "--run", str(tmp_path / "run"), "--out", str(out)]
    command += [
        "--synthetic",
        "1",
        "--drawn",
        "1",
        "--version",
        "plates-1",
        "--synthetic-share",
        "0.7",
        "--rounds",
        "2",
        "--behind",
        behind,
        *(["--told-mask"] if told else []),
    ]
    assert main([*command, "--steps", "1"]) == 0
    assert main([*command, "--steps", "2", "--resume"]) == 0
    predictor = Predictor(out)
    assert predictor.version == "plates-1"
    packaged = BACKBONES[behind].click
    assert predictor.backbone_id == backbone_of(packaged, read_manifest(packaged))
    assert predictor.network.config.previous is told  # type: ignore[union-attr]
    about = json.loads(out.with_suffix(".json").read_text())["training"]
    assert (about["products"], about["real"], about["steps"]) == (["set/plate"], 4, 2)
    assert about["synthetic_share"] == 0.7
    rounds = [
        tmp_path / f"run/samples/round-{number}/set/plate/synthetic-0000.safetensors" for number in (0, 1)
    ]
    assert rounds[0].read_bytes() != rounds[1].read_bytes(), "the same samples once more"
    assert main([*command, "--start", str(out), "--steps", "3", "--run", str(tmp_path / "again")]) == 0
    assert Predictor(out).network.config.previous is told  # type: ignore[union-attr]


def test_published_convolutions_are_for_the_backbone_that_has_no_others(
    plates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "click", str(plates), "--backbone", "lite0.pth"]) == 2
    assert capsys.readouterr().out == "--backbone is for --behind lite, and for --preset base.\n"


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--rounds", "0", "--rounds: 0 is too few, it takes at least 1"),
        ("--steps", "-5", "--steps: -5 is too few, it takes at least 1"),
        ("--limit", "0", "--limit: 0 is too few, it takes at least 1"),
        ("--synthetic-share", "45", "--synthetic-share: 45 is no share, which goes from 0 to 1"),
        ("--synthetic-share", "-0.1", "--synthetic-share: -0.1 is no share, which goes from 0 to 1"),
        ("--synthetic-share", "nan", "--synthetic-share: nan is no share, which goes from 0 to 1"),
    ],
)
def test_a_number_that_makes_no_training_is_refused(
    option: str, value: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["train", "click", str(tmp_path), f"{option}={value}"])
    assert words in capsys.readouterr().err
