"""The sizes of OneNIP: the paper's, and those that train on two cores behind the packaged backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from model.checkpoint.described import read_sizes
from model.checkpoint.ranges import (
    BELOW_ONE,
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Range,
    check,
    refused,
)
from model.features.backbones import channels_at

CELL = 16
"""Pixels of the working frame that a place of the feature grid stands for."""

EVEN = Range(lambda n: n >= 2 and n % 2 == 0, "is no even number from 2 on", whole=True)
ODD = Range(lambda n: n >= 1 and n % 2 == 1, "is no odd number from 1 on", whole=True)
PATCH = Range(lambda n: n in (1, 2), "is no side of a patch, which is 1 or 2 cells", whole=True)
STRIDE = Range(
    lambda n: n >= 1 and CELL % n == 0, f"is no stride, which goes into {CELL} without a rest", whole=True
)


@dataclass(frozen=True)
class OneNIPConfig:
    """Sizes of a network, and what belongs to it in training. The defaults are the paper's (section 4.1), at 224 px.

    Raises:
        ValueError: a size that no network can have.
    """

    strides: tuple[int, ...] = (2, 4, 8, 16)  # of the levels, pixels
    channels: tuple[int, ...] = (24, 32, 56, 160)  # of the levels
    standardised: bool = False  # each channel by the training images, for levels of widely different scales
    patch: int = 1  # side of the square of cells that is one token; frames have an even number of cells
    assembled: bool = False  # the prompt is put together for each image, and the network corrects it
    width: int = 256  # of a token
    heads: int = 8
    feed_forward: int = 1024
    encoder: int = 4  # layers
    decoder: int = 4  # layers
    grid: int = 14  # tokens a side for which the positions are learned and the neighbourhood is meant
    neighbourhood: int = 7  # side of the square of tokens round a token that it does not look at
    dropout: float = 0.1
    jitter: float = 20.0  # strength of the noise on the features, in training
    refiner: int = 128  # channels of the refiner
    learning_rate: float = 1e-4
    clip: float = 0.1  # largest norm of the gradient
    warm: float = 0.0  # share of the training in which the learning rate rises
    anomalies: int = 16  # pseudo-anomalies of each training image, all drawn at the start
    drawn: float = 0.0  # share of the pseudo-anomalies that are drawn defects instead of the paper's

    def __post_init__(self) -> None:
        counts = ("channels", "heads", "feed_forward", "encoder", "decoder", "grid", "refiner", "anomalies")
        ranges = dict.fromkeys(counts, COUNT)
        ranges |= {"strides": STRIDE, "patch": PATCH, "width": EVEN, "neighbourhood": ODD, "drawn": SHARE}
        ranges |= dict.fromkeys(("dropout", "warm"), BELOW_ONE) | dict.fromkeys(
            ("learning_rate", "clip"), POSITIVE
        )
        check(self, ranges | {"jitter": NOT_NEGATIVE})
        if self.width % self.heads:
            raise refused(
                self, "width", f"{self.width} channels cannot be shared out among {self.heads} heads"
            )
        if CELL not in self.strides:
            raise refused(
                self, "strides", f"{self.strides} lack {CELL}, on whose grid all levels are brought"
            )
        if len(self.channels) != len(self.strides):
            raise refused(
                self, "channels", f"{len(self.channels)} are not one for each of {len(self.strides)} strides"
            )

    @classmethod
    def read(cls, sizes: Mapping[str, Any], source: str) -> OneNIPConfig:
        """The sizes as a manifest says them (:func:`model.checkpoint.described.read_sizes`); raises CheckpointError."""
        strides = sizes.get("strides") if isinstance(sizes, Mapping) else None
        levels = len(strides) if isinstance(strides, (list, tuple)) and strides else len(cls.strides)
        usual = replace(cls(), strides=(CELL,) * levels, channels=(1,) * levels)
        return read_sizes(usual, sizes, source, "onenip")

    def behind(self, channels: Mapping[int, int], backbone: str) -> OneNIPConfig:
        """The same sizes for a backbone.

        Args:
            channels: stride -> number of channels, of the backbone.
            backbone: its name, for the message.

        Raises:
            CheckpointError: it lacks a stride.
        """
        return replace(self, channels=channels_at(self.strides, channels, backbone, "OneNIP reconstructs"))


ONENIP = OneNIPConfig()
"""The paper's, behind EfficientNet-B4."""

ONENIP_TINY = OneNIPConfig(
    strides=(4, 8, 16),
    channels=(24, 40, 192),
    standardised=True,
    patch=2,
    assembled=True,
    width=128,
    feed_forward=512,
    encoder=2,
    decoder=2,
    grid=16,
    refiner=64,
    learning_rate=1e-3,
    clip=1.0,
    warm=0.05,
    anomalies=4,
    drawn=0.5,
)
"""What trains on two cores, behind the packaged backbone. Its levels come of two networks, so they are standardised."""
