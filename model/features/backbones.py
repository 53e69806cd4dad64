"""Frozen backbones: an image in, a pyramid of feature maps out (Eq. 2 of the paper).

Both backbones hold plain convolutions: their batch normalisation is folded into the weights when a checkpoint is
converted (:mod:`model.checkpoint.files`), since a frozen network has no other use for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.checkpoint.manifest import TIMM, CheckpointError
from model.features.vit import PATCH, WIDTH, ViT

Pyramid = dict[int, Tensor]
"""Feature maps by stride: ``{2: (B, 16, H/2, W/2), 4: ...}``, float32."""


CHANNELS: dict[str, dict[int, int]] = {
    "efficientnet_lite0": {2: 16, 4: 24, 8: 40, 16: 112},
    "lite0_vit": {2: 16, 4: 24, 8: 40, 16: 192},
    "wide_resnet50": {4: 256, 8: 512, 16: 1024},
}
"""Name of a backbone -> stride -> number of channels."""


def channels_of(backbone: str) -> dict[int, int]:
    """Stride -> number of channels; empty for a backbone that is not known here.

    Those of timm (:mod:`model.features.timm_backbone`) stand in the place of the transformer, and have as many.
    """
    return CHANNELS.get("lite0_vit" if backbone.startswith(TIMM) else backbone, {})


def channels_at(
    strides: Sequence[int], channels: Mapping[int, int], backbone: str, needed: str
) -> tuple[int, ...]:
    """The numbers of channels of some maps of a backbone.

    Args:
        strides: of the maps.
        channels: stride -> number of channels, of the backbone.
        backbone: its name, for the message.
        needed: who needs the maps and for what, for the message.

    Raises:
        CheckpointError: it has no map of one of these strides.
    """
    lacking = [stride for stride in strides if stride not in channels]
    if lacking:
        raise CheckpointError(
            f"The backbone {backbone!r} has no maps of stride {lacking[0]}, which {needed}."
        )
    return tuple(channels[stride] for stride in strides)


class Backbone(Protocol):
    """What the rest of the model asks of a backbone."""

    channels: dict[int, int]  # stride -> number of channels

    def __call__(self, rgb: Tensor) -> Pyramid:
        """Features of ``rgb`` (B, 3, H, W), float32 in [0, 255], H and W multiples of the largest stride."""


def centred(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Feature maps without their means, the means, and the standard deviations.

    Args:
        maps: (..., C, h, w).

    Returns:
        (..., C, h, w), and (..., C, 1, 1) twice. The same as by ``torch.std_mean``, which takes ten times as long.
    """
    mean = maps.mean((-2, -1), keepdim=True)
    rest = maps - mean
    norm: Tensor = torch.linalg.vector_norm(rest, dim=(-2, -1), keepdim=True)
    return rest, mean, norm / max(1, maps.shape[-2] * maps.shape[-1] - 1) ** 0.5


