"""Masks before the first click: what makes them, with the packaged weights, on small drawn images."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_backend.engine.bank import EngineError, ImageKey, ReferenceBank, VersionError
from adclick_backend.engine.engine import Engine
from adclick_backend.engine.networks import SegmentationNetworks
from adclick_backend.store.proposal_source import ProposalSource
from adclick_runtime.frame import Frame
from model.checkpoint.backbone_id import backbone_of
from model.checkpoint.files import read_weights, write_checkpoint
from model.checkpoint.manifest import (
    LITE,
    PACKAGED,
    PACKAGED_SEG,
    VIT,
    CheckpointError,
    Packaged,
    read_manifest,
)
from model.clicks import Click
from model.evidence.prepared import Prepared
from tests.helpers.shelf import Shelf, draw, no_image, spot, trained


class FakeSegmenter:
    """Says that the dark spot is a stain, from the very image that was prepared."""

    backbone_id = backbone_of(PACKAGED, read_manifest(PACKAGED))

    def __init__(self) -> None:
        self.asked = 0

    def maps(self, prepared: Prepared, frame: Frame) -> dict[str, NDArray[np.float32]]:
        self.asked += 1
        log = prepared.log_energies[0, 0].float().numpy()
        dark = cv2.resize(log, (frame.width, frame.height)) > log.max() - 1
        return {"stain": np.where(dark, 0.9, 0.05).astype(np.float32)}


def test_references_alone_propose_what_is_unusual(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with other weights than the packaged ones, which no segmentation network comes with."""
    monkeypatch.setattr(shelf.engine._sources.networks, "packaged", None)
    key = ImageKey("7", "1" * 64)
    found = shelf.engine.propose(key, shelf.bank, lambda: draw(63, (60, 110)))
    assert (found.source, found.size) == ("residual", (160, 240))
    (region,) = found.regions
    assert region.type == "defect"
    assert (region.mask & spot()).sum() / (region.mask | spot()).sum() > 0.4
    assert 0 < found.score < 0.6  # it is only the residual
    assert shelf.engine.propose(key, shelf.bank, no_image) is found
    assert shelf.engine.click(key, shelf.bank, no_image, [Click(60, 110, True)]).mask.any()


def test_how_unlike_the_references_an_image_is(shelf: Shelf) -> None:
    """Another good image is as unlike them as they are unlike each other; something else is not."""
    good, other = draw(64), np.ascontiguousarray(draw(64).transpose(1, 0, 2)[::-1])
    other[40:200] = np.random.default_rng(0).integers(0, 256, other[40:200].shape, np.uint8)
    found = [
        shelf.engine.unlike(ImageKey("7", name * 32), shelf.bank, lambda pixels=pixels: pixels)  # type: ignore[misc]
        for name, pixels in (("5d", good), ("5e", other))
    ]
    assert 0.6 < found[0] < 1.6 < 3.0 < found[1]
    alone = ReferenceBank("7", "", shelf.bank.references[:1])
    assert shelf.engine.unlike(ImageKey("7", "5d" * 32), alone, lambda: good) == 0.0


def test_the_packaged_network_proposes_before_any_training(shelf: Shelf) -> None:
    key = ImageKey("7", "70" * 32)
    found = shelf.engine.propose(key, shelf.bank, lambda: draw(64, (60, 110)))
    assert found.source == "packaged"
    (region,) = found.regions
    assert region.type == "defect"
    assert (region.mask & spot()).sum() / (region.mask | spot()).sum() > 0.4
    assert shelf.engine.propose(ImageKey("7", "6" * 64), shelf.bank, lambda: draw(22)).regions == ()


def test_masks_are_cut_where_a_person_set_the_threshold(shelf: Shelf) -> None:
    """The same forward's maps, shifted; a threshold of 0.5, or none, changes no bit."""
    key, asked = ImageKey("7", "7a" * 32), ProposalSource("packaged")
    usual = shelf.engine.propose(key, shelf.bank, lambda: draw(64, (60, 110)), asked)
    maps = shelf.engine.maps(key, shelf.bank, no_image, asked)
    areas = {}
    for point in (0.01, 0.5, 0.97):
        found = shelf.engine.propose(key, shelf.bank, no_image, asked.at({"defect": point, "scratch": 0.1}))
        areas[point] = sum(int(region.mask.sum()) for region in found.regions)
        moved = shelf.engine.maps(key, shelf.bank, no_image, asked.at({"defect": point}))["defect"]
        assert np.array_equal(moved > 0.5, maps["defect"] > point)
    assert areas[0.01] > areas[0.5] > areas[0.97]
    assert areas[0.5] == sum(int(region.mask.sum()) for region in usual.regions)
    assert shelf.engine.propose(key, shelf.bank, no_image, asked) is usual
    residual = shelf.engine.maps(key, shelf.bank, no_image, ProposalSource("residual"))
    assert np.array_equal(shelf.engine.maps(key, shelf.bank, no_image, asked)["defect"], maps["defect"])
    assert not np.array_equal(residual["defect"], maps["defect"])


def test_a_threshold_says_nothing_about_the_network_that_steps_in(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf.engine._sources.networks, "get", {Path("v1"): FakeSegmenter()}.__getitem__)
    few, key = ReferenceBank("7", "", shelf.bank.references[:2]), ImageKey("7", "7b" * 32)
    asked = ProposalSource("invad-tiny", Path("v1"), points=(("stain", 0.99),))
    found = shelf.engine.propose(key, few, lambda: draw(66, (60, 110)), asked)
    assert (found.source, [region.type for region in found.regions]) == ("trained", ["stain"])
    cut = ProposalSource("trained", Path("v1"), points=(("stain", 0.99),))
    assert shelf.engine.propose(key, few, no_image, cut).regions == ()


