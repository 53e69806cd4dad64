from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from model.detectors.onenip.alignment import assembled
from model.detectors.onenip.attention import Attention, Positions, neighbour_mask
from model.detectors.onenip.config import ONENIP, ONENIP_TINY
from model.detectors.onenip.detector import image_score
from model.detectors.onenip.features import Levels, jittered
from model.detectors.onenip.network import OneNIP, Restored, enlarged, error_of

CPU = torch.device("cpu")
SMALL = replace(ONENIP_TINY, width=16, heads=2, feed_forward=32, grid=4, neighbourhood=3, refiner=8)


def test_every_stage_has_the_paper_s_shape_at_the_paper_s_size() -> None:
    """224 px: 14 x 14 places of 272 channels, 256 wide tokens, a refined map of 56 x 56."""
    with torch.device("meta"):
        network = OneNIP(ONENIP).eval()
        levels = zip(ONENIP.strides, ONENIP.channels, strict=True)
        pyramid = {
            stride: torch.zeros(2, channels, 224 // stride, 224 // stride) for stride, channels in levels
        }
        image = network.levels(network.levels.joint(pyramid))
        assert image.shape == (2, 272, 14, 14)
        tokens = network.encode(image, *network.around(14, 14))
        assert tokens.shape == (2, 196, 256)
        restored = network(image, image)
        assert restored.features.shape == (2, 272, 14, 14)
        assert restored.logits.shape == (2, 1, 56, 56)
        assert network.map(image, restored).shape == (2, 1, 56, 56)
    assert (len(network.encoder.layers), len(network.decoder.layers)) == (4, 4)
    layer = 4 * (256 * 256 + 256) + (256 * 1024 + 1024) + (1024 * 256 + 256) + 2 * 512
    assert sum(p.numel() for p in network.encoder.parameters()) == 4 * layer


@pytest.mark.parametrize("grid", [(14, 14), (16, 20), (4, 6), (2, 3), (32, 32)])
def test_no_token_looks_next_to_itself_and_every_token_has_something_to_look_at(
    grid: tuple[int, int],
) -> None:
    allowed = neighbour_mask(grid, ONENIP, CPU).view(*grid, *grid)
    reach = [min(round(3 * side / 14), (side - 2) // 2) for side in grid]
    for row in range(grid[0]):
        for column in range(grid[1]):
            expected = torch.ones(grid, dtype=torch.bool)
            rows, columns = ((max(0, at - r), at + r + 1) for at, r in zip((row, column), reach, strict=True))
            expected[slice(*rows), slice(*columns)] = False
            assert torch.equal(allowed[row, column], expected)
            assert expected.any()
    if grid == (14, 14):
        assert int((~allowed[7, 7]).sum()) == 49


def test_what_is_forbidden_has_no_influence_and_what_is_allowed_has() -> None:
    torch.manual_seed(0)
    attention, tokens = Attention(ONENIP).eval(), torch.randn(1, 196, 256)
    positions, allowed = Positions(ONENIP)((14, 14)), neighbour_mask((14, 14), ONENIP, CPU)
    middle = 7 * 14 + 7
    before = attention(tokens, tokens, positions, allowed)[0, middle]
    near, far = tokens.clone(), tokens.clone()
    near[0, 6 * 14 + 9] += 5.0
    far[0, 6 * 14 + 12] += 5.0
    assert torch.equal(attention(tokens, near, positions, allowed)[0, middle], before)
    assert not torch.allclose(attention(tokens, far, positions, allowed)[0, middle], before, atol=1e-3)
    assert not torch.allclose(attention(tokens, near, positions, None)[0, middle], before, atol=1e-3)


def test_positions_of_another_grid_are_the_same_ones_stretched() -> None:
    positions = Positions(replace(ONENIP, grid=4, width=16))
    own, wide = positions((4, 4)).view(4, 4, 16), positions((4, 8)).view(4, 8, 16)
    assert torch.allclose(own[..., :8], wide[:, ::2, :8]), "rows are as many as before"
    assert torch.allclose(
        (wide[:, 1:7:2] + wide[:, 2:8:2])[..., 8:] / 2, (own[:, :3] + own[:, 1:])[..., 8:] / 2
    )


def test_another_prompt_gives_another_reconstruction_and_so_does_another_image() -> None:
    torch.manual_seed(0)
    network = OneNIP(replace(SMALL, assembled=False)).eval()
    image, prompt, other = torch.randn(3, 1, 256, 8, 8)
    restored = network(image, prompt)
    assert error_of(restored.features, network(image, other).features).mean() > 0.05
    assert error_of(restored.features, network(other, prompt).features).mean() > 0.05
    assert torch.equal(restored.features, network(image, prompt).features)


def test_a_prompt_of_another_size_is_brought_to_the_image_s_and_images_may_be_oblong() -> None:
    network = OneNIP(SMALL).eval()
    image, prompt = torch.randn(1, 256, 6, 10), torch.randn(1, 256, 12, 20)
    assert network(image, prompt).features.shape == image.shape
    flat = torch.ones(1, 256, 12, 20)
    same = network(image, torch.ones(1, 256, 6, 10)).features
    assert torch.allclose(network(image, flat).features, same, atol=1e-5)


def test_an_assembled_prompt_has_the_most_similar_place_of_all_good_images_and_is_the_start() -> None:
    """An image made of moved pieces of two others is found again whole, and its error is nothing but the noise."""
    torch.manual_seed(0)
    network = OneNIP(SMALL).eval()
    first, second = torch.randn(1, 256, 6, 8), torch.randn(1, 256, 4, 4)
    whole = torch.roll(first, (2, 3), (2, 3))
    whole[..., 1:3, 2:5] = second[..., :2, 1:4]
    image = whole + 0.01 * torch.randn_like(whole)
    prompt = network.prompt(image, [first, second])
    assert torch.equal(prompt, whole)
    with torch.no_grad():
        error = error_of(image, network(image, prompt).features)
    assert float(error.max()) == pytest.approx(0.16, abs=0.04)
    assert torch.equal(OneNIP(replace(SMALL, assembled=False)).prompt(image, [first, second]), first)


def test_all_levels_count_the_same_when_a_prompt_is_assembled() -> None:
    """The difference in one channel of 24 outweighs the same in two of 192."""
    image, near, far = (torch.zeros(1, 256, 1, 1) for _ in range(3))
    far[0, 0], near[0, 64:66] = 1.0, 1.0
    assert torch.equal(assembled(image, [far, near], (24, 40, 192)), near)


def test_levels_are_averaged_over_each_cell() -> None:
    """A stripe 4 px wide in a cell of 16 px counts a quarter, wherever in the cell it lies."""
    levels = Levels(ONENIP_TINY)
    pyramid = {s: torch.zeros(1, c, 64 // s, 96 // s) for s, c in zip((4, 8, 16), (24, 40, 192), strict=True)}
    pyramid[4][:, 3, :, 5] = 1.0
    joint = levels.joint(pyramid)
    assert joint.shape == (1, 256, 4, 6)
    assert torch.allclose(joint[0, 3], torch.tensor([0.0, 0.25, 0, 0, 0, 0]).expand(4, 6))


def test_features_of_another_backbone_are_refused_in_words() -> None:
    with pytest.raises(
        ValueError, match=r"for features of 24 channels at stride 4.*given 8 channels at stride 16"
    ):
        Levels(ONENIP_TINY).joint({16: torch.zeros(1, 8, 4, 4)})


def test_the_jitter_is_as_strong_as_the_features_are() -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 272, 40, 40)
    features[..., 20:] *= 10
    noise = jittered(features, 20.0) - features
    norms = torch.linalg.vector_norm(features, dim=1)
    for half in (slice(0, 20), slice(20, 40)):
        assert noise[..., half].std() == pytest.approx(float(norms[..., half].mean()) * 20 / 272, rel=0.03)
    assert torch.equal(jittered(features, 0.0), features)


def test_the_map_is_half_the_error_and_half_the_refined_one_in_its_range() -> None:
    torch.manual_seed(0)
    network = OneNIP(SMALL).eval()
    image, restored = torch.randn(2, 1, 256, 4, 4)
    network.lowest.fill_(2.0)
    network.highest.fill_(10.0)
    error = enlarged((restored - image).square().sum(1, keepdim=True).sqrt())
    logits = torch.randn(1, 1, 16, 16)
    expected = 0.5 * error + 0.5 * 6.0 * logits.sigmoid()
    assert torch.allclose(network.map(image, Restored(restored, logits)), expected, atol=1e-5)


def test_the_range_is_the_mean_of_what_was_measured_at_first_and_forgets_later() -> None:
    network = OneNIP(SMALL)
    image, restored = torch.zeros(2, 256, 4, 4), torch.zeros(2, 256, 4, 4)
    restored[0, 0, 1, 1], restored[1, 0, 2, 2] = 4.0, 8.0
    network.measure_range(image, restored)
    assert (float(network.lowest), float(network.highest)) == (0.0, 6.0)
    network.measure_range(image, 2 * restored)
    assert float(network.highest) == pytest.approx(9.0)
    for _ in range(100):
        network.measure_range(image, restored + 0)
    assert float(network.highest) == pytest.approx(6.0, abs=0.01)


def test_the_score_of_an_image_is_the_mean_over_a_fourteenth_of_its_longer_side() -> None:
    found = torch.zeros(1, 1, 28, 56)
    found[0, 0, 3:7, 10:14] = 2.0
    assert image_score(found) == pytest.approx(2.0)
    found[0, 0, 3:7, 12:14] = 0.0
    assert image_score(found) == pytest.approx(1.0)
    assert image_score(torch.ones(1, 1, 4, 4)) == pytest.approx(1.0)
