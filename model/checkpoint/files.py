"""Weights on disk: one safetensors file and a JSON manifest that names its sha256. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from model.checkpoint.atomic import write_atomically
from model.checkpoint.manifest import FORMAT, CheckpointError, manifest_path, read_checked, read_manifest

Module = TypeVar("Module", bound=nn.Module)


def read_weights(weights: Path, manifest: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
    """The tensors of a checkpoint in float32, checked against the sha256 of its manifest, read before or now.

    Raises:
        CheckpointError: not safetensors, truncated, not the file that the manifest describes, or not all numbers.
    """
    if weights.suffix != ".safetensors":
        raise CheckpointError(f"{weights.name} is refused: weights must be a .safetensors file.")
    data = read_checked(weights, manifest or read_manifest(weights))
    try:
        tensors = load(data)
    except Exception as error:  # safetensors raises its own error class, and ValueError for a bad header
        raise CheckpointError(f"{weights.name} is not a readable safetensors file.") from error
    odd = sorted(n for n, t in tensors.items() if t.is_floating_point() and not bool(t.isfinite().all()))
    if odd:
        raise CheckpointError(
            f"{weights.name} holds values that are no numbers, in {odd[0]}: train it again."
        )
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def write_checkpoint(weights: Path, state: dict[str, Tensor], manifest: dict[str, Any]) -> None:
    """Write weights (float16) and manifest so that a crash leaves either the old pair or the new one usable.

    The manifest must have the sizes of the network as ``network``, or its ``parts``; the format and the sha256 are
    added to it.

    The manifest is replaced last: a reader that meets new weights beside an old manifest sees a wrong sha256 and
    says so, instead of serving a mixture.
    """
    data = save({k: (v.half() if v.is_floating_point() else v).contiguous().cpu() for k, v in state.items()})
    described = {"format": FORMAT, **manifest, "sha256": hashlib.sha256(data).hexdigest()}
    write_atomically(weights, data)
    write_atomically(
        manifest_path(weights), (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode()
    )


def export(backbone: nn.Module | None, network: nn.Module, out: Path, about: dict[str, Any]) -> None:
    """Write a click network as a checkpoint, with its manifest ``about``.

    Args:
        backbone: written beside it; None for one with a file of its own, whose ``backbone_sha256`` the manifest has.
        network: the click network.
        out: the file.
        about: the manifest.
    """
    state = {f"network.{k}": v for k, v in network.state_dict().items()}
    if backbone is not None:
        state |= {f"backbone.{k}": v for k, v in backbone.state_dict().items()}
    write_checkpoint(out, state, about)


def part_of(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one module of a checkpoint, ``network`` or ``backbone``, under the names it knows them by."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def load_into(module: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Load ``tensors`` into ``module``; every name and shape must fit.

    Raises:
        CheckpointError: names what is missing, unknown, or of another shape.
    """
    _compare(module, tensors, source)
    module.load_state_dict(tensors)


def _compare(module: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    own = module.state_dict()
    missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = sorted(n for n in own.keys() & tensors.keys() if own[n].shape != tensors[n].shape)
    for what, names in (("lacks", missing), ("has unknown", unknown), ("has other shapes for", shapes)):
        if names:
            raise CheckpointError(
                f"{source} does not fit this network: it {what} {', '.join(names[:3])}"
                f"{f' and {len(names) - 3} more' if len(names) > 3 else ''}."
            )


def build(network: Callable[[], Module], tensors: dict[str, Tensor], source: str) -> Module:
    """The network that ``network`` makes, with the weights ``tensors``; every name and shape must fit.

    They are compared before any memory is taken: a manifest may ask for a network of any size.

    Raises:
        CheckpointError: names what is missing, unknown, or of another shape.
    """
    with torch.device("meta"):
        _compare(network(), tensors, source)
    made = network()
    made.load_state_dict(tensors)
    return made


def fold_batch_norm(conv: Tensor, norm: dict[str, Tensor], eps: float) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does what ``conv`` (O, I, k, k) and its batch normalisation did."""
    scale = norm["weight"] / torch.sqrt(norm["running_var"] + eps)
    return conv * scale.view(-1, 1, 1, 1), norm["bias"] - norm["running_mean"] * scale
