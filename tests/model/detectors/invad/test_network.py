"""InvAD as the paper has it: sizes, shapes, normalisation, and the map that is read from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.checkpoint.manifest import CheckpointError
from model.detectors.invad.config import INVAD, INVAD_LITE, INVAD_TINY, InvADConfig
from model.detectors.invad.detector import anomaly_maps, smoothed
from model.detectors.invad.equalised import EqualisedConv, blurred
from model.detectors.invad.modulation import ModulatedConv
from model.detectors.invad.network import InvAD, inversion_loss
from model.features.backbones import WideResNet50


def millions(module: nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def on_meta(config: InvADConfig) -> InvAD:
    with torch.device("meta"):
        return InvAD(config)


def pyramid(config: InvADConfig, height: int, width: int, batch: int = 2) -> dict[int, Tensor]:
    return {
        s: torch.randn(batch, c, height // s, width // s)
        for s, c in zip(config.strides, config.channels, strict=True)
    }


@pytest.mark.parametrize(
    ("config", "fuser", "stages", "whole", "encoder"),
    [
        (INVAD, 3.5, (41.0, 13.0, 3.4), 95.6, 24.9),
        (INVAD_LITE, 0.45, (5.6, 1.7, 0.5), 17.1, 8.2),
    ],
    ids=["invad", "invad-lite"],
)
def test_the_parts_have_as_many_parameters_as_the_published_ones(
    config: InvADConfig, fuser: float, stages: tuple[float, ...], whole: float, encoder: float
) -> None:
    network = on_meta(config)
    assert millions(network.fuser) == pytest.approx(fuser, abs=0.05 if fuser > 1 else 0.005)
    assert [round(millions(stage.blocks), 1) for stage in network.decoder.stages] == list(stages)
    codes = [sum(p.numel() for p in stage.coding.parameters()) for stage in network.decoder.stages]
    assert codes == 3 * [46_160]
    assert millions(network) + encoder == pytest.approx(whole, abs=0.1)


def test_the_whole_is_counted_with_its_encoder() -> None:
    """The same to a decimal: the folded encoder lacks one of the two numbers that each normalised channel had."""
    with torch.device("meta"):
        encoder = WideResNet50()
    folded = sum(m.bias.numel() for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.bias is not None)
    assert round(millions(on_meta(INVAD)) + millions(encoder) + folded / 1e6, 1) == 95.6


@pytest.mark.parametrize("config", [INVAD, INVAD_LITE, INVAD_TINY], ids=["invad", "invad-lite", "invad-tiny"])
def test_every_stage_has_the_size_of_its_level(config: InvADConfig) -> None:
    """Also where the frame is no square, and the learned constant has another size."""
    with torch.device("meta"):
        network, image = InvAD(config), pyramid(config, 192, 256)
        levels, made = network(image)
        styles = network.fuser(levels)
    side, width = config.pooled, config.style
    sizes = [(12 // side, 16 // side), (24 // side, 32 // side), (48 // side, 64 // side)]
    assert [tuple(s.shape) for s in styles] == [(2, width, *size) for size in sizes]
    expected = [(2, c, *size) for c, size in zip(config.channels, sizes[::-1], strict=True)]
    assert [tuple(m.shape) for m in made] == [tuple(m.shape) for m in levels] == expected


def test_equalised_weights_keep_the_deviation_whatever_the_fan_in() -> None:
    torch.manual_seed(0)
    for inputs in (8, 256):
        conv = EqualisedConv(inputs, 64, activated=False)
        assert float(conv.weight.detach().std()) == pytest.approx(1, abs=0.03)
        found = conv(torch.randn(4, inputs, 16, 16)).detach()[..., 1:-1, 1:-1]
        assert float(found.std()) == pytest.approx(1, abs=0.1)
    bias = EqualisedConv(8, 4, bias=-1.0)(torch.zeros(1, 8, 2, 2))
    assert bias.flatten().tolist() == pytest.approx(16 * [-0.2 * 2**0.5])


@pytest.mark.parametrize("kernel", [1, 3])
def test_upsampling_is_a_transposed_convolution_under_the_kernel_1_3_3_1(kernel: int) -> None:
    torch.manual_seed(0)
    conv = EqualisedConv(5, 3, kernel, bias=0.5, activated=False, upsampling=True)
    x = torch.randn(2, 5, 6, 7)
    apart = torch.zeros(2, 5, 11, 13)
    apart[..., ::2, ::2] = (
        x  # zeros between the places, then an ordinary convolution with the kernel turned round
    )
    weight = (conv.weight * conv.scale).flip(2, 3)
    side = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    grown = F.pad(F.conv2d(apart, weight, padding=kernel - 1), 4 * [(5 - kernel) // 2])
    blur = torch.outer(side, side).expand(3, 1, 4, 4)
    assert torch.allclose(conv(x), F.conv2d(grown, blur, groups=3) + 0.5, atol=1e-5)
    assert conv(x).shape == (2, 3, 12, 14)
    assert float(blurred(torch.ones(1, 1, 8, 8)).mean()) == pytest.approx(4)


@torch.no_grad()
def test_modulation_normalises_over_channels_and_places_before_it_scales_and_shifts() -> None:
    torch.manual_seed(0)
    layer, x, code = ModulatedConv(6, 4, 3), 7 * torch.randn(2, 6, 5, 5) + 3, torch.randn(2, 3, 5, 5)
    assert layer.gamma is not None
    assert layer.beta is not None
    mean, deviation = (f(x, dim=(1, 2, 3), keepdim=True) for f in (torch.mean, torch.std))
    plain = (x - mean) / deviation
    expected = layer.conv(plain * layer.gamma(code) + layer.beta(code))
    assert torch.allclose(layer(x, code), expected, atol=0.05)
    assert float(layer.gamma(torch.zeros_like(code)).mean()) == 1  # at first nothing is scaled or shifted
    assert float(layer.beta(torch.zeros_like(code)).abs().max()) == 0
    assert not torch.allclose(layer(x, code), layer(x, -code), atol=0.05)


def test_the_loss_adds_up_the_levels() -> None:
    levels = [torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 2, 2), torch.zeros(1, 4, 1, 1)]
    made = [level + number for number, level in enumerate(levels, 1)]
    assert float(inversion_loss(levels, made)) == 1 + 4 + 9
    assert float(inversion_loss(levels, made, 5.0)) == 70


def test_standardised_channels_have_mean_0_and_deviation_1() -> None:
    torch.manual_seed(0)
    config = InvADConfig(channels=(4, 6, 8), widths=(4, 4, 4), blocks=1, standardised=True)
    images = [{s: 50 * m - 20 for s, m in pyramid(config, 64, 96, 1).items()} for _ in range(6)]
    network = InvAD(config).eval()
    network.fit(images)
    levels = [network(image)[0] for image in images]
    for i in range(3):
        every = torch.cat([level[i] for level in levels])
        assert every.mean((0, 2, 3)).abs().max() < 1e-4
        assert every.std((0, 2, 3)).sub(1).abs().max() < 0.02
    plain = InvAD(InvADConfig(channels=(4, 6, 8), widths=(4, 4, 4), blocks=1))
    plain.fit(images)
    assert torch.equal(plain.eval()(images[0])[0][0], images[0][4])


def test_the_map_is_high_where_the_features_differ_whatever_their_length() -> None:
    torch.manual_seed(0)
    levels = [torch.randn(1, c, 1, 1).expand(1, c, side, side) for c, side in ((8, 16), (12, 8), (16, 4))]
    made = [3 * level for level in levels]
    assert float(anomaly_maps(levels, made, (64, 64)).max()) < 1e-5
    made[0] = made[0].clone()
    made[0][..., 8:, 8:] *= -1
    found = anomaly_maps(levels, made, (64, 64))[0]
    assert found.shape == (64, 64)
    assert float(found[40:, 40:].mean()) == pytest.approx(
        2 / 3, abs=0.02
    )  # one of three levels is turned round
    assert float(found[:28, :28].max()) < 1e-5
    made = [-level for level in levels]
    assert float(anomaly_maps(levels, made, (64, 64)).min()) == pytest.approx(2, abs=1e-4)


def test_the_map_is_smoothed_by_4_pixels_in_256() -> None:
    for side in (256, 512):
        point = np.zeros((side // 2, side), np.float32)
        point[side // 4, side // 2] = 1
        found = smoothed(point)
        places = np.arange(side) - side // 2
        spread = np.sqrt((found.sum(0) * places**2).sum() / found.sum())
        assert spread == pytest.approx(4 * side / 256, rel=0.03)


def test_a_backbone_without_a_stride_is_refused() -> None:
    assert INVAD_TINY.behind({2: 16, 4: 5, 8: 6, 16: 7}, "b").channels == (5, 6, 7)
    with pytest.raises(CheckpointError, match="'b' has no maps of stride 16, which InvAD makes anew"):
        INVAD_TINY.behind({4: 5, 8: 6}, "b")


def test_sizes_that_no_network_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"InvADConfig\.blocks: 0 is too few"):
        InvADConfig(blocks=0)
    with pytest.raises(ValueError, match=r"InvADConfig\.strides: \(4, 8, 8\) are no three strides"):
        InvADConfig(strides=(4, 8, 8))
