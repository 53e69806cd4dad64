"""Any convolutional network of timm as a backbone by itself: its own maps at the strides that a detector asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from model.checkpoint.backbone_id import BackboneId
from model.checkpoint.manifest import CheckpointError
from model.features.backbones import Pyramid
from model.features.timm_networks import check_sizes, describe_network, maps_of

TIMM_PYRAMID = "timm-pyramid:"
"""What the names of these backbones begin with; timm's name, "@" and the strides follow."""

PROBE = 64
"""Side of an image that a network must take, in pixels."""


class TimmPyramid(nn.Module):
    """The maps of a convolutional network of timm, its weights at half precision, as checkpoints hold them.

    Args:
        model: timm's name of the network, ``wide_resnet50_2`` for example.
        strides: of the maps, rising; 8 is among them.
        pretrained: a file with its weights; "hub": fetch them; None: of random weights, to be loaded or trained.

    Attributes:
        channels: stride -> number of channels.
        licence: of the weights, as timm says it.

    Raises:
        CheckpointError: timm is not installed, has no such network or weights, the network has no such strides, or
            takes images of one size only.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: str, strides: Sequence[int], pretrained: Path | str | None = None) -> None:
        super().__init__()
        self.name = f"{TIMM_PYRAMID}{model}@{'-'.join(map(str, strides))}"
        there = describe_network(self.name, model)
        lacking = [stride for stride in strides if stride not in there.strides]
        if lacking or there.transformer:
            raise CheckpointError(
                f"The network {model!r} of timm has maps of the strides {', '.join(map(str, there.strides))}; "
                f"detectors behind it need {', '.join(map(str, strides))} of a convolutional one, such as resnet34."
            )
        # the last map of a stride says the most
        levels = [len(there.strides) - 1 - there.strides[::-1].index(stride) for stride in strides]
        self.network = maps_of(model, levels, pretrained)
        self.channels = dict(zip(strides, map(int, self.network.feature_info.channels()), strict=True))
        self.licence = str(there.config.get("license") or "not stated")
        for name in ("mean", "std"):
            self.register_buffer(name, 255 * torch.tensor(there.config[name]).view(1, 3, 1, 1))
        self.load_state_dict({k: _halved(tensor) for k, tensor in self.state_dict().items()})
        self.eval().requires_grad_(False)
        if self.mean.device.type != "meta":
            check_sizes(self, model, PROBE)

    def forward(self, rgb: Tensor) -> Pyramid:
        """See :class:`model.features.backbones.Backbone`."""
        return dict(zip(self.channels, self.network((rgb - self.mean) / self.std), strict=True))

    @property
    def backbone_id(self) -> BackboneId:
        """By content: the name, and the sha256 of its tensors at half precision."""
        digest = hashlib.sha256()
        for key, tensor in sorted(self.state_dict().items()):
            kept = tensor.half() if tensor.is_floating_point() else tensor
            digest.update(f"{key} {kept.dtype} {tuple(kept.shape)}\n".encode())
            digest.update(kept.contiguous().cpu().numpy().tobytes())
        return BackboneId(self.name, digest.hexdigest())


def named_pyramid(name: str) -> TimmPyramid:
    """The network that a :class:`~model.checkpoint.backbone_id.BackboneId` names, of random weights.

    Raises:
        CheckpointError: it is the name of none, or see :class:`TimmPyramid`.
    """
    model, _, strides = name.removeprefix(TIMM_PYRAMID).partition("@")
    try:
        wanted = [int(stride) for stride in strides.split("-")]
    except ValueError:
        wanted = []
    if not name.startswith(TIMM_PYRAMID) or not wanted:
        raise CheckpointError(
            f"There is no backbone {name!r:.80}: those of detectors are called {TIMM_PYRAMID}NAME@STRIDES, "
            f"{TIMM_PYRAMID}resnet34@4-8-16 for example."
        )
    return TimmPyramid(model, wanted)


def _halved(tensor: Tensor) -> Tensor:
    return tensor.half().to(tensor.dtype) if tensor.is_floating_point() else tensor
