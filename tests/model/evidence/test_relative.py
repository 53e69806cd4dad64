from __future__ import annotations

import torch

from model.evidence.prepared import CHANNELS, LAYOUT, STATIC_CHANNELS, Prepared, static_maps
from model.evidence.relative import columns, evidence
from tests.helpers.evidence import prepared


def show(clicks: list[list[float]]) -> torch.Tensor:
    return evidence(prepared(), torch.tensor([clicks]))[0]


def test_all_channels_are_there_and_finite() -> None:
    shown = show([[20.5, 10.5, 1.0], [3.0, 3.0, -1.0]])
    assert shown.shape == (CHANNELS, 32, 48)
    assert bool(torch.isfinite(shown).all())


def test_the_kinds_cover_all_channels_in_order() -> None:
    assert columns(*LAYOUT) == list(range(CHANNELS))
    assert columns("edge", "near") == [columns("edge")[0], *columns("near")]
    shown = show([[20.5, 10.5, 1.0]])
    assert float(shown[columns("near")[0]].argmax()) == 10 * 48 + 20


def test_the_clicked_place_is_the_most_similar_to_itself() -> None:
    similarity = show([[20.5, 10.5, 1.0]])[STATIC_CHANNELS + 4 :: 2]  # positive maps: colour, stride2, ...
    assert similarity[0, 10, 20] > 0.99
    assert float(similarity[0].max()) == float(similarity[0, 10, 20])


def test_padding_is_no_click() -> None:
    one = show([[20.5, 10.5, 1.0]])
    padded = show([[20.5, 10.5, 1.0], [0.0, 0.0, 0.0], [7.0, 9.0, 0.0]])
    assert torch.allclose(one, padded, atol=5e-3)  # a place and itself: the root of a cancelled difference


def test_the_order_and_repetition_of_clicks_do_not_matter() -> None:
    a = show([[20.5, 10.5, 1.0], [3.0, 3.0, -1.0], [40.0, 20.0, 1.0]])
    b = show([[40.0, 20.0, 1.0], [20.5, 10.5, 1.0], [3.0, 3.0, -1.0], [20.5, 10.5, 1.0]])
    assert torch.allclose(a, b, atol=5e-3)  # the root of a cancelled difference of squares


def test_without_negative_clicks_nothing_is_like_them() -> None:
    shown = show([[20.5, 10.5, 1.0]])
    negatives = shown[STATIC_CHANNELS + 2 : STATIC_CHANNELS + 4]
    assert float(negatives.abs().max()) == 0.0


def test_clicks_at_and_beyond_the_border_are_harmless() -> None:
    assert bool(torch.isfinite(show([[48.0, 32.0, 1.0], [-3.0, 500.0, -1.0]])).all())


def test_a_batch_is_worked_on_sample_by_sample() -> None:
    both, clicks = prepared(2), torch.tensor([[[5.0, 5.0, 1.0]], [[30.0, 9.0, -1.0]]])
    together = evidence(both, clicks)
    for i in range(2):
        alone = Prepared(both.static[i : i + 1], {k: v[i : i + 1] for k, v in both.levels.items()},
                         both.scales[i : i + 1], both.vectors[i : i + 1], both.log_energies[i : i + 1])  # fmt: skip
        assert torch.allclose(together[i], evidence(alone, clicks[i : i + 1])[0], atol=1e-5)


def test_static_maps_do_not_change_with_the_residuals_scale() -> None:
    """The scale depends on the product and on how many references there are; the network must not see it."""
    names = ("joint", "stride4", "stride8", "stride16", "fine", "colour")
    logs = {name: torch.randn(1, 1, 16, 16) for name in names}
    usual = {"joint": 1.0, "fine": 2.0, "colour": 0.5}
    ten = float(torch.log(torch.tensor(10.0)))
    a = static_maps(logs, torch.zeros(1, 1, 16, 16), usual, 8)
    b = static_maps({k: v + ten for k, v in logs.items()}, torch.zeros(1, 1, 16, 16),
                    {k: v * 10 for k, v in usual.items()}, 8)  # fmt: skip
    assert torch.allclose(a, b, atol=1e-2)
