"""The sizes of InvAD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from model.checkpoint.described import read_sizes
from model.checkpoint.ranges import COUNT, POSITIVE, check, refused
from model.features.backbones import channels_at


@dataclass(frozen=True)
class InvADConfig:
    """Sizes of one InvAD; the usual ones are the paper's, behind WideResNet50-2.

    Three levels of features are made anew, each with twice the stride of the one before.
    """

    strides: tuple[int, int, int] = (4, 8, 16)  # of the levels, pixels
    channels: tuple[int, int, int] = (256, 512, 1024)  # of the levels
    widths: tuple[int, int, int] = (256, 512, 1024)  # of the decoder's stages, level by level
    style: int = 64  # channels of the style maps
    squeezed: int = 16  # of the bottleneck that ends the merging
    code: int = 16  # channels of the spatial style code
    pooled: int = 1  # side of the squares of places of which each level is the mean
    blocks: int = 2  # of each stage
    constant: tuple[int, int] = (16, 16)  # places of the learned constant, height and width
    weight: float = 1.0  # of the loss
    standardised: bool = False  # whether each channel is brought to mean 0 and deviation 1 first

    def __post_init__(self) -> None:
        counts = (
            "strides",
            "channels",
            "widths",
            "style",
            "squeezed",
            "code",
            "pooled",
            "blocks",
            "constant",
        )
        check(self, {**dict.fromkeys(counts, COUNT), "weight": POSITIVE})
        fine, middle, coarse = self.strides
        if (middle, coarse) != (2 * fine, 4 * fine):
            raise refused(
                self, "strides", f"{self.strides} are no three strides of which each is twice the one before"
            )

    @classmethod
    def read(cls, sizes: Mapping[str, Any], source: str) -> InvADConfig:
        """The sizes as a manifest says them (:func:`model.checkpoint.described.read_sizes`); raises CheckpointError."""
        return read_sizes(cls(), sizes, source, "invad")

    def behind(self, channels: Mapping[int, int], backbone: str) -> InvADConfig:
        """The same sizes for a backbone.

        Args:
            channels: stride -> number of channels, of the backbone.
            backbone: its name, for the message.

        Raises:
            CheckpointError: it lacks a stride.
        """
        fine, middle, coarse = channels_at(self.strides, channels, backbone, "InvAD makes anew")
        return replace(self, channels=(fine, middle, coarse))


INVAD = InvADConfig()
"""The paper's, behind WideResNet50-2."""

INVAD_LITE = InvADConfig(channels=(64, 128, 256), widths=(64, 128, 256), blocks=4, weight=5.0)
"""The paper's light one, behind ResNet34."""

INVAD_TINY = InvADConfig(
    channels=(24, 40, 192), widths=(24, 40, 96), style=32, pooled=2, blocks=1, standardised=True
)
"""What trains on two cores, behind the packaged backbone. Its levels come of two networks, so they are standardised."""
