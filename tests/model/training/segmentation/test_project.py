from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from adclick_runtime.frame import Frame
from model.checkpoint.backbone_id import BackboneId
from model.checkpoint.files import part_of, read_weights
from model.checkpoint.manifest import LITE, PACKAGED_STATED, VIT, Packaged, read_manifest
from model.evidence.prepared import STATIC_CHANNELS
from model.labels.labelled import DEFECT, Kind, LabelledImage
from model.language.encoders import HashedWords
from model.language.vocabulary import Vocabulary
from model.segmentation.predictor import SegPredictor
from model.training.segmentation.batches import SegSampler, load_batch, read_crop
from model.training.segmentation.project import (
    Cancelled,
    Progress,
    SegTraining,
    new_network,
    train_segmentation,
)
from model.training.segmentation.samples import SampleWriter, read_header
from tests.helpers.plates import SmallPredictor, labelled, plate, stained

QUICK = SegTraining(steps=2, crops=((32, 2, 1.0),), synthetic=1, pasted=1, normal=1)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Two threads of torch wait for each other longer than they work, on maps this small and a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.training.segmentation.project.Predictor", SmallPredictor)
    monkeypatch.setattr("model.training.segmentation.project.text_encoder", lambda cache: HashedWords())


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> SampleWriter:
    return SampleWriter(
        tmp_path_factory.mktemp("samples"), SmallPredictor(), "", [plate(i) for i in range(3)], 0
    )


def test_a_reference_is_never_compared_with_itself(writer: SampleWriter) -> None:
    """A residual of zero would be learned as the only mark of a normal image."""
    image = writer.bank.predictor.encode(writer.bank.pixels[0])
    assert len(writer.bank.nearest(image, None)) == 3
    others = writer.bank.nearest(image, 0)
    assert len(others) == 2
    assert all(o is not writer.bank.encoded[0] for o in others)
    own, left_out = writer.bank.prepare(writer.bank.pixels[0]), writer.bank.prepare(writer.bank.pixels[0], 0)
    assert float(own.vectors.abs().max()) < 1e-3
    assert float(left_out.vectors.abs().max()) > 0.1


def test_samples_are_made_once_and_say_what_they_are(writer: SampleWriter) -> None:
    first = writer.labelled(labelled(7))
    stamp = first.path.stat().st_mtime_ns
    assert writer.labelled(labelled(7)).path.stat().st_mtime_ns == stamp
    pasted = writer.pasted(labelled(7), 0, 0)
    assert pasted is not None
    found = {s.path: (s.source, dict(s.kinds)) for s in map(read_header, writer.folder.glob("*.safetensors"))}
    assert found[first.path] == ("labelled", {"stain": "mask"})
    assert found[pasted.path] == ("pasted", {"stain": "mask"})
    assert writer.synthetic(1, 0).kinds == {DEFECT: "mask"}
    assert writer.normal(1).kinds == {}


def test_a_box_or_a_tag_has_no_shape_to_paste(writer: SampleWriter) -> None:
    assert writer.pasted(labelled(8, "box"), 0, 0) is None
    assert writer.pasted(labelled(8, "tag"), 0, 0) is None


def test_crops_say_what_is_known_of_the_type_that_is_looked_for(writer: SampleWriter) -> None:
    rng = np.random.default_rng(0)
    clicked = writer.labelled(labelled(9, "clicked"))
    crop = read_crop(clicked, "stain", 64, 0.0, rng)
    assert set(np.unique(crop["labels"])) == {-1.0, 0.0, 1.0}  # -1: the image is lower than the crop
    assert crop["relative"].shape[-2:] == (64, 64)
    assert crop["stride16"].shape[-2:] == (8, 8)
    assert (read_crop(clicked, DEFECT, 64, 0.0, rng)["labels"] == 1).any(), "every type is a defect"
    assert not (read_crop(clicked, "scratch", 64, 0.0, rng)["labels"] == 1).any()
    boxed = read_crop(writer.labelled(labelled(9, "box")), "stain", 64, 0.0, rng)
    assert not (boxed["labels"] == 1).any()
    assert boxed["somewhere"].sum() > (crop["labels"] == 1).sum()


def test_a_wider_band_abandons_more_pixels(writer: SampleWriter) -> None:
    clicked = writer.labelled(labelled(9, "clicked"))
    known = [
        int((read_crop(clicked, "stain", 64, e, np.random.default_rng(0))["labels"] == -1).sum())
        for e in (0.0, 0.45)
    ]
    assert known[1] > known[0]


def test_a_tag_is_only_drawn_with_the_whole_image(writer: SampleWriter) -> None:
    tagged, normal = writer.labelled(labelled(5, "tag")), writer.normal(0)
    sampler = SegSampler([tagged, normal], {"labelled": 1.0, "normal": 1.0}, 0.2)
    rng = np.random.default_rng(0)
    assert {sampler.draw(rng, whole=False).source for _ in range(20)} == {"normal"}
    assert {sampler.draw(rng, whole=True).source for _ in range(20)} == {"normal", "labelled"}
    batch = load_batch(sampler, 64, 2, 0.1, rng)
    assert batch.labels.shape == (2, 1, 128, 128)


