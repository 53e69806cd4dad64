"""Answers to clicks with the packaged weights, on small drawn images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from adclick_backend.clicks.near import Near
from adclick_backend.engine.bank import EngineError, ImageKey, ReferenceBank, VersionError
from adclick_backend.engine.engine import Engine
from adclick_backend.engine.windows import LOOKED_AT
from adclick_runtime.frame import Frame
from model.checkpoint.backbone_id import backbone_of
from model.checkpoint.files import read_weights, write_checkpoint
from model.checkpoint.manifest import PACKAGED, manifest_path, read_manifest
from model.clicks import Click
from model.evidence.prepared import Prepared
from model.interactive.predictor import Predictor
from model.interactive.zoom import Window
from tests.helpers.shelf import Pixels, Shelf, draw, lite, look_closer, no_image, spot


def test_a_click_gives_the_mask_of_the_spot(shelf: Shelf) -> None:
    key = ImageKey("7", "a" * 64)
    found = shelf.engine.click(key, shelf.bank, lambda: draw(50, (60, 110)), [Click(60.5, 110.5, True)])
    assert found.mask.shape == (160, 240)
    assert (found.mask & spot()).sum() / (found.mask | spot()).sum() > 0.6
    assert 0 < found.score <= 1
    assert {"features", "match", "network"} <= found.milliseconds.keys()


@pytest.mark.parametrize("count", [0, 1])
def test_without_or_with_one_reference_a_click_still_gives_a_mask(shelf: Shelf, count: int) -> None:
    """Reliability row 21."""
    bank = ReferenceBank("7", "few", shelf.bank.references[:count])
    found = shelf.engine.click(
        ImageKey("7", "d" * 64), bank, lambda: draw(53, (60, 110)), [Click(60, 110, True)]
    )
    assert found.mask[110, 60]
    assert found.mask.mean() < 0.2


def test_further_clicks_see_the_mask_before(shelf: Shelf) -> None:
    key, first = ImageKey("7", "1" * 64), Click(60.0, 110.0, True)
    image = draw(60, (60, 110))
    shelf.engine.click(key, shelf.bank, lambda: image, [first])
    both = shelf.engine.click(key, shelf.bank, no_image, [first, Click(120.0, 80.0, False)])
    assert both.mask[110, 60]
    assert not both.mask[80, 120]


def test_clicks_correct_a_mask_that_was_there_and_no_other_object_begins_with_it(shelf: Shelf) -> None:
    key, image = ImageKey("7", "2" * 64), draw(64, (60, 110))
    false = np.zeros((160, 240), bool)
    false[20:36, 190:210] = True
    away = [Click(200.0, 28.0, False)]
    corrected = shelf.engine.click(key, shelf.bank, lambda: image, away, begun=spot() | false).mask
    assert not corrected[28, 200]
    assert corrected[spot()].mean() > 0.6
    assert not shelf.engine.click(key, shelf.bank, no_image, away).mask.any()  # the same click on nothing
    again = shelf.engine.click(key, shelf.bank, no_image, away, begun=spot() | false).mask
    assert np.array_equal(again, corrected)


def test_a_window_is_opened_once_and_compared_with_the_references(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    look = Predictor.look

    def counted(self: Predictor, image: Pixels, window: Window, references: list[Pixels]) -> Prepared:
        looks.append(len(references))
        return look(self, image, window, references)

    monkeypatch.setattr(Predictor, "look", counted)
    look_closer(shelf.engine, monkeypatch)
    key, image = ImageKey("7", "3" * 64), cv2.resize(draw(61, (60, 110)), (960, 640))
    clicks = [Click(240.0, 440.0, True), Click(250.0, 446.0, True), Click(236.0, 430.0, True)]
    for count in (1, 2, 3):
        found = shelf.engine.click(key, shelf.bank, lambda: image, clicks[:count])
    assert looks == [LOOKED_AT]
    assert found.mask.shape == (640, 960)
    assert found.mask[440, 240]


def test_a_first_click_finds_open_what_was_expected(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a window is opened for it, nor is the whole image looked at."""
    look_closer(shelf.engine, monkeypatch)
    key, image = ImageKey("7", "9" * 64), cv2.resize(draw(62, (60, 110)), (960, 640))
    proposed = shelf.engine.propose(key, shelf.bank, lambda: image)
    assert proposed.regions[0].mask[440, 240]
    shelf.engine.look_ahead(key, shelf.bank, no_image)
    seen: list[Frame] = []
    logits = Predictor.logits
    monkeypatch.setattr(Predictor, "look", lambda *_: pytest.fail("a window was opened"))
    monkeypatch.setattr(
        Predictor,
        "logits",
        lambda self, prepared, frame, *rest: (seen.append(frame), logits(self, prepared, frame, *rest))[1],
    )
    found = shelf.engine.click(key, shelf.bank, no_image, [Click(243.0, 441.0, True)])
    assert found.mask[440, 240]
    assert found.mask.mean() < 0.02
    assert [(frame.image_height, frame.image_width) for frame in seen] != [(640, 960)]
    assert len(seen) == 1