class Stage(NamedTuple):
    """A run of equal blocks of EfficientNet."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    width: int


# The stages of EfficientNet-Lite0 up to stride 16. What follows (stride 32) knows what an object is, not what is
# wrong with it, and is left out.
LITE0_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
)


class SamePadConv(nn.Module):
    """Convolution with TensorFlow's "same" padding, which is one-sided where the stride is 2.

    Padding always on the same side would move the grid of stride 16 by half a cell against the image. The side is
    therefore alternated from one stride to the next (``early`` pads left and top): every grid then stays within 0.2
    of a cell of where its stride says it is, and upsampling needs no offsets.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, early: bool = False
    ):
        super().__init__()
        total = kernel - stride
        before = total - total // 2 if early else total // 2
        self.pad = (before, total - before, before, total - before)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/stride, W/stride)."""
        padded = F.pad(x, self.pad) if any(self.pad) else x
        return self.conv(padded)  # type: ignore[no-any-return]


class InvertedResidual(nn.Module):
    """MobileNet's block: expand, depthwise convolution, project; ReLU6, no squeeze-and-excitation."""

    def __init__(self, inputs: int, stage: Stage, stride: int, early: bool):
        super().__init__()
        width = inputs * stage.expand
        self.expand = SamePadConv(inputs, width, 1) if stage.expand > 1 else None
        self.depthwise = SamePadConv(width, width, stage.kernel, stride, groups=width, early=early)
        self.project = SamePadConv(width, stage.width, 1)
        self.skip = stride == 1 and inputs == stage.width

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H/stride, W/stride)."""
        y = F.relu6(self.expand(x)) if self.expand is not None else x
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.skip else y  # type: ignore[no-any-return]


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 up to stride 16: 0.6 M parameters, 16/24/40/112 channels at strides 2/4/8/16.

    It computes in float32 whatever the rest computes in: it is small, and what lies close together must stay apart.

    Args:
        coarsest: the last stride that is wanted.
    """

    def __init__(self, coarsest: int = 16) -> None:
        super().__init__()
        self.channels = {s: c for s, c in CHANNELS["efficientnet_lite0"].items() if s <= coarsest}
        self.stem = SamePadConv(3, 32, 3, stride=2)
        blocks: list[nn.Module] = []
        self.taps: list[int] = []  # index of the block whose output is the feature map of a stride
        inputs, side = 32, True
        for stage in LITE0_STAGES if coarsest == 16 else LITE0_STAGES[: len(self.channels)]:
            for i in range(stage.blocks):
                stride = stage.stride if i == 0 else 1
                blocks.append(InvertedResidual(inputs, stage, stride, early=stride == 2 and side))
                side = side != (stride == 2)
                inputs = stage.width
            self.taps.append(len(blocks) - 1)
        if coarsest == 16:
            del self.taps[3]  # 80 channels, also stride 16: the later 112 say more
        self.blocks = nn.ModuleList(blocks)

    def forward(self, rgb: Tensor) -> Pyramid:
        """See :class:`Backbone`."""
        with torch.autocast(rgb.device.type, enabled=False):
            x = ((rgb - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)
            x = F.relu6(self.stem(x))
            pyramid: Pyramid = {}
            for i, block in enumerate(self.blocks):
                x = block(x)
                if i in self.taps:
                    pyramid[2 << self.taps.index(i)] = x
        return pyramid


class Lite0ViT(nn.Module):
    """EfficientNet-Lite0 at strides 2, 4 and 8, which see thin things, and a vision transformer at stride 16.

    The transformer looks at the image at 14/16 of its size, so that its patches are the cells of stride 16. Of the 768
    channels of its blocks 6 and 9 a fixed projection (the principal components on training images) keeps 192: nothing
    that was measured is lost with the others, and the maps are as quick to compare as a convolution's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.channels = CHANNELS["lite0_vit"]
        self.fine = EfficientNetLite0(coarsest=8)
        self.vit = ViT((6, 9))
        self.projection = nn.Conv2d(2 * WIDTH, self.channels[16], 1)

    def forward(self, rgb: Tensor) -> Pyramid:
        """See :class:`Backbone`."""
        return {**self.fine(rgb), 16: self.projection(self.coarse(rgb))}

    def coarse(self, rgb: Tensor) -> Tensor:
        """What is projected: (B, 3, H, W) in [0, 255] -> (B, 768, H / 16, W / 16)."""
        size = (rgb.shape[-2] // 16 * PATCH, rgb.shape[-1] // 16 * PATCH)
        smaller = F.interpolate(rgb, size=size, mode="bilinear", align_corners=False, antialias=True)
        return torch.cat(list(self.vit(smaller).values()), 1)


class Bottleneck(nn.Module):
    """ResNet's bottleneck block with the wide 3 x 3 convolution of WideResNet50-2, normalisation folded."""

    def __init__(self, inputs: int, width: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1)
        self.conv3 = nn.Conv2d(width, outputs, 1)
        self.downsample = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H/stride, W/stride)."""
        y = F.relu(self.conv1(x))
        y = self.conv3(F.relu(self.conv2(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class WideResNet50(nn.Module):
    """Layers 1 to 3 of WideResNet50-2: 256/512/1024 channels at strides 4/8/16, the paper's backbone."""

    mean: Tensor
    std: Tensor

    def __init__(self, blocks: Sequence[int] = (3, 4, 6)):
        super().__init__()
        self.channels = CHANNELS["wide_resnet50"]
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3)
        inputs, layers = 64, []
        for level, depth in enumerate(blocks):
            width, outputs = 128 << level, 256 << level
            layer = [Bottleneck(inputs, width, outputs, 1 if level == 0 else 2)]
            layer += [Bottleneck(outputs, width, outputs, 1) for _ in range(depth - 1)]
            layers.append(nn.Sequential(*layer))
            inputs = outputs
        self.layer1, self.layer2, self.layer3 = layers
        self.register_buffer("mean", torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1))

    def forward(self, rgb: Tensor) -> Pyramid:
        """See :class:`Backbone`."""
        x = F.relu(self.conv1((rgb - self.mean) / self.std))
        first = self.layer1(F.max_pool2d(x, 3, 2, padding=1))
        second = self.layer2(first)
        return {4: first, 8: second, 16: self.layer3(second)}


BACKBONES: dict[str, type[nn.Module]] = {
    "efficientnet_lite0": EfficientNetLite0,
    "lite0_vit": Lite0ViT,
    "wide_resnet50": WideResNet50,
}
