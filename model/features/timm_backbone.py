"""Any network of timm in the place of the vision transformer that ships: other eyes for the same click network.

The click network is shown comparisons only, and knows nothing of the features that are compared. So a backbone can be
exchanged without any training; what it needs is a projection to as many channels as are quick to compare
(:func:`fit_projection`), and the click network's temperature behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.checkpoint.manifest import TIMM, CheckpointError
from model.features.backbones import EfficientNetLite0, Pyramid, channels_of
from model.features.projection import principal_components
from model.features.timm_networks import describe_network, maps_of

STRIDES = (8, 16)
"""Of a convolutional network's maps that are used; of a transformer's blocks, that at half its depth and at 3/4."""

CELL = 16
"""Pixels that a place of the coarsest map stands for."""


class TimmBackbone(nn.Module):
    """EfficientNet-Lite0 at strides 2, 4 and 8, which see thin things, and a network of timm at stride 16.

    Args:
        model: timm's name of the network, ``resnet18`` or ``vit_small_patch14_dinov2.lvd142m`` for example.
        pretrained: a file with its weights; "hub": fetch them; None: of random weights, to be loaded or trained.

    Raises:
        CheckpointError: timm is not installed, has no such network or weights, or it takes images of one size only.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: str, pretrained: Path | str | None = None) -> None:
        super().__init__()
        self.channels = channels_of(f"{TIMM}{model}")
        self.fine = EfficientNetLite0(coarsest=8)
        self.network, self.patch, config = _network(model, pretrained)
        self.projection = nn.Conv2d(sum(self.network.feature_info.channels()), self.channels[CELL], 1)
        self.licence = str(config.get("license") or "not stated")
        for name in ("mean", "std"):
            self.register_buffer(name, 255 * torch.tensor(config[name]).view(1, 3, 1, 1))

    def forward(self, rgb: Tensor) -> Pyramid:
        """See :class:`model.features.backbones.Backbone`."""
        return {**self.fine(rgb), CELL: self.projection(self.coarse(rgb))}

    def coarse(self, rgb: Tensor) -> Tensor:
        """What is projected: (B, 3, H, W) in [0, 255] -> (B, C, H / 16, W / 16).

        A transformer is shown the image at the size at which its patches are the cells of stride 16.
        """
        grid = rgb.shape[-2] // CELL, rgb.shape[-1] // CELL
        if self.patch not in (None, CELL):
            size = [side * self.patch for side in grid]
            rgb = F.interpolate(rgb, size=size, mode="bilinear", align_corners=False, antialias=True)
        maps = self.network((rgb - self.mean) / self.std)
        resized = [
            F.interpolate(m, size=grid, mode="bilinear", align_corners=False, antialias=True)
            if m.shape[-2:] != grid
            else m
            for m in maps
        ]
        return torch.cat(resized, 1)

    @torch.inference_mode()
    def fit_projection(self, images: Iterable[Tensor]) -> float:
        """Keep the directions in which places of ``images`` (1, 3, H, W) in [0, 255] differ most.

        Returns:
            The share of the variance that is kept.
        """
        found = (self.coarse(image) for image in images)
        weight, bias, kept = principal_components(found, self.projection.out_channels)
        self.projection.load_state_dict({"weight": weight, "bias": bias})
        return kept


def _network(model: str, pretrained: Path | str | None) -> tuple[Any, int | None, dict[str, Any]]:
    """The network as maps, the side of its patches (None for convolutions), and how timm describes it."""
    there = describe_network(f"{TIMM}{model}", model)
    levels = [i for i, stride in enumerate(there.strides) if stride in STRIDES]
    if there.transformer:
        depth = len(there.strides)
        levels = [depth // 2 - 1, 3 * depth // 4 - 1]
    if not levels:
        raise CheckpointError(f"The network {model!r} of timm has no maps of the strides 8 and 16.")
    options = {"dynamic_img_size": True} if there.transformer else {}
    network = maps_of(model, levels, pretrained, **options)
    return network, there.strides[0] if there.transformer else None, there.config