def test_another_engine_goes_on_with_an_object_to_the_digit(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of the same or another machine: the first click looked from near, as it was expected there."""
    look_closer(shelf.engine, monkeypatch)
    key, image = ImageKey("7", "7" * 64), cv2.resize(draw(62, (60, 110)), (960, 640))
    clicks = [Click(243.0, 441.0, True), Click(250.0, 446.0, True)]
    shelf.engine.propose(key, shelf.bank, lambda: image)
    near = shelf.engine.near(key, shelf.bank)
    assert near.windows
    found = [
        shelf.engine.click(key, shelf.bank, lambda: image, clicks[:count], near=near) for count in (1, 2)
    ]
    other = Engine(shelf.settings)
    look_closer(other, monkeypatch)
    assert not other.near(key, shelf.bank).windows
    again = other.click(key, shelf.bank, lambda: image, clicks, near=near)
    assert np.array_equal(again.mask, found[1].mask)
    assert np.array_equal(again.probability, found[1].probability)
    # Where nothing was expected, the whole image is looked at first.
    elsewhere = other.click(key, shelf.bank, lambda: image, clicks, near=Near(near.bank))
    assert not np.array_equal(elsewhere.probability, again.probability)


def adapted_network(folder: Path, scale: float, **about: Any) -> Path:
    """A click network as a project's training writes it: without the backbone, which its manifest names."""
    weights, manifest = folder / "click.safetensors", read_manifest(PACKAGED)
    state = {k: v for k, v in read_weights(PACKAGED).items() if k.startswith("network.")}
    state["network.head.weight"] = state["network.head.weight"] * scale
    behind = {"backbone_sha256": backbone_of(PACKAGED, manifest).sha256, "version": "adapted"}
    write_checkpoint(weights, state, {**manifest, **behind, **about})
    return weights


def test_the_adapted_network_of_a_project_answers_its_clicks_from_what_all_networks_see(
    shelf: Shelf, tmp_path: Path
) -> None:
    """Both may be asked in turn: each goes on from its own answers."""
    key, image = ImageKey("7", "ad" * 32), draw(70, (60, 110))
    clicks = [Click(60.0, 110.0, True), Click(60.0, 80.0, False)]
    weights = adapted_network(tmp_path, 0.5)
    shared = [shelf.engine.click(key, shelf.bank, lambda: image, clicks[:n]).probability for n in (1, 2)]
    own = [shelf.engine.click(key, shelf.bank, no_image, clicks[:n], weights).probability for n in (1, 2)]
    for one, other in zip(shared, own, strict=True):
        assert not np.array_equal(one, other)
    again = shelf.engine.click(key, shelf.bank, no_image, clicks, None).probability
    assert np.array_equal(again, shared[1])
    assert np.array_equal(
        Engine(shelf.settings).click(key, shelf.bank, lambda: image, clicks, weights).mask,
        shelf.engine.click(key, shelf.bank, no_image, clicks, weights).mask,
    )


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"backbone_sha256": "0" * 64}, r"another backbone \(\w+ 0{12}\) than clicks are answered with"),
        ({"long_side": 640}, r"another working size \(640\) than clicks are answered with \(512\)"),
        ({"preset": "base"}, r"another preset \(base\)"),
        ({"network": {"widths": [8] * 5}}, "does not fit this network"),
        ({"backbone_sha256": "abc"}, "64 hexadecimal digits"),
    ],
)
def test_an_adapted_network_that_cannot_be_used_is_told_from_one_that_cannot_be_read(
    shelf: Shelf, tmp_path: Path, about: dict[str, Any], why: str
) -> None:
    """Reliability row 8: the shared network answers instead."""
    key, click, image = ImageKey("7", "ae" * 32), [Click(60, 110, True)], draw(71, (60, 110))
    weights = adapted_network(tmp_path, 1.0, **about)
    for ask in (
        lambda: shelf.engine.load_click(weights),
        lambda: shelf.engine.click(key, shelf.bank, lambda: image, click, weights),
    ):
        with pytest.raises(VersionError, match=f"The click network could not be loaded: .*{why}"):
            ask()
    weights.unlink()
    manifest_path(weights).unlink()
    with pytest.raises(EngineError, match="cannot be read") as caught:
        shelf.engine.load_click(weights)
    assert not isinstance(caught.value, VersionError)
    assert shelf.engine.click(key, shelf.bank, no_image, click).mask.any()


