from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from adclick_runtime.frame import Frame
from model.checkpoint.files import fold_batch_norm
from model.checkpoint.manifest import CheckpointError
from model.features.backbones import CHANNELS, EfficientNetLite0, Lite0ViT, WideResNet50
from model.features.encoding import encode
from model.features.published import convert_efficientnet_lite0, convert_wide_resnet50


def test_lite0_gives_a_pyramid_at_strides_2_to_16() -> None:
    pyramid = EfficientNetLite0()(torch.rand(2, 3, 64, 96) * 255)
    assert {s: tuple(m.shape) for s, m in pyramid.items()} == {
        2: (2, 16, 32, 48), 4: (2, 24, 16, 24), 8: (2, 40, 8, 12), 16: (2, 112, 4, 6),
    }  # fmt: skip


def test_every_grid_stays_within_a_fifth_of_a_cell() -> None:
    """One-sided padding shifts grids; a spot must be found at its own place at every stride."""
    network = EfficientNetLite0()
    for parameter in network.parameters():  # averaging everywhere: the response is where the spot is
        nn.init.constant_(parameter, 1 / parameter[0].numel() if parameter.dim() > 1 else 0.0)
    image = torch.full((1, 3, 512, 512), 127.0)
    image[..., 250:262, 250:262] = 255  # centre 256
    with torch.inference_mode():
        for stride, maps in network(image).items():
            response = maps.sum((0, 1)).sum(0)
            centre = float((response * (torch.arange(len(response)) + 0.5)).sum() / response.sum()) * stride
            assert abs(centre - 256) <= max(0.7, 0.21 * stride), stride


def test_folding_a_batch_norm_changes_nothing() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5, eps=1e-3).eval()
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        assert tensor is not None
        nn.init.normal_(tensor)
    assert norm.running_var is not None
    nn.init.uniform_(norm.running_var, 0.5, 2)
    weight, bias = fold_batch_norm(conv.weight, dict(norm.state_dict()), 1e-3)
    image = torch.randn(1, 3, 8, 8)
    folded = torch.nn.functional.conv2d(image, weight, bias)
    assert torch.allclose(folded, norm(conv(image)), atol=1e-5)


def test_wide_resnet_weights_convert_by_their_published_names() -> None:
    ours = WideResNet50().state_dict()
    published: dict[str, torch.Tensor] = {}
    for name in ours:
        if not name.endswith(".weight"):
            continue
        conv = name.removesuffix(".weight")
        stem, _, last = conv.rpartition(".")
        is_down = last == "downsample"
        published[f"{conv}.0.weight" if is_down else name] = torch.randn_like(ours[name])
        norm = f"{conv}.1" if is_down else f"{stem}.bn{last[-1]}".lstrip(".")
        for part in ("weight", "bias", "running_mean", "running_var"):
            published[f"{norm}.{part}"] = torch.rand(len(ours[name])) + 0.5
    WideResNet50().load_state_dict(convert_wide_resnet50(published))
    assert WideResNet50()(torch.rand(1, 3, 64, 64) * 255)[8].shape == (1, 512, 8, 8)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(CheckpointError, match="another network"):
        convert_efficientnet_lite0({"conv1.weight": torch.zeros(1)})


@pytest.mark.parametrize(("height", "width", "expected"), [(512, 512, (512, 512)), (3000, 4000, (384, 512)),
                                                          (10, 4000, (64, 512)), (1, 1, (512, 512))])  # fmt: skip
def test_the_working_frame_keeps_the_shape_in_multiples_of_32(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    frame = Frame.of(height, width, 512)
    assert (frame.height, frame.width) == expected


def test_encoding_does_not_depend_on_the_size_of_the_file() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (8, 8, 3), np.uint8)
    image, larger = (np.kron(small, np.ones((k, k, 1), np.uint8)) for k in (16, 48))
    network = EfficientNetLite0().eval()
    a, b = (encode(i, network, 128, torch.device("cpu")) for i in (image, larger))
    assert float((a.colour - b.colour).abs().mean()) < 0.02
    assert a.descriptor.shape == (36 * 40,)


@torch.inference_mode()
def test_the_vit_gives_the_coarsest_maps_of_the_same_grid() -> None:
    """Of images that are not square, too: its patches are the cells of stride 16."""
    network = Lite0ViT()
    pyramid = network(torch.rand(1, 3, 64, 96) * 255)
    assert {s: m.shape[1] for s, m in pyramid.items()} == network.channels == CHANNELS["lite0_vit"]
    assert {s: tuple(m.shape[-2:]) for s, m in pyramid.items()} == {s: (64 // s, 96 // s) for s in pyramid}
    lite0 = EfficientNetLite0(coarsest=8)
    lite0.load_state_dict(network.fine.state_dict())
    image = torch.rand(1, 3, 64, 64) * 255
    assert torch.equal(lite0(image)[8], network(image)[8])
