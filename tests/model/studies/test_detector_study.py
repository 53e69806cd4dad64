"""Detectors side by side on drawn plates, by the command that a person calls."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from adclick_backend.cli import main
from adclick_runtime.calibration import Calibration
from model.checkpoint.backbone_id import BackboneId
from model.commands.evaluate_detectors import tables
from model.datasets.mvtec import Category, find_categories
from model.detectors.checkpoint import DetectorCheckpoint, Part, write_detector
from model.detectors.eyes import BackboneEyes
from model.detectors.patchcore import PatchCoreBanks
from model.features.backbones import EfficientNetLite0
from model.metrics.detection import FIGURES
from model.segmentation import detector_predictor
from model.studies import detector_study
from model.studies.detector_study import Bench, Product, Row, Setting, spread
from model.studies.map_pictures import CAPTION
from model.studies.results import read
from tests.helpers.plates import SmallPredictor, plate, stained


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_study, "Predictor", SmallPredictor)


def drawn(root: Path, references: int, tests: int = 3) -> Category:
    """A product of good and stained plates; the stained ones are twice as large."""
    for folder in ("train/good", "test/good", "test/stain", "ground_truth/stain"):
        (root / folder).mkdir(parents=True)
    for i in range(references):
        cv2.imwrite(str(root / f"train/good/{i}.png"), plate(i))
    for i in range(tests):
        cv2.imwrite(str(root / f"test/good/{i}.png"), plate(30 + i))
        image, mask = stained(50 + i)
        cv2.imwrite(str(root / f"test/stain/{i}.png"), cv2.resize(image, None, fx=2, fy=2))
        large = cv2.resize(mask.astype(np.uint8) * 255, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(root / f"ground_truth/stain/{i}_mask.png"), large)
    return Category(root)


def test_the_command_measures_draws_and_says_it_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn(tmp_path / "set/plate", 5)
    drawn(tmp_path / "set/single", 1)
    asked = ["evaluate-detectors", str(tmp_path / "set"), "--out", str(tmp_path / "out"), "--pictures", "2"]
    asked += ["--detectors", "residual", "patchcore", "packaged", "combination"]
    assert main(asked) == 0
    said = capsys.readouterr().out
    results = tmp_path / "out/results.jsonl"
    rows = {(row["product"], row["detector"]): row for row in read(results)}
    names = ["residual", "packaged", "patchcore", "residual+packaged+patchcore"]
    assert [d for p, d in rows if p == "set/plate"] == names
    assert [d for p, d in rows if p == "set/single"] == names[:3], (
        "one image says nothing of PatchCore's usual maps"
    )
    for row in rows.values():
        assert row.keys() >= FIGURES.keys()
        assert (row["images"], row["limit"], row["side"], row["weights"]) == (6, 0, 256, "")
        assert row["ms"] > 0 and row["opened_ms"] > 0
    for name in ("residual", "residual+packaged+patchcore"):
        assert rows["set/plate", name]["pixel_ap"] > 0.4
        assert rows["set/plate", name]["image_auroc"] > 0.95
    pictures = sorted((tmp_path / "out/pictures/set/plate").glob("*.png"))
    assert [p.stem for p in pictures] == ["good-0", "stain-0"]
    picture = cv2.imread(str(pictures[1]))
    assert picture is not None and picture.shape == (192 + CAPTION, 6 * 256, 3)
    assert "| mean of 1 products |" in said, "only what all have finished is counted"
    before = results.read_bytes()
    assert main(asked) == 0
    assert results.read_bytes() == before
    assert capsys.readouterr().out == said[said.index("| mean of") :]


def test_a_file_is_measured_by_its_own_parts_and_told_from_another_version(tmp_path: Path) -> None:
    category = drawn(tmp_path / "set/plate", 4)
    eyes = SmallPredictor()
    banks = PatchCoreBanks.fitted({"set/plate": [eyes.encode(plate(i)) for i in range(4)]}, coreset=50)
    sizes = {"products": ["set/plate"], "patches": [50], "channels": [24, 40, 192]}
    part = Part("bank-tiny", "patchcore", sizes, banks.state_dict())
    usual = {"set/plate": {"bank-tiny": Calibration(0.0, 1.0, (1.0,)).as_json()}}
    weights = tmp_path / "mine.safetensors"
    parts = [part, Part("residual", "residual")]
    write_detector(weights, DetectorCheckpoint("v1", eyes.backbone_id, 128, parts, ["bank-tiny"], usual))
    bench = Bench(Setting((str(weights), "residual", "combination")))
    labels = ["mine/bank-tiny", "residual", "mine/bank-tiny+residual"]
    assert [row.detector for row in bench.rows] == labels
    found = {row["detector"]: row for row in detector_study.run([category], bench, tmp_path / "out")}
    assert list(found) == labels
    assert found["mine/bank-tiny"]["pixel_ap"] > 0.4
    first = bench.rows[0].weights
    assert len(first) == 12 and found["residual"]["weights"] == "" and found[labels[2]]["weights"] == first
    banks.banks[0].get_buffer("bank").mul_(2)
    write_detector(weights, DetectorCheckpoint("v2", eyes.backbone_id, 128, parts, ["bank-tiny"], usual))
    again = detector_study.run([category], Bench(Setting((str(weights), "residual"))), tmp_path / "out")
    assert [row["detector"] for row in again] == ["mine/bank-tiny"], "the residual has not changed"


def test_detectors_behind_two_backbones_look_at_the_same_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with a backbone of its own, on frames of another size, beside the residual and together with it."""
    category = drawn(tmp_path / "set/plate", 4)
    torch.manual_seed(0)
    other = BackboneEyes(EfficientNetLite0().eval(), BackboneId("other", "0" * 64), 96)
    monkeypatch.setattr(detector_predictor, "own_eyes", lambda checkpoint, source, device: other)
    banks = PatchCoreBanks.fitted({"set/plate": [other.encode(plate(i)) for i in range(4)]}, coreset=50)
    part = Part("bank", "patchcore", asdict(banks.config), banks.state_dict())
    weights = tmp_path / "mine.safetensors"
    usual = {"set/plate": {"bank": Calibration(0.0, 1.0, (1.0,)).as_json()}}
    write_detector(weights, DetectorCheckpoint("v1", other.backbone_id, 96, [part], ["bank"], usual))
    bench = Bench(Setting((str(weights), "residual", "combination")))
    found = {row["detector"]: row for row in detector_study.run([category], bench, tmp_path / "out")}
    assert list(found) == ["mine/bank", "residual", "mine/bank+residual"]
    assert all(row["pixel_auroc"] > 0.6 for row in found.values())