def logits_of(engine: Engine, bank: ReferenceBank, name: str, clicks: list[Click]) -> bytes:
    """The logits after some clicks, each answered in turn."""
    key, image = ImageKey("7", name * 64), draw(80 + ord(name), (60, 110))
    for count in range(1, len(clicks) + 1):
        engine.click(key, bank, lambda: image, clicks[:count])
    found = engine._answers._given.get((key, engine.near(key, bank), None, (), "", tuple(clicks)))
    assert found is not None
    return found.whole.logits.tobytes()


CLICKS = [Click(60.5, 110.5, True), Click(120.5, 80.5, False), Click(66.5, 114.5, True)]


def test_two_engines_answer_equal_to_the_digit(tmp_path: Path) -> None:
    """Whichever image each of them opened first, and whether features lie there or are computed again."""
    found = []
    for number, names in enumerate(["ab", "ba", "ab"]):
        shelf = Shelf(tmp_path / str(number), lite(tmp_path / str(number)))
        for seed in range(5):
            shelf.add(draw(seed))
        if number == 2:
            for path in shelf.settings.data_dir.glob("projects/7/cache/*/*.features.safetensors"):
                path.unlink()
        found.append({name: logits_of(shelf.engine, shelf.bank, name, CLICKS) for name in names})
        proposed = shelf.engine.propose(ImageKey("7", "c" * 64), shelf.bank, lambda: draw(90, (60, 110)))
        found[-1]["c"] = b"".join(region.mask.tobytes() for region in proposed.regions)
        found[-1]["score"] = str(proposed.score).encode()
    assert found[0] == found[1] == found[2]


def test_lost_answers_are_given_again_equal_to_the_digit(shelf: Shelf) -> None:
    """To an engine that was started between two clicks, or that answered others since."""
    whole = logits_of(shelf.engine, shelf.bank, "k", CLICKS)
    again = Engine(shelf.settings)
    key, image = ImageKey("7", "k" * 64), draw(80 + ord("k"), (60, 110))
    again.click(key, shelf.bank, lambda: image, CLICKS)
    found = again._answers._given.get((key, again.near(key, shelf.bank), None, (), "", tuple(CLICKS)))
    assert found is not None
    assert found.whole.logits.tobytes() == whole
