from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.checkpoint.files import read_weights
from model.labels.generated import GeneratedImage, boxed
from model.labels.labelled import WeakLabel, painted
from model.language.encoders import HashedWords
from model.segmentation.predictor import SegPredictor
from model.training.segmentation.batches import SegSampler, read_crop
from model.training.segmentation.project import prepare_samples, train_segmentation
from model.training.segmentation.samples import SampleWriter, SegSample
from model.training.segmentation.trainer import SegTraining
from tests.helpers.plates import SmallPredictor, labelled, plate, stained

QUICK = SegTraining(steps=2, crops=((32, 2, 1.0),), synthetic=1, pasted=1, normal=1)
REFERENCES = [plate(i) for i in range(3)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("model.training.segmentation.project.Predictor", SmallPredictor)
    monkeypatch.setattr("model.training.segmentation.project.text_encoder", lambda cache: HashedWords())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def box_of(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    inside = np.zeros_like(mask)
    inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return inside


def generated(
    seed: int, host: int | None = 0, kind: str = "box", type: str = "stain", product: str = ""
) -> GeneratedImage:
    """A stained plate that says it was painted on a reference."""
    image, mask = stained(seed)

    def label() -> WeakLabel:
        return painted(mask) if kind == "mask" else boxed(box_of(mask))

    return GeneratedImage(f"{type}-{seed}", lambda: image, label, type, host, product)


def train(out: Path, images: list[GeneratedImage], **changes: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    return train_segmentation(
        [labelled(i) for i in range(2)],
        {"": REFERENCES},
        out,
        version="v1",
        config=replace(QUICK, **changes),
        generated=images,
    )


def test_a_generated_image_is_not_compared_with_what_it_was_painted_on(tmp_path: Path) -> None:
    writer = SampleWriter(tmp_path, SmallPredictor(), "", REFERENCES, 0)
    seen: list[int | None] = []
    prepare = writer.bank.prepare

    def watched(pixels: np.ndarray, host: int | None = None) -> Any:
        seen.append(host)
        return prepare(pixels, host)

    writer.bank.prepare = watched  # type: ignore[method-assign]
    boxed_sample = writer.generated(generated(5, host=2))
    writer.generated(generated(6, host=None))
    assert seen == [2, None]
    assert (boxed_sample.source, dict(boxed_sample.kinds)) == ("generated", {"stain": "box"})
    masked = writer.generated(generated(5, host=2, kind="mask"))
    assert masked.path != boxed_sample.path
    assert seen == [2, None], "with another label it is not looked at again"


def test_outside_of_its_box_it_is_normal_and_inside_nothing_is_said(tmp_path: Path) -> None:
    writer = SampleWriter(tmp_path, SmallPredictor(), "", REFERENCES, 0)
    image, mask = stained(5)
    crop = read_crop(writer.generated(generated(5)), "stain", 64, 0.0, np.random.default_rng(0))
    inside = crop["somewhere"][0] > 0
    frame = crop["labels"][0, :96, :128]
    assert image.shape[:2] == frame.shape
    assert np.count_nonzero(inside) == np.count_nonzero(box_of(mask))
    assert set(np.unique(frame)) == {-1.0, 0.0}, "nowhere a defect by itself"
    assert (crop["labels"][0][inside] == -1).all()


def test_half_of_the_defects_are_generated_where_there_are_any() -> None:
    kinds = {"stain": "mask"}
    real = [SegSample(Path(s), s, "", kinds) for s in ("labelled", "pasted", "synthetic")]  # type: ignore[arg-type]
    normal, painted_on = (
        SegSample(Path("normal"), "normal", "", {}),
        SegSample(Path("g"), "generated", "", {"stain": "box"}),
    )
    shares = dict(SegTraining().shares)

    def weights(*samples: SegSample) -> dict[str, float]:
        sampler = SegSampler(samples, shares, 0.2)
        return dict(zip(sampler.sources, sampler.weights.round(6).tolist(), strict=True))

    assert weights(*real, normal) == {"labelled": 0.4, "normal": 0.2, "pasted": 0.2, "synthetic": 0.2}
    assert weights(*real, normal, painted_on) == {
        "generated": 0.4, "labelled": 0.2, "normal": 0.2, "pasted": 0.1, "synthetic": 0.1,
    }  # fmt: skip
    assert weights(real[0], painted_on) == {"generated": 0.5, "labelled": 0.5}


def test_of_too_many_some_of_each_type_are_used(tmp_path: Path) -> None:
    many = [generated(seed) for seed in range(10, 15)] + [
        generated(seed, type="scratch") for seed in (20, 21)
    ]
    samples = prepare_samples(
        [labelled(0)], {"": REFERENCES}, tmp_path, replace(QUICK, generated=4), lambda progress: None,
        generated=many,
    )  # fmt: skip
    used = [sample.path.stem.rsplit("-", 1)[0] for sample in samples if sample.source == "generated"]
    assert used == [
        "generated-stain-10",
        "generated-stain-11",
        "generated-scratch-20",
        "generated-scratch-21",
    ]


def test_what_is_generated_trains_but_cuts_no_mask_and_names_no_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[str] = []

    def watched(seen: Any, targets: Any, found: np.ndarray) -> Iterator[tuple[str, Any]]:
        named.extend(targets)
        return iter(())

    monkeypatch.setattr("model.training.segmentation.project.examples", watched)
    images = [generated(seed, host=seed % 3) for seed in range(30, 34)]
    scratched = [generated(40, type="scratch", kind="mask")]
    about = train(tmp_path / "seg.safetensors", images + scratched)
    assert about["samples"]["generated"] == 5
    assert named and "scratch" not in named
    again = train(tmp_path / "again.safetensors", images + scratched)
    assert again["samples"] == about["samples"]
    first, second = (read_weights(tmp_path / f"{name}.safetensors") for name in ("seg", "again"))
    assert all(torch.equal(first[key], second[key]) for key in first), "the same images give the same network"
    assert SegPredictor(tmp_path / "seg.safetensors").types == ("scratch", "stain")
    plain = train(tmp_path / "plain.safetensors", [])
    assert "generated" not in plain["samples"]
    without = read_weights(tmp_path / "plain.safetensors")
    layers = [key for key in without if not key.startswith(("words.", "head."))]
    assert any(not torch.equal(first[key], without[key]) for key in layers), "it is learned from"


def test_a_host_that_is_no_reference_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="painted on reference 3, and there are 3 of its product"):
        train(tmp_path / "seg.safetensors", [generated(5, host=3)])


def test_with_one_reference_there_is_nothing_to_compare_it_with(tmp_path: Path) -> None:
    samples = prepare_samples(
        [labelled(0)], {"": REFERENCES[:1]}, tmp_path, QUICK, lambda progress: None, generated=[generated(5)]
    )
    assert [sample.source for sample in samples] == ["labelled"]
