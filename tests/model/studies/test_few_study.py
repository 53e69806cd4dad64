"""What generated defects are worth: the arms of the comparison, with a generator of red ellipses on plates."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from model.commands import few_study as command
from model.commands import study
from model.datasets.mvtec import Category
from model.detectors.methods import PRESETS
from model.detectors.onenip.config import ONENIP_TINY
from model.generation.anogen.examples import Example
from model.generation.anogen.files import read_origin
from model.generation.anogen.generator import GeneratorError, Learned, Painted
from model.generation.anogen.window import Box, Image
from model.language.encoders import HashedWords
from model.studies import few_study
from model.studies.few_study import ARMS, Few, comparable
from model.studies.generated_pictures import painted_once
from model.studies.label_study import Split
from model.studies.results import read
from model.training.detectors.settings import DetectorTraining
from tests.helpers.plates import SmallPredictor, plate, stained

SMALL = Few(few=2, pictures=2, steps=1)


class Ellipses:
    """Paints a red ellipse in each box, and cannot learn pits."""

    def __init__(self, name: str = "ellipses-1"):
        self.name, self.learned, self.painted = name, 0, 0
        self.seen: list[bytes] = []

    def learn(
        self,
        examples: Sequence[Example],
        *,
        seed: int = 0,
        report: Callable[[float, float], None] = lambda share, loss: None,
    ) -> Learned:
        self.learned += 1
        self.seen += [example.pixels.tobytes() for example in examples]
        if not any(example.mask.any() for example in examples):
            raise GeneratorError("Nothing can be seen.")
        return Learned(np.zeros(1, np.float32), self.name, 0.5, 1, 0.1, len(examples))

    def paint(
        self, normal: Image, box: Box, learned: Learned, seed: int, go_on: Callable[[], None] = lambda: None
    ) -> Painted:
        self.painted += 1
        self.seen.append(normal.tobytes())
        mask = np.zeros(normal.shape[:2], np.uint8)
        centre = (box.left + box.right) // 2, (box.top + box.bottom) // 2
        cv2.ellipse(mask, centre, (max(1, box.width // 3), max(1, box.height // 3)), 0, 0, 360, 1, -1)
        inside = box.mask((normal.shape[0], normal.shape[1])) & (mask > 0)
        pixels = normal.copy()
        pixels[inside] = (150, 10, 10)
        return Painted(pixels, box, inside)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("model.training.segmentation.project.Predictor", SmallPredictor)
    monkeypatch.setattr("model.training.segmentation.project.text_encoder", lambda cache: HashedWords())
    monkeypatch.setattr(few_study, "Predictor", SmallPredictor)
    monkeypatch.setattr(few_study, "SegTraining", lambda **given: _brief(**given))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _brief(**given: Any) -> Any:
    from model.training.segmentation.trainer import SegTraining

    return replace(SegTraining(**given), crops=((32, 2, 1.0),), normal=1)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Category:
    """Eight good plates; five with a stain and one with a pit."""
    root = tmp_path_factory.mktemp("data") / "drawn" / "plate"
    for kind in ("train/good", "test/stain", "test/pit", "ground_truth/stain", "ground_truth/pit"):
        (root / kind).mkdir(parents=True)
    for i in range(8):
        cv2.imwrite(str(root / f"train/good/{i}.png"), plate(i))
    for i in range(6):
        kind = "stain" if i < 5 else "pit"
        image, mask = stained(50 + i)
        cv2.imwrite(str(root / f"test/{kind}/{i}.png"), image)
        cv2.imwrite(str(root / f"ground_truth/{kind}/{i}_mask.png"), mask.astype(np.uint8) * 255)
    return Category(root)


def test_a_few_of_each_type_train_and_at_least_one_is_left_to_measure_on(product: Category) -> None:
    predictor = SmallPredictor()
    for few, trained in ((1, 1), (3, 3), (9, 4)):
        split = Split(product, 0, predictor, few)
        assert [d.type for d in split.train] == ["stain"] * trained
        assert [d.type for d in split.test] == ["pit"] + ["stain"] * (5 - trained)
        assert {d.name for d in split.train}.isdisjoint(d.name for d in split.test)


def test_each_arm_trains_with_what_its_name_says_and_nothing_is_measured_twice(
    product: Category, tmp_path: Path
) -> None:
    out, ellipses = tmp_path / "few.jsonl", Ellipses()
    names = ["labels alone", "labels + drawn", "labels + AnoGen, boxes"]

    def run(generator: Ellipses, names: list[str]) -> dict[str, dict[str, Any]]:
        found = few_study.run([product], out, 1, names, tmp_path / "samples", generator, SMALL)
        return {row["setting"]: row for row in found}

    found = run(ellipses, names)
    sources = {name: set(row["samples"]) for name, row in found.items()}
    assert sources == {
        "labels alone": {"labelled", "normal"},
        "labels + drawn": {"labelled", "normal", "synthetic"},
        "labels + AnoGen, boxes": {"labelled", "normal", "generated"},
    }
    assert found["labels + drawn"]["samples"]["synthetic"] == 2
    assert found["labels + AnoGen, boxes"]["samples"] == {"generated": 2, "labelled": 2, "normal": 1}
    assert (ellipses.learned, ellipses.painted) == (1, 2)
    assert {(row["labelled"], row["tested"]) for row in found.values()} == {(2, 4)}
    assert all(0 <= row[measure] <= 1 for row in found.values() for measure in ("ap", "pro", "image_auroc"))
    folder = tmp_path / "samples/drawn/plate/0-few-2-2"
    assert not (folder / "samples").exists(), "many gigabytes would be left over all products"
    assert len(list((folder / "generated-ellipses-1/stain").glob("generated-00?.png"))) == 2

    split = Split(product, 0, SmallPredictor(), SMALL.few)
    measured = {pixels.tobytes() for pixels in (*(d.pixels for d in split.test), *split.good)}
    assert len(ellipses.seen) == 4 and measured.isdisjoint(ellipses.seen), (
        "nothing that is measured is learned"
    )

    assert run(ellipses, names) == {}
    better = Ellipses("ellipses-2")
    assert list(run(better, names)) == ["labels + AnoGen, boxes"], "the others do not depend on the generator"
    assert len(read(out)) == 4


def test_onenip_is_trained_from_references_with_and_without_what_is_generated(
    product: Category, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.training.detectors.project.Predictor", SmallPredictor)
    sizes = replace(ONENIP_TINY, width=64, heads=4, feed_forward=128, grid=4, neighbourhood=3, refiner=32)
    monkeypatch.setitem(PRESETS, "onenip-tiny", PRESETS["onenip-tiny"]._replace(config=sizes))
    monkeypatch.setattr(few_study, "DetectorTraining", lambda **given: DetectorTraining(steps=2, **given))
    names = ["OneNIP", "OneNIP + AnoGen, boxes"]
    found = list(
        few_study.run(
            [product], tmp_path / "few.jsonl", 1, names, tmp_path / "samples", Ellipses(), SMALL, "float32"
        )
    )
    plain, taught = (row["samples"] for row in found)
    assert plain == {"normal": 5, "generated": 0}
    assert taught["generated"] in (1, 2), "what was painted on the one that is kept back is left out"
    assert found[0]["ap"] != found[1]["ap"]


def test_pictures_are_painted_once_and_say_that_they_are_generated(tmp_path: Path) -> None:
    examples = [Example(*stained(seed)) for seed in (1, 2)]
    hosts = [plate(i) for i in range(3)]
    ellipses = Ellipses()

    def series() -> Any:
        return painted_once(ellipses, "stain", examples, hosts, 4, tmp_path / "pictures", seed=3)

    first = series()
    assert [picture.file.name for picture in first.pictures] == [f"generated-00{n}.png" for n in range(4)]
    origins = [read_origin(picture.file) for picture in first.pictures]
    assert [origin.host for origin in origins if origin] == [f"reference {p.host}" for p in first.pictures]
    assert series() == first
    assert ellipses.painted == 4
    (tmp_path / "pictures/stain.json").unlink()  # as a run that was killed leaves it
    assert [picture.name for picture in series().pictures] == [picture.name for picture in first.pictures]

    picture = first.pictures[0]
    box, mask = picture.training("box"), picture.training("mask")
    inside = box.label().target > 0
    assert (box.label().kind, mask.label().kind, box.host) == ("box", "mask", picture.host)
    pixels, host = box.load(), hosts[picture.host]
    assert np.array_equal(pixels[~inside], host[~inside]), "outside of the box it is the host"
    assert np.array_equal(mask.label().target > 0, (pixels != host).any(2))
    left, top, right, bottom = picture.box
    assert inside.sum() == (right - left) * (bottom - top)


def test_a_type_that_cannot_be_learned_is_left_out_in_words(tmp_path: Path) -> None:
    nothing = Example(plate(1), np.zeros((96, 128), bool))
    found = painted_once(Ellipses(), "pit", [nothing], [plate(2)], 4, tmp_path, seed=0)
    assert (found.pictures, found.refused) == ((), "Nothing can be seen.")
    assert painted_once(Ellipses(), "pit", [nothing], [plate(2)], 4, tmp_path, seed=0) == found


RUNS = (("s/a", 0), ("s/a", 1), ("s/b", 0), ("s/b", 1))


def _row(setting: str, product: str, split: int, ap: float, **more: Any) -> dict[str, Any]:
    rest = {"pro": 0.5, "pixel_auroc": 0.5, "image_auroc": 0.5, "few": 3, "pictures": 16, "steps": 150}
    return {"setting": setting, "product": product, "split": split, "ap": ap, **rest, **more}


def test_the_table_says_what_is_gained_over_drawn_defects_and_how_surely() -> None:
    boxes, drawn = "labels + AnoGen, boxes", "labels + drawn"
    rows = [
        _row(name, product, split, ap)
        for name, aps in ((drawn, (0.5, 0.6, 0.4, 0.1)), (boxes, (0.52, 0.64, 0.4, 0.9)))
        for (product, split), ap in zip(RUNS, aps, strict=True)
    ][:-1]  # the last one is not measured yet
    rows += [_row("OneNIP + AnoGen, boxes", product, split, 0.4) for product, split in RUNS]
    lines = command.table(rows, 3).splitlines()
    assert lines.pop().endswith("| - |"), "OneNIP alone was not measured"
    assert lines[0].startswith("| 3 runs each") and lines[0].endswith("| AP gained |")
    assert lines[2].startswith("| labels + drawn |") and lines[2].endswith("| - |")
    assert lines[3].endswith("| +2.0 ± 1.2 |"), "mean of 2, 4 and 0; their deviation 2 / sqrt(3)"
    assert len({line.count("|") for line in lines}) == 1
    assert command.table(rows, 1).splitlines()[3].endswith("| +1.0 ± 1.0 |"), "the first split alone"


def test_only_results_under_the_same_conditions_are_compared() -> None:
    rows = [
        _row("labels alone", "s/a", 0, 0.5),
        _row("labels alone", "s/a", 0, 0.6, steps=40),
        _row("labels + AnoGen, boxes", "s/a", 0, 0.7, generator="old"),
        _row("labels + AnoGen, boxes", "s/a", 0, 0.8, generator="new"),
    ]
    assert [row["ap"] for row in comparable(rows, Few(3, 16, 150), "new")] == [0.5, 0.8]


def test_what_is_not_there_is_refused_in_words(
    product: Category, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    study.add_arguments(parser)
    words = [str(product.root), "--few", "3", "--out", str(tmp_path)]
    assert study.run(parser.parse_args([*words, "--settings", "5 clicks"])) == 2
    assert f"There is no setting '5 clicks'; there are: {', '.join(ARMS)}." in capsys.readouterr().out
    assert study.run(parser.parse_args([*words, "--generator", str(tmp_path / "no.safetensors")])) == 2
    assert "The manifest no.json of the weights cannot be read" in capsys.readouterr().out
