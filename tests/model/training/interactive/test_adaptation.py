"""A click network learns a product: what it learns from, what it writes, and how it is stopped and gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model.checkpoint.files import read_weights
from model.checkpoint.manifest import LITE, read_manifest
from model.interactive.predictor import Predictor
from model.labels.labelled import LabelledImage, WeakLabel
from model.training.interactive.adaptation import Adaptation, adapt_click_network
from model.training.interactive.adaptation_samples import (
    AdaptationSamples,
    drawn_windows,
    is_painted,
    known_mask,
)
from model.training.interactive.batches import ClickTraining
from model.training.progress import Cancelled, Progress
from tests.helpers.plates import labelled, plate

QUICK = Adaptation(ClickTraining(steps=2, learning_rate=1e-2, crops=((32, 2, 1.0),)), synthetic=1)


class Small(Predictor):
    """A packaged network on a working frame of 128 px."""

    def __init__(self, weights: Path, asked: str = "auto") -> None:
        super().__init__(weights, asked=asked)
        self.long_side = 128


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("model.training.interactive.adaptation.Predictor", Small)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def adapt(images: list[LabelledImage], out: Path, **more: object) -> dict[str, object]:
    references = {"": [plate(i) for i in range(3)]}
    given = {"version": "p1-v1", "start": LITE.click, "config": QUICK, **more}
    return adapt_click_network(images, references, out, **given)  # type: ignore[arg-type]


def test_the_adapted_network_looks_through_the_backbone_of_the_one_it_started_from(tmp_path: Path) -> None:
    out, seen = tmp_path / "click.safetensors", list[Progress]()
    about = adapt([labelled(7), labelled(8, "clicked")], out, report=seen.append)
    assert about["steps"] == 2 and about["images"] == 2
    assert {name: bool(count) for name, count in about["samples"].items()} == {  # type: ignore[attr-defined]
        "painted": True, "clicked": True, "synthetic": True,
    }  # fmt: skip
    assert {progress.stage for progress in seen} == {"preparing"}  # fewer steps than it reports
    assert not any(name.startswith("backbone.") for name in read_weights(out))
    manifest, shared = read_manifest(out), Predictor(LITE.click)
    assert manifest["version"] == "p1-v1" and manifest["base"] == shared.version
    assert manifest["temperature"] == shared.temperature
    adapted = shared.with_network(out)
    before, after = (n.state_dict()["stem.weight"] for n in (shared.network, adapted.network))
    assert not torch.equal(before, after)


def test_only_a_part_of_the_way_is_gone(tmp_path: Path) -> None:
    """The weights lie on the line from those at the start to those that were learned."""
    adapt([labelled(7)], tmp_path / "all.safetensors", config=replace(QUICK, moved=1.0))
    adapt([labelled(7)], tmp_path / "none.safetensors", config=replace(QUICK, moved=0.0))
    adapt([labelled(7)], tmp_path / "half.safetensors", config=replace(QUICK, moved=0.5))
    end, start, half = (
        load_file(tmp_path / f"{name}.safetensors")["network.stem.weight"].float()
        for name in ("all", "none", "half")
    )
    assert torch.equal(start, read_weights(LITE.click)["network.stem.weight"])
    assert torch.allclose(half, (start + end) / 2, atol=2e-3) and float((end - start).abs().max()) > 5e-3


def test_there_has_to_be_something_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no image has an accepted mask, and no product has two references"):
        adapt_click_network(
            [labelled(7, "box")], {"": [plate(0)]}, tmp_path / "x.safetensors", version="x", start=LITE.click
        )


def test_drawn_defects_alone_are_enough(tmp_path: Path) -> None:
    about = adapt([], tmp_path / "click.safetensors")
    samples = about["samples"]
    assert isinstance(samples, dict) and samples.pop("synthetic") > 0 and not any(samples.values())


def test_a_cancelled_adaptation_goes_on_where_it_was(tmp_path: Path) -> None:
    """Reliability row 18: samples that are there are not made again, steps that were done are not done again."""
    asked = iter([False] * 8)
    out, state = tmp_path / "click.safetensors", tmp_path / "state"
    long = replace(QUICK, training=replace(QUICK.training, steps=1000))
    with pytest.raises(Cancelled):
        adapt([labelled(7)], out, resume=state, config=long, cancelled=lambda: next(asked, True))
    assert not out.exists() and (state / "last.safetensors").exists()
    stamps = {p: p.stat().st_mtime_ns for p in state.rglob("samples/**/*.safetensors")}
    done = replace(QUICK, training=replace(QUICK.training, steps=1))
    assert adapt([labelled(7)], out, resume=state, config=done)["steps"] >= 1  # type: ignore[operator]
    assert stamps and {p: p.stat().st_mtime_ns for p in stamps} == stamps


def test_a_damaged_state_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "last.safetensors").write_bytes(b"half a fi")
    assert adapt([labelled(7)], tmp_path / "click.safetensors", resume=tmp_path)["steps"] == 2


def test_a_reference_with_a_drawn_defect_is_not_compared_with_itself(tmp_path: Path) -> None:
    samples = AdaptationSamples(tmp_path / "p", Small(LITE.click), [plate(i) for i in range(3)], 0, 1)
    found = samples.synthetic(0, 0)
    assert found and not found[0].real
    vectors = load_file(found[0].path)["vectors"].float()
    assert float(vectors.abs().max()) > 0.1


def test_what_an_accepted_map_leaves_open_is_not_learned() -> None:
    clicked = labelled(8, "clicked")
    mask = known_mask(clicked)
    assert set(np.unique(mask)) == {-1.0, 0.0, 1.0} and not is_painted(clicked)
    label = clicked.labels["stain"]
    corrected = LabelledImage("x", clicked.load, {"stain": replace(label, certain=label.target > 0.4)})
    assert is_painted(corrected)
    assert (known_mask(corrected) < 0).sum() < (mask < 0).sum()
    sure = WeakLabel("mask", np.ones_like(label.target), np.ones(label.target.shape, bool))
    both = LabelledImage("x", clicked.load, {"stain": label, "scratch": sure})
    assert (known_mask(both) == 1).all(), "a defect of one type is a defect"


def test_beside_a_box_no_mask_is_known() -> None:
    image = labelled(8)
    boxed = LabelledImage("x", image.load, {**image.labels, "scratch": labelled(9, "box").labels["stain"]})
    with pytest.raises(ValueError, match="has no mask"):
        known_mask(boxed)


def test_windows_hold_a_part_of_the_mask_and_are_opened_as_in_use() -> None:
    mask = np.zeros((1000, 1200), bool)
    mask[100:130, 100:160] = mask[800:840, 900:930] = True
    rng = np.random.default_rng(0)
    windows = [w for _ in range(10) for w in drawn_windows(mask, 2, 512, rng)]
    assert windows and all(w.cut(mask).any() for w in windows)
    assert all(320 <= w.height <= 1000 for w in windows)
    assert drawn_windows(np.ones((1000, 1200), bool), 2, 512, rng) == []  # the whole image shows enough
