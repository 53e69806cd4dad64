from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

from adclick_runtime.frame import Frame
from model.clicks import Click
from model.interactive.answer import answer
from model.interactive.config import ClickConfig
from model.interactive.continuity import ContinuityConfig
from model.interactive.mask import MaskConfig
from model.interactive.predictor import Predictor, _to_grid
from model.interactive.threshold_selection import ThresholdConfig
from model.interactive.zoom import Window, ZoomConfig
from model.matching.nearest import MatchingConfig
from tests.helpers.plates import plate, stained

OTHER = ClickConfig(
    few_references=1,
    matching=MatchingConfig(position_weight=0.3),
    zoom=ZoomConfig(side=128, smallest=32, worthwhile=0.1),
    threshold=ThresholdConfig(missed=0.5, levels=(0.2, 0.6)),
    continuity=ContinuityConfig(near=1),
    mask=MaskConfig(smoothing=1.0),
)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[object]]:
    """The configs that the parts of the model are called with, by the name of the part."""
    seen: dict[str, list[object]] = {}

    def watch(place: str, name: str) -> None:
        function = __import__(place, fromlist=[name]).__dict__[name]

        def watched(*args: Any, **keywords: Any) -> Any:
            configs = [v for v in (*args, *keywords.values()) if type(v).__name__.endswith("Config")]
            seen.setdefault(name, []).extend(configs or [None])
            return function(*args, **keywords)

        monkeypatch.setattr(f"{place}.{name}", watched)

    watch("model.matching.residual", "nearest")
    watch("model.interactive.answer", "window_for")
    for name in ("smoothed", "settled", "select_threshold", "continued"):
        watch("model.interactive.prediction", name)
    return seen


def test_a_predictor_hands_its_settings_to_all_its_parts(given: dict[str, list[object]]) -> None:
    """A part that was forgotten would go on as usual, and nobody would see that it had not changed."""
    predictor = Predictor(config=OTHER)
    predictor.long_side = 128
    image, references = stained(0)[0], [plate(1), plate(2)]
    encoded = [predictor.encode(r) for r in references]
    usual = predictor.usual(encoded[0], encoded[1:])
    query, frame = predictor.encode(image), Frame.of(96, 128, 128)
    predictor.prepare(query, [], None)  # with itself
    predictor.prepare(query, encoded[:1], None)  # of so few it is asked whether they fit
    prepared = predictor.prepare(query, encoded, usual)
    looked: list[Window] = []

    def look(window: Window):  # type: ignore[no-untyped-def]
        looked.append(window)
        return predictor.look(image, window, references)

    y, x = (int(v.mean()) for v in np.nonzero(stained(0)[1]))
    clicks = [Click(x, y, True), Click(x, 2.0, False)]
    first = answer(predictor, prepared, frame, clicks[:1], None, look)
    found = answer(predictor, prepared, frame, clicks, first, look)
    assert looked
    assert found.close is not None
    assert max(found.close.logits.shape) == OTHER.zoom.side
    assert replace(predictor.config.matching, dtype=OTHER.matching.dtype) == OTHER.matching
    parts = {
        "nearest": predictor.config.matching,
        "window_for": OTHER.zoom,
        "select_threshold": OTHER.threshold,
    }
    parts |= {"smoothed": OTHER.mask, "settled": OTHER.mask, "continued": OTHER.continuity}
    assert {name: set(configs) for name, configs in given.items()} == {n: {c} for n, c in parts.items()}
    assert len(given["nearest"]) > 6


def test_of_many_clicks_the_newest_of_each_sign_are_shown() -> None:
    clicks = [Click(float(i), 0.0, i % 2 == 0) for i in range(10)]
    shown = _to_grid(clicks, Frame(64, 64, 64, 64), 2)
    assert (2 * shown[0, :, 0]).tolist() == [6.0, 8.0, 7.0, 9.0]


def test_how_many_references_are_compared_is_a_setting() -> None:
    bank = np.random.default_rng(0).random((20, 36 * 4)).astype(np.float32)
    assert len(Predictor().retrieve(bank[3], bank)) == 8
    predictor = Predictor(config=ClickConfig(nearest_references=3))
    assert len(predictor.retrieve(bank[3], bank)) == 3
    assert 3 not in predictor.retrieve(bank[3], bank, left_out=3)


def test_settings_are_told_apart_and_cannot_be_changed_behind_an_engines_back() -> None:
    usual = ClickConfig()
    others = [replace(usual, zoom=replace(usual.zoom, room=2.5)), replace(usual, few_references=3), OTHER]
    assert len({c.fingerprint for c in (usual, *others)}) == 4
    assert ClickConfig().fingerprint == usual.fingerprint
    with pytest.raises(FrozenInstanceError):
        usual.matching.position_weight = 0.0  # type: ignore[misc]
