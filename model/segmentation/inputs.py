"""What ADClick-Seg is given of an image: relative maps, residual vectors and feature levels, by name and stride."""

from __future__ import annotations

import torch
from torch import Tensor

from model.checkpoint.manifest import CheckpointError
from model.evidence.prepared import Prepared
from model.features.backbones import channels_of

VIEWS = {"stride2": 2, "stride4": 4, "stride8": 8, "stride16": 16}
"""The feature levels that the network is given beside the relative maps, and their strides."""

COLOURS = 3


def views_behind(backbone: str) -> tuple[tuple[str, int], ...]:
    """The feature levels that a backbone gives, and how many channels each has; the colours are with the finest.

    Raises:
        CheckpointError: the network cannot be used behind it, or there is no such backbone.
    """
    channels = channels_of(backbone)
    if not channels.keys() >= {*VIEWS.values()}:
        raise CheckpointError(f"No segmentation network can be used behind the backbone {backbone!r}.")
    return tuple((name, channels[stride] + (COLOURS if stride == 2 else 0)) for name, stride in VIEWS.items())


def inputs(prepared: Prepared) -> dict[str, Tensor]:
    """What the network sees of an image, by name, each (B, C, h, w).

    ``relative``: comparisons with the references and with the rest of the image, on the stride-2 grid; ``vectors``: the
    residual vectors on the stride-8 grid; ``stride2`` (with the colours) to ``stride16``: features scaled to unit
    variance over the image.
    """
    levels = prepared.levels
    return {
        "relative": torch.cat([prepared.static, prepared.log_energies.clamp(-4, 4) / 2], 1),
        "vectors": prepared.vectors,
        "stride2": torch.cat([levels["colour"], levels["stride2"]], 1),
        **{name: levels[name] for name in VIEWS if name != "stride2"},
    }


STRIDES = {"relative": 2, "vectors": 8, "stride2": 2, "stride4": 4, "stride8": 8, "stride16": 16}
