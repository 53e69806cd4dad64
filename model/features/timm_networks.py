"""Networks of timm as feature maps, and in words why one cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch

from model.checkpoint.manifest import CheckpointError


class Described(NamedTuple):
    """What timm says of a network.

    Attributes:
        strides: of its maps, from the first on.
        config: of its weights: mean, deviation, licence.
    """

    strides: list[int]
    config: dict[str, Any]

    @property
    def transformer(self) -> bool:
        """Whether its maps are blocks of one stride."""
        return len(set(self.strides)) == 1 and len(self.strides) > 1


def describe_network(backbone: str, model: str) -> Described:
    """What timm says of the network ``model``; ``backbone`` is what a person called it.

    Raises:
        CheckpointError: timm is not installed, or has no such network.
    """
    if find_spec("timm") is None:
        raise CheckpointError(
            f"The backbone {backbone} needs the package timm, which is not installed here: install the extra timm "
            "(pip install 'adclick-backend[timm]')."
        )
    try:
        with torch.device("meta"):
            whole = import_module("timm").create_model(model)
        strides = [int(level["reduction"]) for level in whole.feature_info]
    except Exception as error:  # timm raises whatever its networks do
        raise CheckpointError(
            f"timm has no network {model!r} whose maps can be used: {first_line(error)}"
        ) from error
    return Described(strides, dict(whole.pretrained_cfg))


def maps_of(model: str, levels: Sequence[int], pretrained: Path | str | None, **options: object) -> Any:
    """The network as maps of some of its levels, for evaluation; see :func:`describe_network` for what there is.

    Args:
        model: timm's name of it.
        levels: places of the maps among all.
        pretrained: a file with its weights; "hub": fetch them; None: of random weights.
        options: of timm's.

    Raises:
        CheckpointError: the weights cannot be had, or do not fit.
    """
    wanted: dict[str, Any] = {
        "features_only": True,
        "out_indices": list(levels),
        "pretrained": pretrained is not None,
        **options,
    }
    if isinstance(pretrained, Path):
        wanted["pretrained_cfg_overlay"] = {"file": str(pretrained)}
    try:
        return import_module("timm").create_model(model, **wanted).eval()
    except Exception as error:
        raise CheckpointError(_without_weights(model, pretrained, error)) from error


def check_sizes(network: Callable[[torch.Tensor], object], model: str, side: int) -> None:
    """Make sure that a network takes images of any size, by one of ``side`` x 2 ``side`` pixels.

    Raises:
        CheckpointError: it does not.
    """
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, side, 2 * side))
    except Exception as error:
        raise CheckpointError(
            f"The network {model!r} of timm cannot be shown images of any size ({first_line(error)}): use a "
            "convolutional one, such as resnet18, or a plain vision transformer."
        ) from error


def _without_weights(model: str, pretrained: Path | str | None, error: Exception) -> str:
    if pretrained is None:
        return f"The network {model!r} of timm cannot be made: {first_line(error)}"
    if isinstance(pretrained, Path):
        return f"{pretrained} cannot be read as the weights of {model!r}: {first_line(error)}"
    return (
        f"The weights of {model!r} cannot be fetched ({first_line(error)}): on a machine without internet, name a "
        "file that holds them with --pretrained FILE."
    )


def first_line(error: Exception) -> str:
    """What an error of timm says, short enough for a sentence."""
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200].rstrip(".")
