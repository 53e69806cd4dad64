"""ADClick-Seg as ONNX: the words of its types are numbers of the network, and all types are found in one run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.export.onnx_file import to_onnx
from model.features.backbones import centred
from model.segmentation.inputs import COLOURS, STRIDES, VIEWS
from model.segmentation.network import RELATIVE, ADClickSeg
from model.segmentation.predictor import type_logits

LEAST = {"colour": 1e-2}
"""Smallest deviation that a level is divided by; 1e-3 of all others (:func:`model.evidence.prepared.level_maps`)."""


class SegmentationGraph(nn.Module):
    """Comparisons with the references and raw features in, the logits of each type out.

    Args:
        network: in evaluation mode.
        states: (K, T, D), the words of the types.
        present: (K, T), how much of a word there is.
        looks: whether the maps that regions are described in come out as well.
    """

    def __init__(self, network: ADClickSeg, states: Tensor, present: Tensor, looks: bool):
        super().__init__()
        self.network, self.looks = network, looks
        self.register_buffer("states", states)
        self.register_buffer("present", present)

    def forward(self, relative: Tensor, vectors: Tensor, colour: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        """The maps of :mod:`adclick_runtime.evidence`, the colours (1, 3, h, w), and the features of strides 2 to 16.

        Returns:
            Logits (K, 2h, 2w); with ``looks`` also the four feature levels as the network sees them.
        """
        raw = {"colour": colour, **dict(zip(VIEWS, maps, strict=True))}
        levels = {}
        for name, level in raw.items():
            rest, _, deviation = centred(level)
            # The backend keeps what it prepared in half precision; a map that lies near a threshold shows it.
            levels[name] = (rest / deviation.clamp_min(LEAST.get(name, 1e-3))).half().float()
        seen = {
            "relative": relative,
            "vectors": vectors,
            "stride2": torch.cat([levels["colour"], levels["stride2"]], 1),
            **{name: levels[name] for name in VIEWS if name != "stride2"},
        }
        states, present = self.get_buffer("states"), self.get_buffer("present")
        logits = torch.stack(type_logits(self.network, seen, states, present))
        return (logits, *(seen[name] for name in VIEWS)) if self.looks else (logits,)


def segmentation_file(network: ADClickSeg, states: Tensor, present: Tensor, looks: bool) -> bytes:
    """ADClick-Seg as ONNX; see :class:`SegmentationGraph`."""
    height, width, channels = 96, 128, dict(network.config.views)
    sizes = {"relative": RELATIVE, "vectors": network.config.vectors, "colour": COLOURS, **channels}
    sizes["stride2"] -= COLOURS
    strides = {**STRIDES, "colour": 2}
    inputs = {
        name: torch.rand(1, count, height // strides[name], width // strides[name])
        for name, count in sizes.items()
    }
    moving = {name: {2: f"height{strides[name]}", 3: f"width{strides[name]}"} for name in inputs}
    moving["logits"] = {1: "height", 2: "width"}
    looks_at = [f"seen_{name}" for name in VIEWS] if looks else []
    moving |= {f"seen_{name}": moving[name] for name in (VIEWS if looks else ())}
    graph = SegmentationGraph(network, states, present, looks)
    return to_onnx(graph, inputs, ["logits", *looks_at], moving)
