"""``adclick train detector``, small: one model for all products or one each, gone on with, refused in words."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from draw_samples import save_image
from safetensors.torch import load_file

from adclick_backend.cli import main
from model.commands import train_detector
from model.commands.train_detector import detectors
from model.detectors.checkpoint import read_detector
from model.detectors.eyes import own_eyes
from model.detectors.invad.config import InvADConfig
from model.detectors.methods import PRESETS
from model.segmentation.detector_predictor import DetectorPredictor
from model.training.detectors import project, trainer
from tests.helpers.plate_product import write_product
from tests.helpers.plates import SmallPredictor, plate

HELPER = Path(__file__).parents[2] / "helpers" / "small_detector.py"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two products: one with good training images, one with good test images alone."""
    for number in range(6):
        save_image(tmp_path / f"data/set/disc/test/good/{number}.png", plate(40 + number))
    save_image(tmp_path / "data/set/plate/train/good/2.png", plate(30))
    return write_product(tmp_path / "data")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        train_detector, "Predictor", lambda weights, device, asked: SmallPredictor(weights, asked)
    )


def train(data: Path, *more: str) -> int:
    run = ["--run", str(data.parent / "run"), "--number-format", "float32"]
    return main(["train", "detector", str(data), *run, "--steps", "2", *more])


