"""The base preset at a small size: two processes train it with the command, and the engine serves what they wrote."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from adclick_backend.engine.bank import ImageKey, ReferenceBank
from adclick_backend.engine.engine import Engine
from adclick_backend.settings import Settings
from adclick_backend.store.proposal_source import TRAINED, ProposalSource
from model.checkpoint.manifest import PACKAGED_SEG, CheckpointError, read_manifest
from model.clicks import Click
from model.features import loading
from model.features.backbones import WideResNet50
from model.generation.synthesis import add_defect
from model.interactive import presets
from model.interactive.base import BaseClickNetwork
from model.interactive.predictor import Predictor
from model.language.encoders import text_encoder
from model.training.state import read_clock
from tests.helpers.small_base import BLOCKS

HELPER = Path(__file__).parents[2] / "helpers" / "small_base.py"


def plate(seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    good = np.clip(rng.normal(130, 6, (96, 128, 3)), 0, 255).astype(np.uint8)
    cv2.circle(good, (64, 48), 25, (200, 180, 160), -1)
    return good


def write_product(root: Path) -> None:
    for kind in ("train/good", "test/stain", "ground_truth/stain"):
        (root / kind).mkdir(parents=True)
    for i in range(4):
        cv2.imwrite(str(root / f"train/good/{i}.png"), plate(i))
        if i < 2:
            image, mask, _ = add_defect(plate(i), np.random.default_rng(i), "stain")
            cv2.imwrite(str(root / f"test/stain/{i}.png"), image)
            cv2.imwrite(str(root / f"ground_truth/stain/{i}_mask.png"), mask.astype(np.uint8) * 255)


def published_backbone(out: Path) -> None:
    """Random weights under the names of torchvision's wide_resnet50_2, with batch normalisation."""
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = {}
    for name, module in WideResNet50(BLOCKS).named_modules():
        if isinstance(module, nn.Conv2d):
            stem, _, last = name.rpartition(".")
            downsample = last == "downsample"
            norm = f"{name}.1" if downsample else f"{stem}.bn{last[-1]}".lstrip(".")
            nn.init.kaiming_normal_(module.weight)
            state[f"{name}.0.weight" if downsample else f"{name}.weight"] = module.weight.detach()
            width = len(module.weight)
            state |= {f"{norm}.weight": torch.ones(width), f"{norm}.bias": torch.zeros(width)}
            state |= {f"{norm}.running_mean": torch.zeros(width), f"{norm}.running_var": torch.ones(width)}
    torch.save(state, out)