@pytest.mark.parametrize(
    ("kinds", "beside"),
    [
        (("mask", "clicked"), {}),
        (("mask",), {"synthetic": 1, "pasted": 1}),
        (("mask", "box", "tag"), {"synthetic": 1, "pasted": 1}),  # a box does not show where a defect ends
    ],
)
def test_defects_are_drawn_and_pasted_only_beside_few_that_show_where_they_end(
    kinds: tuple[Kind, ...], beside: dict[str, int], tmp_path: Path
) -> None:
    references = {name: [plate(i) for i in range(20, 23)] for name in ("", "without labels")}
    train_segmentation(
        [labelled(i, kind) for i, kind in enumerate(kinds)],
        references,
        tmp_path / "seg.safetensors",
        version="v1",
        config=replace(QUICK, enough=2, pasted=2),
        resume=tmp_path / "state",
    )
    made = Counter(
        (s.product, s.source) for s in map(read_header, (tmp_path / "samples").rglob("*.safetensors"))
    )
    assert made == {
        **{("", source): count for source, count in beside.items()},
        ("", "labelled"): len(kinds),
        ("", "normal"): 1,
        ("without labels", "normal"): 1,
        ("without labels", "synthetic"): 1,
    }


def test_choices_without_a_place_teach_nothing_where_nothing_is_known_to_be_normal(tmp_path: Path) -> None:
    tagged = [labelled(i, "tag") for i in range(2)]
    with pytest.raises(
        ValueError, match=r"in each of the 2 labelled images .* \(at most: 1\)\. Accept the mask"
    ):
        train_segmentation(
            tagged, {"": [plate(20)]}, tmp_path / "seg.safetensors", version="v1", config=QUICK
        )
    train_segmentation(
        tagged, {"": [plate(20), plate(21)]}, tmp_path / "seg.safetensors", version="v1", config=QUICK
    )


def test_training_finds_stains_that_it_has_not_seen(tmp_path: Path) -> None:
    seen: list[Progress] = []
    judged: list[Path] = []

    def judge(weights: Path) -> dict[str, float]:
        """The network so far can be looked through, and is not the one that comes out in the end."""
        assert SegPredictor(weights).types == ("stain",)
        judged.append(weights)
        return {"ap": 0.25 * len(judged)}

    torch.manual_seed(0)
    about = train_segmentation(
        [labelled(i) for i in range(2)],
        {"": [plate(i) for i in range(20, 23)]},
        tmp_path / "seg.safetensors",
        version="v1",
        config=replace(QUICK, steps=15, crops=((48, 3, 1.0),)),
        report=seen.append,
        judge=judge,
    )
    assert [p.metrics for p in seen if p.stage == "training"] == [{"ap": 0.25}]
    assert not any(weights.exists() for weights in judged)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seg.json", "seg.safetensors"]
    assert [s for s in ("preparing", "training", "evaluating") if any(p.stage == s for p in seen)]
    assert about["samples"] == {"labelled": 2, "normal": 1, "pasted": 1, "synthetic": 1}
    manifest = read_manifest(tmp_path / "seg.safetensors")
    assert (manifest["preset"], manifest["version"], manifest["types"]) == ("lite-seg", "v1", ["stain"])
    predictor, seg = SmallPredictor(), SegPredictor(tmp_path / "seg.safetensors")
    image, mask = labelled(11).load(), labelled(11).labels["stain"].target > 0.5
    references = [predictor.encode(plate(i)) for i in range(20, 23)]
    prepared = predictor.prepare(predictor.encode(image), references, None)
    found = seg.maps(prepared, Frame.of(96, 128, 128))["stain"]
    assert found.shape == (96, 128)
    assert found[mask].mean() > 3 * found[~mask].mean()


def test_what_is_found_is_of_the_type_that_it_looks_like(tmp_path: Path) -> None:
    """The stains of one type are dark, those of the other were brightened."""

    def of_type(seed: int) -> LabelledImage:
        image = labelled(seed, type="dark")
        if seed % 2:
            return image
        pixels, mask = image.load().copy(), image.labels["dark"].target > 0.5
        pixels[mask] = 255 - pixels[mask] // 2
        return LabelledImage(image.name, lambda: pixels, {"bright": image.labels["dark"]})

    out = tmp_path / "seg.safetensors"
    references = [plate(i) for i in range(20, 23)]
    config = replace(QUICK, steps=15, crops=((48, 3, 1.0),))
    train_segmentation([of_type(i) for i in range(6)], {"": references}, out, version="v1", config=config)
    predictor, seg = SmallPredictor(), SegPredictor(out)
    encoded = [predictor.encode(reference) for reference in references]
    normal = predictor.usual(encoded[0], encoded[1:])
    for seed in range(30, 34):
        image = of_type(seed)
        ((name, label),) = image.labels.items()
        prepared = predictor.prepare(predictor.encode(image.load()), encoded, normal)
        maps = seg.maps(prepared, Frame.of(96, 128, 128))
        assert max(maps, key=lambda kind: float(maps[kind][label.target > 0.5].mean())) == name