def test_references_and_test_images_are_apart_and_of_one_size(tmp_path: Path) -> None:
    product = Product(drawn(tmp_path / "set/plate", 40, tests=5), limit=2)
    assert len(product.references) == detector_study.MOST_REFERENCES
    assert [test.name for test in product.tests] == ["stain-0", "stain-2", "good-0", "good-2"]
    assert {test.pixels.shape for test in product.tests} == {(96, 128, 3)}
    assert [bool(test.mask.any()) for test in product.tests] == [True, True, False, False]
    bare = Product(drawn(tmp_path / "set/bare", 0, tests=5), limit=0)
    assert (len(bare.references), len(bare.tests)) == (3, 5 + 2), (
        "the first half of test/good is learned from"
    )
    assert spread(range(10), 0) == list(range(10))


def test_what_cannot_be_measured_is_said_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    category = drawn(tmp_path / "set/plate", 2)
    data, out = str(tmp_path / "set"), ["--out", str(tmp_path / "out")]
    assert main(["evaluate-detectors", data, *out, "--detectors", "invad"]) == 2
    assert (
        "no detector and no file 'invad'; the detectors are: residual, patchcore" in capsys.readouterr().out
    )
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    assert main(["evaluate-detectors", data, *out, "--detectors", str(tmp_path / "bad.safetensors")]) == 2
    assert "manifest bad.json" in capsys.readouterr().out
    cv2.imwrite(str(category.root / "ground_truth/stain/1_mask.png"), np.zeros((5, 5), np.uint8))
    assert main(["evaluate-detectors", data, *out, "--detectors", "residual"]) == 2
    assert "and its mask 5 x 5: they must be equal" in capsys.readouterr().out


def test_the_tables_have_means_of_all_and_of_those_with_several_references() -> None:
    figures = dict.fromkeys(FIGURES, 0.5)
    common = {"ms": 10.0, "opened_ms": 100.0, "limit": 0, "side": 256, "weights": ""}
    rows = [
        {"product": f"set/{p}", "detector": d, "references": n, **common, **figures, "pixel_ap": ap}
        for p, n in (("a", 1), ("b", 8))
        for d, ap in (("residual", 0.6 if p == "a" else 0.8), ("packaged", 0.4))
    ]
    rows[2]["mad"] = None
    lines = tables([*rows, {**rows[0], "product": "set/c"}]).splitlines()
    assert lines[0].startswith("| mean of 2 products | image AUROC |")
    assert lines[2].startswith("| residual | 50.0 | 50.0 | 50.0 | 50.0 | 70.0 |")
    assert lines[2].endswith("| - | 10 |")
    assert lines[5].startswith("| mean of 1 products, more than one reference |")
    assert lines[7].startswith("| residual | 50.0 | 50.0 | 50.0 | 50.0 | 80.0 |")
    assert lines[-4:-2] == ["| a (1) | 60.0 | 40.0 |", "| b (8) | 80.0 | 40.0 |"]
    assert lines[-1] == "Encoding and matching, which all share: 100 ms an image."
    assert tables([]) == "There is no product that every detector has finished."


def test_a_line_that_a_crash_left_incomplete_is_measured_again(tmp_path: Path) -> None:
    (category,) = find_categories([drawn(tmp_path / "set/plate", 2).root])
    bench = Bench(Setting(("residual",), limit=1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/results.jsonl").write_text('{"product": "set/pl')
    list(detector_study.run([category], bench, tmp_path / "out"))
    (row,) = read(tmp_path / "out/results.jsonl")
    assert Row(row["detector"], row["weights"]) == bench.rows[0]
    assert json.loads(json.dumps(row)) == row