def test_two_references_propose_nothing(shelf: Shelf) -> None:
    """Reliability row 21: with so few nobody can say what is usual."""
    bank = ReferenceBank("7", "two", shelf.bank.references[:2])
    found = shelf.engine.propose(ImageKey("7", "3" * 64), bank, lambda: draw(65, (60, 110)))
    assert (found.regions, found.source) == ((), "none")
    assert shelf.engine.source(bank, None) == "none"
    assert shelf.engine.source(bank, trained(Path("trained"))) == "trained"


def test_a_trained_version_proposes_and_each_version_is_asked_once(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = {Path("v1"): FakeSegmenter(), Path("v2"): FakeSegmenter()}
    monkeypatch.setattr(shelf.engine._sources.networks, "get", networks.__getitem__)
    key = ImageKey("7", "4" * 64)
    for weights in (Path("v1"), Path("v2"), Path("v1")):
        found = shelf.engine.propose(key, shelf.bank, lambda: draw(66, (60, 110)), trained(weights))
        assert found.source == "trained"
        assert [region.type for region in found.regions] == ["stain"]
        assert found.regions[0].mask[110, 60]
    assert [network.asked for network in networks.values()] == [1, 1]


@pytest.mark.parametrize(("serving", "before"), [(VIT, LITE), (LITE, VIT)])
def test_a_version_goes_on_seeing_with_the_backbone_that_it_was_trained_behind(
    serving: Packaged, before: Packaged, tmp_path: Path
) -> None:
    """Its maps are what they were, and clicks are answered by what serves now."""
    weights, key, image = tmp_path / "weights.safetensors", ImageKey("7", "5e" * 32), draw(66, (60, 110))
    state = read_weights(before.seg)
    state["skip.trust"] = state["skip.trust"] + 0.1  # no packaged one
    write_checkpoint(weights, state, read_manifest(before.seg))
    then = Shelf(tmp_path / "then")
    then.engine = Engine(then.settings, before.click)
    now = Shelf(tmp_path / "now")
    now.engine = Engine(now.settings, serving.click)
    for seed in range(4):
        then.add(draw(seed)), now.add(draw(seed))
    click = [Click(60, 110, True)]
    answer = now.engine.click(key, now.bank, lambda: image, click).probability
    expected = then.engine.maps(key, then.bank, lambda: image, trained(weights))
    found = now.engine.maps(key, now.bank, lambda: image, trained(weights))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(found[name], values)
    assert now.engine.propose(key, now.bank, no_image, trained(weights)).source == "trained"
    again = Engine(now.settings, serving.click)
    assert np.array_equal(again.maps(key, now.bank, no_image, trained(weights))["defect"], expected["defect"])
    assert np.array_equal(again.click(key, now.bank, lambda: image, click).probability, answer)


def test_a_version_behind_a_backbone_that_is_not_here_says_so(shelf: Shelf, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    write_checkpoint(
        weights,
        read_weights(LITE.seg),
        {**read_manifest(LITE.seg), "backbone_sha256": "ab" * 32},
    )
    says = r"trained behind the backbone efficientnet_lite0 \(abababababab\), which is not among the weights here"
    with pytest.raises(VersionError, match=says):
        shelf.engine.load(weights)
    with pytest.raises(VersionError, match=says):
        shelf.engine.propose(ImageKey("7", "5f" * 32), shelf.bank, no_image, trained(weights))


def test_a_version_that_cannot_be_loaded_is_explained(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_: Path) -> None:
        raise CheckpointError("weights.safetensors is truncated.")

    monkeypatch.setattr(shelf.engine._sources.networks, "get", damaged)
    with pytest.raises(EngineError, match="network could not be loaded: weights"):
        shelf.engine.propose(ImageKey("7", "5" * 64), shelf.bank, lambda: draw(67), trained(Path("v1")))


def test_weights_that_do_not_fit_are_told_from_weights_that_cannot_be_read(
    shelf: Shelf, tmp_path: Path
) -> None:
    """Reliability row 8: the one asks for another version, the other may be over in a moment."""
    weights = tmp_path / "weights.safetensors"
    state = read_weights(PACKAGED_SEG)
    write_checkpoint(
        weights, {**state, "skip.trust": state["skip.trust"].expand(2)}, read_manifest(PACKAGED_SEG)
    )
    with pytest.raises(VersionError, match=r"could not be loaded: .* has other shapes for skip\.trust"):
        shelf.engine.propose(ImageKey("7", "5" * 64), shelf.bank, lambda: draw(67), trained(weights))
    with pytest.raises(VersionError, match=r"has other shapes for skip\.trust"):
        shelf.engine.load(weights)
    weights.unlink()
    with pytest.raises(EngineError, match="cannot be read") as caught:
        shelf.engine.load(weights)
    assert not isinstance(caught.value, VersionError)


def test_segmenters_stay_loaded_until_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[Path, str]] = []
    module = types.ModuleType("model.segmentation.predictor")
    module.SegPredictor = lambda *args: loaded.append(args) or object()  # type: ignore[attr-defined, func-returns-value]
    monkeypatch.setitem(sys.modules, "model.segmentation.predictor", module)
    segmenters = SegmentationNetworks("cpu", kept=2)
    names = [Path(name) for name in ("a", "b", "a", "c", "a", "b")]
    for name in names:
        segmenters.get(name)
    assert [path.name for path, *_ in loaded] == ["a", "b", "c", "b"]
