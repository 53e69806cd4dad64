from __future__ import annotations

import pytest
import torch

from model.evidence.prepared import CHANNELS, STATIC_CHANNELS
from model.evidence.relative import columns
from model.interactive.lite import LiteClickNetwork
from model.segmentation.network import (
    UNUSUAL,
    ADClickSeg,
    ResidualSkip,
    SegConfig,
    click_maps,
    start_from_clicks,
)
from model.training.segmentation.losses import weak_loss


@pytest.fixture(scope="module")
def network() -> ADClickSeg:
    torch.manual_seed(0)
    return ADClickSeg(SegConfig(words=12)).eval()


def inputs(batch: int = 1, h: int = 32, w: int = 48) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = {"relative": (13, 1), "vectors": (64, 4), "stride2": (19, 1), "stride4": (24, 2)}
    sizes |= {"stride8": (40, 4), "stride16": (112, 8)}
    return {
        name: torch.randn(batch, channels, h // ratio, w // ratio, generator=generator)
        for name, (channels, ratio) in sizes.items()
    }


def words(batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(batch, 5, 12), torch.ones(batch, 5, dtype=torch.bool)


def test_logits_have_the_size_of_the_working_frame(network: ADClickSeg) -> None:
    assert network(inputs(2), *words(2)).shape == (2, 1, 64, 96)


def test_no_clicks_are_the_default(network: ADClickSeg) -> None:
    """Trained with clicks, used with an empty click map."""
    seen, (states, present) = inputs(), words()
    empty = click_maps(torch.zeros(1, 1, 3), torch.zeros(1, 1, 32, 48))
    assert (empty == 0).all()
    assert torch.equal(network(seen, states, present), network(seen, states, present, empty))


def test_clicks_of_both_signs_have_maps_of_their_own() -> None:
    clicks = torch.tensor([[[10.5, 20.5, 1.0], [40.5, 5.5, -1.0]]])
    maps = click_maps(clicks, torch.zeros(1, 1, 32, 48))
    assert maps[0, 0].argmax() == 20 * 48 + 10
    assert maps[0, 2].argmax() == 5 * 48 + 40


def test_views_and_words_are_silent_before_training(network: ADClickSeg) -> None:
    """Training starts from what the click network knows."""
    seen, (states, present) = inputs(), words()
    other = {name: maps if name == "relative" else maps + 1 for name, maps in seen.items()}
    expected = network(seen, states, present)
    assert torch.equal(network(other, states, present), expected)
    assert torch.equal(network(seen, states + 3, present), expected)


def test_it_starts_as_the_click_network_before_the_first_click(network: ADClickSeg) -> None:
    click = LiteClickNetwork().eval()
    seg = ADClickSeg(SegConfig(words=12)).eval()
    start_from_clicks(seg, click.state_dict())
    seen = inputs()
    static, ratios = seen["relative"].split((11, 2), 1)
    evidence = torch.zeros(1, CHANNELS, 32, 48)
    evidence[:, :STATIC_CHANNELS], evidence[:, columns("energy ratios")] = static, ratios
    with torch.no_grad():
        expected = click(evidence) + seg.skip(seen["relative"])
        assert torch.allclose(seg(seen, *words()), expected, atol=1e-4)


def test_what_is_unusual_among_the_references_is_a_defect_however_unknown_the_product() -> None:
    skip = ResidualSkip()
    relative = torch.zeros(1, 13, 32, 48)
    relative[:, UNUSUAL] = -0.5  # half the log-ratio: everywhere a little less than usual
    assert torch.allclose(skip(relative), torch.full((1, 1, 64, 96), -2.0)), "no seam at the border"
    relative[:, UNUSUAL, 10:20, 20:30] = 0.5
    found = skip(relative)
    assert int(found.argmax()) // 96 in range(20, 40)
    assert int(found.argmax()) % 96 in range(40, 60)
    assert found.max() > 0.5
    assert torch.allclose(skip(relative.index_fill(1, torch.tensor([0, 1]), 9.0)), found), "of one map alone"


def test_a_striking_defect_is_no_more_unusual_than_a_clear_one() -> None:
    """Else the surroundings of a striking one, which coarse features raise as well, would be called a defect."""
    clear, striking = torch.full((1, 13, 32, 48), 0.41), torch.full((1, 13, 32, 48), 2.5)
    assert torch.equal(ResidualSkip()(clear), ResidualSkip()(striking))
    assert ResidualSkip()(clear / 2).max() < ResidualSkip()(clear).min()


def test_the_residual_is_trusted_as_far_as_was_learned() -> None:
    skip, relative = ResidualSkip(), torch.randn(1, 13, 32, 48, generator=torch.Generator().manual_seed(0))
    before = skip(relative)
    with torch.no_grad():
        skip.trust += torch.log(torch.tensor(3.0))
    assert torch.allclose(skip(relative), 3 * before, atol=1e-4)


def test_pixels_without_a_label_carry_no_gradient() -> None:
    """Eq. 10."""
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    labels = torch.full((1, 1, 8, 8), -1.0)
    labels[..., :2] = 1.0
    weak_loss(logits, labels, torch.zeros(1, 1, 8, 8, dtype=torch.bool), 0.5).sum().backward()
    assert logits.grad is not None
    assert (logits.grad[..., :2] < 0).all()
    assert (logits.grad[..., 2:] == 0).all()


def test_inside_a_box_only_what_is_already_called_a_defect_is_learned() -> None:
    """AnoGen's self-gated rule: outside the box is normal, inside only the network's own defects count."""
    values = torch.full((1, 1, 32, 32), -3.0)
    values[..., 8:12, 8:12] = 2.0  # called a defect, inside the box
    values[..., 28:, 28:] = 2.0  # called a defect, outside
    logits = values.requires_grad_()
    box = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    box[..., 4:20, 4:20] = True
    weak_loss(logits, torch.zeros(1, 1, 32, 32), box, 0.5).sum().backward()
    assert logits.grad is not None
    assert (logits.grad[..., 8:12, 8:12] < 0).all(), "pushed up"
    assert (logits.grad[..., 4:8, 4:20] == 0).all(), "left alone"
    assert (logits.grad[..., 28:, 28:] > 0).all(), "pushed down"


def test_a_tagged_image_must_have_a_bright_place() -> None:
    dark, lit = torch.full((1, 1, 64, 64), -4.0), torch.full((1, 1, 64, 64), -4.0)
    lit[..., 10:14, 10:14] = 4.0
    everywhere = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    unknown = torch.full((1, 1, 64, 64), -1.0)
    losses = [float(weak_loss(x, unknown, everywhere, 0.5)) for x in (dark, lit)]
    assert losses[0] > 3
    assert losses[1] < 0.1