def test_a_machine_that_crawls_trains_as_many_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = iter(range(0, 10**6, 3600))
    monkeypatch.setattr("model.training.segmentation.trainer.time.monotonic", lambda: float(next(hours)))
    config = replace(QUICK, steps=4)
    about = train_segmentation([labelled(0)], {}, tmp_path / "seg.safetensors", version="v1", config=config)
    assert about["steps"] == 4
    assert about["seconds"] > 3600


def test_a_training_that_is_judged_meanwhile_learns_the_same(tmp_path: Path) -> None:
    """Reliability row 25: the same labels make the same version, whoever watches."""
    judged = []

    def judge(weights: Path) -> dict[str, float]:
        judged.append(SegPredictor(weights).types)  # its network begins with random weights
        return {}

    found = []
    for name, asked in (("alone", None), ("watched", judge)):
        train_segmentation(
            [labelled(i) for i in range(2)],
            {"": [plate(i) for i in range(20, 23)]},
            tmp_path / f"{name}.safetensors",
            version="v1",
            config=replace(QUICK, steps=12),
            judge=asked,
        )
        found.append(read_weights(tmp_path / f"{name}.safetensors"))
    assert judged
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


@pytest.mark.parametrize("words", [True, False])
def test_without_words_the_pre_trained_attention_is_silent_too(words: bool) -> None:
    vocabulary = Vocabulary(HashedWords(), {})
    network = new_network(vocabulary, replace(QUICK, words=words))
    gate = network.language.gate[2]
    assert isinstance(gate, torch.nn.Conv2d)
    assert bool((gate.weight != 0).any()) == words


def test_training_can_start_from_a_click_network() -> None:
    vocabulary = Vocabulary(HashedWords(), {})
    network = new_network(vocabulary, QUICK, PACKAGED_STATED)
    click = part_of(read_weights(PACKAGED_STATED), "network")
    assert torch.equal(network.body.head.weight, click["head.weight"].float())
    assert torch.equal(
        network.body.stem.weight[:, :STATIC_CHANNELS], click["stem.weight"][:, :STATIC_CHANNELS].float()
    )
    assert not torch.equal(network.body.head.weight, new_network(vocabulary, QUICK).body.head.weight)


@pytest.mark.parametrize("networks", [VIT, LITE])
def test_what_is_trained_sees_with_the_backbone_that_serves_and_names_it(
    networks: Packaged, tmp_path: Path
) -> None:
    out, images = tmp_path / "seg.safetensors", [labelled(0), labelled(1)]
    references = {"": [plate(1), plate(2)]}
    train_segmentation(
        images, references, out, version="v1", config=QUICK, click=networks.click, start=networks.seg
    )
    predictor, seg, manifest = SmallPredictor(networks.click), SegPredictor(out), read_manifest(out)
    assert BackboneId(manifest["backbone"], manifest["backbone_sha256"]) == predictor.backbone_id
    assert seg.backbone_id == predictor.backbone_id
    assert dict(manifest["network"]["views"])["stride16"] == predictor.backbone.channels[16]
    prepared = predictor.prepare(predictor.encode(stained(0)[0]), [], None)
    assert seg.maps(prepared, Frame.of(96, 128, 128)).keys() == {"stain"}


def test_nothing_to_learn_from_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Label at least one defect, or add at least two"):
        train_segmentation([], {"": [plate(0)]}, tmp_path / "seg.safetensors", version="v1")


def test_one_label_trains_and_says_what_it_cannot_teach(tmp_path: Path) -> None:
    about = train_segmentation([labelled(0)], {}, tmp_path / "seg.safetensors", version="v1", config=QUICK)
    assert any("Only one image shows stain" in note for note in about["notes"])
    assert any("fewer than two references" in note for note in about["notes"])


def test_a_loss_that_is_no_number_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A NaN loss ends the training with a reason and writes no checkpoint (row 20)."""
    monkeypatch.setattr(
        "model.training.segmentation.trainer.weak_loss", lambda logits, *_: logits.sum() * float("nan")
    )
    with pytest.raises(FloatingPointError, match="The loss became nan at step 0"):
        train_segmentation([labelled(0)], {}, tmp_path / "seg.safetensors", version="v1", config=QUICK)
    assert list(tmp_path.glob("*.safetensors")) == []


def test_a_cancelled_training_goes_on_where_it_was(tmp_path: Path) -> None:
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 7

    resume, out = tmp_path / "state" / "last.safetensors", tmp_path / "seg.safetensors"
    config = replace(QUICK, steps=100)
    with pytest.raises(Cancelled):
        train_segmentation(
            [labelled(0)], {}, out, version="v1", config=config, resume=resume, cancelled=cancelled
        )
    assert not out.exists()
    assert resume.exists()
    about = train_segmentation([labelled(0)], {}, out, version="v1", config=QUICK, resume=resume)
    assert about["steps"] > QUICK.steps, "the steps before the interruption count"
    assert out.exists()
    assert not resume.exists(), "a finished training leaves no state to go on from"
