from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from model.checkpoint.files import read_weights
from model.checkpoint.manifest import PACKAGED_SEG, read_manifest
from model.commands import study, train_segmentation
from model.commands.study_table import table
from model.datasets.mvtec import Category
from model.language.encoders import HashedWords
from model.studies.label_study import Defect, Split, click_labels, named_right
from model.studies.results import read
from tests.helpers.plates import SmallPredictor, plate, stained


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Category:
    """A drawn product: eight good plates, five stained ones; the stained ones are twice as large."""
    root = tmp_path_factory.mktemp("data") / "drawn" / "plate"
    for kind in ("train/good", "test/stain", "ground_truth/stain"):
        (root / kind).mkdir(parents=True)
    for i in range(8):
        cv2.imwrite(str(root / f"train/good/{i}.png"), plate(i))
    for i in range(5):
        image, mask = stained(50 + i)
        cv2.imwrite(str(root / f"test/stain/{i}.png"), cv2.resize(image, None, fx=2, fy=2))
        large = cv2.resize(mask.astype(np.uint8) * 255, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(root / f"ground_truth/stain/{i}_mask.png"), large)
    return Category(root)


def test_a_split_keeps_training_and_test_apart_and_brings_all_to_one_size(product: Category) -> None:
    split = Split(product, 0, SmallPredictor())
    assert (len(split.train), len(split.test), len(split.good), len(split.references)) == (3, 2, 2, 6)
    assert {d.name for d in split.train}.isdisjoint(d.name for d in split.test)
    sizes = {d.pixels.shape[:2] for d in (*split.train, *split.test)} | {
        g.shape[:2] for g in split.references
    }
    assert sizes == {(96, 128)}
    assert [d.name for d in Split(product, 0, SmallPredictor()).test] == [d.name for d in split.test]
    assert split.labels("none") == []
    masks = split.labels("masks")
    assert [i.labels["stain"].kind for i in masks] == ["mask"] * 3


def test_clicked_labels_are_strengthened_round_the_clicks(product: Category) -> None:
    predictor = SmallPredictor()
    split = Split(product, 0, predictor)
    found = click_labels(predictor, split.bank, split.train[0], (1, 3), np.random.default_rng(0))
    assert set(found) == {1, 3}
    assert found[1].kind == "clicked"
    assert (found[1].target == 1).any(), "the clicked place is certain (Eq. 8)"
    assert not found[1].certain.any()


def test_the_table_compares_only_what_every_setting_has_finished(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    rows = [
        {"product": "a", "split": 0, "setting": "true masks", "ap": 0.8},
        {"product": "b", "split": 0, "setting": "true masks", "ap": 0.2},
        {"product": "a", "split": 0, "setting": "5 clicks", "ap": 0.7},
    ]
    filled = [{"pro": 0.5, "pixel_auroc": 0.5, "image_auroc": 0.5, **row} for row in rows]
    out.write_text("\n".join(json.dumps(r) for r in filled) + '\n{"product": "b", "spl')
    results = read(out)
    assert len(results) == 3, "the line that a crash left incomplete is skipped"
    lines = table(results, ["true masks", "5 clicks"]).splitlines()
    assert lines[0].startswith("| 1 runs each")
    assert lines[2].startswith("| true masks | 80.0 |")
    assert lines[3].startswith("| 5 clicks | 70.0 |")


def test_the_table_says_how_much_the_splits_differ_and_how_often_the_type_is_right() -> None:
    rest = {"pro": 0.5, "pixel_auroc": 0.5, "image_auroc": 0.5, "setting": "5 clicks"}
    rows = [
        {"product": f"set/{product}", "split": split, "ap": ap, "type": kind, **rest}
        for product, split, ap, kind in (("nut", 0, 0.8, 1.0), ("nut", 1, 0.6, 0.5), ("cap", 0, 0.6, 0.9))
    ]
    rows += [{"product": "set/cap", "split": 1, "ap": 0.4, **rest}]  # of one type only
    lines = table(rows, ["5 clicks"]).splitlines()
    assert lines[0].endswith("| type named right | cap | nut |")
    assert lines[2] == "| 5 clicks | 60.0 ± 14.1 | 50.0 | 50.0 | 50.0 | 80.0 | 50.0 | 70.0 |"


def test_a_type_is_named_right_when_its_map_is_the_brightest_over_the_defect() -> None:
    mask = np.zeros((64, 64), bool)
    mask[:20, :20] = True
    pixels = np.zeros((64, 64, 3), np.uint8)
    defects = [Defect("a", "dent", pixels, mask), Defect("b", "scratch", pixels, mask)]
    dim, bright = np.full((32, 32), 0.3, np.float32), np.full((32, 32), 0.2, np.float32)
    bright[:10, :10] = 0.9
    maps = [{"dent": bright, "scratch": dim}] * 2
    assert named_right(defects, [*maps, maps[0]]) == 0.5, "the good image at the end does not count"


def test_an_unknown_setting_is_refused(product: Category, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    study.add_arguments(parser)
    assert study.run(parser.parse_args([str(product.root), "--settings", "magic"])) == 2
    assert "There is no setting 'magic'" in capsys.readouterr().out


def test_pre_training_writes_a_network_that_knows_no_product(
    product: Category, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.commands.train_segmentation.Predictor", SmallPredictor)
    monkeypatch.setattr("model.commands.train_segmentation.text_encoder", HashedWords)
    parser = argparse.ArgumentParser()
    train_segmentation.add_arguments(parser)
    words = [str(product.root), "--run", str(tmp_path), "--steps", "1", "--limit", "1", "--references", "2"]
    assert train_segmentation.run(parser.parse_args(words)) == 0
    out = tmp_path / PACKAGED_SEG.name
    assert read_manifest(out)["types"] == ["defect"]
    assert float(read_weights(out)["skip.trust"]) == 0, "other products need the residual more"
    views = {k: v for k, v in read_weights(out).items() if k.startswith("views.") and ".out." in k}
    assert views
    assert all((v == 0).all() for v in views.values()), "the views of features stay closed"