def train(folder: Path, *more: str) -> str:
    """Run the command with torchrun and two processes; what it printed."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    command += ["--", HELPER]  # else torchrun takes --run for an abbreviation of its own
    words: list[str | Path] = [
        "train",
        "click",
        folder / "data",
        "--preset",
        "base",
        "--backbone",
        folder / "backbone.pth",
    ]
    words += ["--run", folder / "run", "--drawn", "0", "--learning-rate", "0.01", *more]
    root = Path(__file__).parents[3]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [str(w) for w in command + words], env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_product(folder / "data" / "photographs" / "plate")
    published_backbone(folder / "backbone.pth")
    train(folder, "--steps", "2")
    return folder


@pytest.fixture(autouse=True)
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WideResNet50.__init__, "__defaults__", (BLOCKS,))


def told(folder: Path, rank: int) -> tuple[dict[str, torch.Tensor], dict[str, list[float]]]:
    path = folder / "run" / f"rank-{rank}.safetensors"
    return load_file(path), json.loads(path.with_suffix(".json").read_text())


def assert_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


def test_two_processes_learn_from_different_batches_and_end_with_equal_weights(trained: Path) -> None:
    (first, about), (second, other) = told(trained, 0), told(trained, 1)
    assert about["processes"] == other["processes"] == 2
    assert about["step"] == other["step"] == 2
    assert about["losses"] != other["losses"]
    assert_equal(first, second)


def test_training_goes_on_where_it_was_stopped(trained: Path) -> None:
    before = told(trained, 0)[0]
    printed = train(trained, "--steps", "3", "--resume")
    assert printed.count("Going on at step 2 of 3") == 1
    (first, about), (second, _) = told(trained, 0), told(trained, 1)
    assert (about["step"], len(about["losses"])) == (3, 1)
    assert read_clock(trained / "run" / "last.safetensors")["step"] == "3"
    assert_equal(first, second)
    assert any(not torch.equal(value, before[name]) for name, value in first.items())


def test_the_manifest_says_what_the_checkpoint_holds(trained: Path) -> None:
    manifest = read_manifest(trained / "run" / "adclick-base.safetensors")
    assert manifest["preset"] == "base"
    assert manifest["network"]["residual"] == 32
    assert manifest["encoder"] == text_encoder().name
    assert manifest["training"]["products"] == ["photographs/plate"]
    assert (manifest["training"]["real"], manifest["training"]["processes"]) == (2, 2)


def test_the_predictor_compares_with_the_references(trained: Path) -> None:
    """R is nothing where an image equals its reference, and most where the defect is."""
    predictor = Predictor(trained / "run" / "adclick-base.safetensors")
    assert isinstance(predictor.network, BaseClickNetwork)
    good, stained = plate(0), plate(0)
    cv2.circle(stained, (88, 40), 9, (20, 30, 90), -1)
    reference = predictor.encode(good)
    same = predictor.prepare(predictor.encode(good), [reference], None)
    assert not same.vectors.any()
    vectors = predictor.prepare(predictor.encode(stained), [reference], None).vectors
    height, width = vectors.shape[-2:]
    row, column = divmod(int(vectors.square().sum(1).argmax()), width)
    assert abs((row + 0.5) / height - 40 / 96) < 0.15
    assert abs((column + 0.5) / width - 88 / 128) < 0.15


class Shelf:
    """An engine on the checkpoint, with references where the backend keeps them."""

    def __init__(self, folder: Path, checkpoint: Path, references: int):
        settings = Settings(data_dir=folder, checkpoint=checkpoint)
        self.engine = Engine(settings)
        kept = folder / "projects/7/references"
        kept.mkdir(parents=True, exist_ok=True)
        shas = []
        for i in range(references):
            data = cv2.imencode(".png", plate(i)[..., ::-1])[1].tobytes()
            shas.append(hashlib.sha256(data).hexdigest())
            (kept / f"{shas[-1]}.png").write_bytes(data)
            self.engine.encode_reference(ImageKey("7", shas[-1]), plate(i))
        self.bank = ReferenceBank("7", "", tuple(sorted(shas)))


def test_the_engine_answers_clicks(trained: Path, tmp_path: Path) -> None:
    checkpoint = trained / "run" / "adclick-base.safetensors"
    shelf, key = Shelf(tmp_path, checkpoint, 3), ImageKey("7", "a" * 64)
    shelf.engine.warm_up()
    stained = plate(9)
    cv2.circle(stained, (88, 40), 9, (20, 30, 90), -1)
    clicks = [Click(88.5, 40.5, True), Click(20.5, 20.5, False), Click(92.5, 42.5, True)]
    answers = [shelf.engine.click(key, shelf.bank, lambda: stained, clicks[: i + 1]) for i in range(3)]
    for found in answers:
        assert found.mask.shape == (96, 128)
        assert np.isfinite(found.probability).all()
        assert 0 <= found.score <= 1
    assert not np.array_equal(answers[0].probability, answers[1].probability)
    # Kept on disk, the prepared image is found again, and gives the same answer.
    again = Shelf(tmp_path, checkpoint, 3)
    assert again.engine.prepare(key, again.bank, lambda: pytest.fail("the image was read again")) == {}
    assert "while clicks are answered by adclick-base-1 of the preset 'base'" in shelf.engine.untrainable
    found = again.engine.click(key, again.bank, lambda: stained, clicks[:1])
    assert np.allclose(found.probability, answers[0].probability, atol=1e-3)


def test_the_engine_proposes_from_the_residual_alone(trained: Path, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, trained / "run" / "adclick-base.safetensors", 3)
    key = ImageKey("7", "b" * 64)
    assert shelf.engine.propose(key, shelf.bank, lambda: plate(8)).source == "residual"


def test_a_version_that_was_trained_before_proposes_with_the_eyes_that_it_had(
    trained: Path, tmp_path: Path
) -> None:
    shelf = Shelf(tmp_path, trained / "run" / "adclick-base.safetensors", 3)
    key = ImageKey("7", "c" * 64)
    assert (
        shelf.engine.propose(key, shelf.bank, lambda: plate(8), ProposalSource(TRAINED, PACKAGED_SEG)).source
        == TRAINED
    )


def test_a_manifest_with_other_sizes_is_refused() -> None:
    with pytest.raises(CheckpointError, match="x holds the preset 'huge'"):
        presets.new({"preset": "huge"}, "x")
    with pytest.raises(CheckpointError, match="sizes that are not of 'base'"):
        presets.new({"preset": "base", "network": {"pyramid": [1, 2, 3, 4], "breadth": 3}}, "x")


def test_the_command_says_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from adclick_backend.cli import main

    monkeypatch.setattr(loading, "SHARED", tmp_path)
    write_product(tmp_path / "photographs" / "plate")
    assert main(["train", "click", str(tmp_path), "--preset", "base", "--run", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().out
    assert "lite0-vit.json of the weights cannot be read" in said
    assert "Name a file with the published wide_resnet50_2 weights with --backbone." in said