@pytest.mark.usefixtures("small")
def test_one_model_learns_all_products(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(data, "--method", "invad", "patchcore", "--version", "d-1") == 0
    out = data.parent / "run/d-1.safetensors"
    read = read_detector(out)
    assert read.training["images"] == {
        "set/disc": 2,
        "set/plate": 2,
    }  # of the six in test/good the first three, with the one that is kept back
    assert read.training["kept_back"] == {"set/disc": 1, "set/plate": 1}
    assert [p.name for p in read.parts] == ["invad-tiny", "patchcore", "residual", "packaged"]
    assert read.calibration.keys() == {"set/disc", "set/plate"}
    assert len(DetectorPredictor(out, asked="float32").detectors) == 4
    printed = capsys.readouterr().out
    assert "invad-tiny after 2 steps: pixel ap " in printed
    assert printed.endswith(f"Wrote {out}.\n")
    assert sorted(p.name for p in out.parent.iterdir()) == ["backbone.txt", "d-1.json", "d-1.safetensors"]


@pytest.mark.usefixtures("small")
def test_each_product_gets_a_model_and_none_twice(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(data, "--one-class", "--out", str(data.parent / "models")) == 0
    outs = [data.parent / f"models/set/{name}.safetensors" for name in ("disc", "plate")]
    assert [list(read_detector(out).training["images"]) for out in outs] == [["set/disc"], ["set/plate"]]
    outs[1].unlink()
    save_image(data / "set/bolt/test/good/0.png", plate(50))
    kept = outs[0].read_bytes()
    capsys.readouterr()
    assert train(data, "--one-class", "--out", str(data.parent / "models")) == 2
    printed = capsys.readouterr().out
    assert f"{outs[0]} is there already: delete it to train it again." in printed
    assert "set/bolt: InvAD learns what good images have in common" in printed
    assert f"Wrote {outs[1]}." in printed
    assert outs[0].read_bytes() == kept


@pytest.mark.usefixtures("small")
def test_what_was_interrupted_goes_on(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reliability rows 18 and 19: a full disk ends it in words, and the next call goes on at the last state."""
    steps = []
    step = trainer.DetectorTrainer._train_step
    monkeypatch.setattr(
        trainer.DetectorTrainer, "_train_step", lambda self: (steps.append(self.step), step(self))
    )

    def full(out: Path, checkpoint: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out))

    written = project.write_detector
    monkeypatch.setattr(project, "write_detector", full)
    assert train(data, "--version", "d") == 1
    said = capsys.readouterr().out
    assert "d.safetensors cannot be written: No space left on device." in said
    assert "make room, and call the command again" in said
    assert not list((data.parent / "run").glob("*d.safetensors"))
    monkeypatch.setattr(project, "write_detector", written)
    assert train(data, "--version", "d") == 0
    assert steps == [0, 1]
    assert train(data, "--version", "d", "--seed", "1") == 0
    assert steps == [0, 1, 0, 1]


@pytest.mark.usefixtures("small")
def test_a_loss_that_is_no_number_keeps_what_was_there(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reliability row 20."""
    assert train(data, "--version", "d", "--learning-rate", "1e30") == 1
    assert (
        "invad-tiny gives values that are no numbers for good images that were kept back"
        in capsys.readouterr().out
    )
    assert not list((data.parent / "run").glob("d.*"))


@pytest.mark.usefixtures("small")
def test_what_cannot_be_trained_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["train", "detector", str(tmp_path / "empty")]) == 2
    assert "No product in MVTec layout" in capsys.readouterr().out
    assert detectors(["invad", "patchcore"], "full") == ["invad", "patchcore"]
    assert detectors(["invad"], "lite") == ["invad-lite"]
    with pytest.raises(ValueError, match=r"invad has no preset 'huge'; it has full, lite, tiny\."):
        detectors(["invad"], "huge")
    assert train(data, "--behind", "lite", "--steps", "1") == 0
    assert train(data, "--behind", "vit") == 2
    assert "holds what the backbone 'lite' saw: take another folder with --run, or --behind lite." in (
        capsys.readouterr().out
    )


def test_two_processes_learn_from_different_images_and_end_with_equal_weights(data: Path) -> None:
    for number in range(6):
        save_image(data / f"set/plate/train/good/{30 + number}.png", plate(30 + number))
    command: list[str | Path] = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [
        "--nproc-per-node",
        "2",
        "--",
        HELPER,
        "train",
        "detector",
        data,
        "--run",
        data.parent / "run",
    ]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "WITNESSES": str(data.parent),
    }
    words = [*map(str, command), "--steps", "2", "--version", "d"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    first, second = (load_file(data.parent / f"rank-{rank}.safetensors") for rank in range(2))
    assert not torch.equal(first.pop("rate"), second.pop("rate"))
    learned = [key for key in first if "running" not in key]  # each process normalises by its own batches
    assert all(torch.equal(first[key], second[key]) for key in learned)
    assert done.stdout.count("Wrote ") == 1
    assert read_detector(data.parent / "run/d.safetensors").training["detectors"]["invad-tiny"]["steps"] == 2


@pytest.mark.skipif(
    find_spec("timm") is None or find_spec("torchvision") is None,
    reason="the extra timm is not installed: pip install 'adclick-backend[timm]'",
)
def test_a_backbone_of_timm_travels_with_its_detector(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import timm

    weights, out = data.parent / "weights.pth", data.parent / "d.safetensors"
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet").state_dict(), weights)
    config = InvADConfig(channels=(32, 48, 192), widths=(8, 8, 8), blocks=1)
    monkeypatch.setitem(
        PRESETS,
        "invad-lite",
        PRESETS["invad-lite"]._replace(config=config, timm="test_resnet", long_side=128),
    )
    words = ["--preset", "lite", "--batch", "2", "--backbone-weights", str(weights), "--out", str(out)]
    assert train(data, *words) == 0
    weights.unlink()
    read = read_detector(out)
    eyes = own_eyes(read, out.name)
    assert eyes is not None
    assert read.backbone_id.name == "timm-pyramid:test_resnet@4-8-16" == eyes.backbone_id.name
    assert [p.name for p in read.parts] == ["invad-lite"]
    assert "The licence of the weights of test_resnet is " in capsys.readouterr().out
    assert train(data, "--preset", "lite", "--backbone-weights", str(weights)) == 2
    assert "cannot be read as the weights of 'test_resnet'" in capsys.readouterr().out
