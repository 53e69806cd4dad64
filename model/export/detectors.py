"""InvAD, OneNIP and PatchCore as :mod:`adclick_runtime.learned` wants them: a network, sizes, numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from adclick_runtime.errors import BundleError
from model.detectors.detector import Detector
from model.detectors.invad.detector import InvADDetector, anomaly_grid
from model.detectors.invad.network import InvAD
from model.detectors.onenip.detector import OneNIPDetector
from model.detectors.onenip.network import OneNIP
from model.detectors.patchcore import PatchCore, PatchCoreDetector
from model.export.onnx_file import to_onnx
from model.features.encoding import Encoded
from model.matching.retrieval import MATCH_STRIDES


@dataclass(frozen=True)
class Learned:
    """A detector as a bundle holds it.

    Attributes:
        about: what the manifest says of it.
        graph: its network as ONNX; None for one that has none.
        constants: arrays by name.
    """

    about: Mapping[str, Any]
    graph: bytes | None = None
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def learned(detector: Detector) -> Learned:
    """A detector of a checkpoint.

    Raises:
        BundleError: it is none of those that can be taken along.
    """
    if isinstance(detector, InvADDetector):
        return _invad(detector.network)
    if isinstance(detector, OneNIPDetector):
        return _onenip(detector.network)
    if isinstance(detector, PatchCoreDetector):
        return _patchcore(detector.banks)
    raise BundleError(
        f"The detector {detector.name} cannot be taken along: let another one serve, and export again."
    )


def kept_of(detector: Detector, reference: Encoded) -> NDArray[Any] | None:
    """What a detector needs of a reference beside the features that all are matched with; None for most."""
    if not isinstance(detector, OneNIPDetector):
        return None
    levels = detector.network.levels
    with torch.inference_mode():
        return np.asarray(levels(levels.joint(reference.pyramid))[0].numpy(), np.float32)


class InvADGraph(nn.Module):
    """One minus the cosine of the features and of those made anew, on the grid of the finest level."""

    def __init__(self, network: InvAD):
        super().__init__()
        self.network = network

    def forward(self, *maps: Tensor) -> Tensor:
        """(1, C, h, w) of each stride -> (h, w)."""
        levels, made = self.network(dict(zip(self.network.config.strides, maps, strict=True)))
        return anomaly_grid(levels, made)[0]


def _invad(network: InvAD) -> Learned:
    config = network.config
    inputs = {
        f"stride{stride}": torch.rand(1, channels, 192 // stride, 256 // stride)
        for stride, channels in zip(config.strides, config.channels, strict=True)
    }
    moving = {name: {2: f"height_{name}", 3: f"width_{name}"} for name in inputs}
    moving["unlike"] = {0: "height", 1: "width"}
    graph = to_onnx(InvADGraph(network), inputs, ["unlike"], moving)
    return Learned({"method": "invad", "graph": True, "strides": list(config.strides)}, graph)


class OneNIPGraph(nn.Module):
    """Features, a prompt, and what belongs to their grid in; the map out."""

    def __init__(self, network: OneNIP):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, prompt: Tensor, positions: Tensor, allowed: Tensor) -> Tensor:
        """(1, C, h, w) twice, (1, T, width), (T, T) bool -> (4 h, 4 w)."""
        return self.network.map(image, self.network.restored(image, prompt, positions, allowed))[0, 0]


def _onenip(network: OneNIP) -> Learned:
    config, height, width = network.config, 6, 8
    tokens = height * width // config.patch**2
    features = torch.rand(1, sum(config.channels), height, width)
    near = torch.ones(tokens, tokens, dtype=torch.bool)
    inputs = {
        "image": features,
        "prompt": features + 0.1,
        "positions": torch.rand(1, tokens, config.width),
        "allowed": near,
    }
    moving: dict[str, dict[int, str]] = {name: {2: "rows", 3: "columns"} for name in ("image", "prompt")}
    moving |= {
        "positions": {1: "tokens"},
        "allowed": {0: "tokens", 1: "tokens"},
        "map": {0: "height", 1: "width"},
    }
    about = {
        "method": "onenip",
        "graph": True,
        "strides": list(config.strides),
        "channels": list(config.channels),
        "patch": config.patch,
        "grid": config.grid,
        "neighbourhood": config.neighbourhood,
        "assembled": config.assembled,
    }
    statistics, positions = network.levels.statistics, network.positions
    constants = {
        "mean": statistics.mean,
        "deviation": statistics.deviation,
        "rows": positions.rows,
        "columns": positions.columns,
    }
    arrays = {name: np.asarray(tensor.detach().numpy(), np.float32) for name, tensor in constants.items()}
    return Learned(about, to_onnx(OneNIPGraph(network), inputs, ["map"], moving), arrays)


def _patchcore(banks: Mapping[str, PatchCore]) -> Learned:
    constants: dict[str, NDArray[Any]] = {}
    for product, core in banks.items():
        means, factors = [], []
        for stride in MATCH_STRIDES:
            mean, deviation = (core.get_buffer(f"{name}{stride}").flatten() for name in ("mean", "deviation"))
            means.append(mean)
            factors.append(1 / (deviation * len(deviation) ** 0.5))
        found = {"bank": core.bank, "mean": torch.cat(means), "factor": torch.cat(factors)}
        constants |= {f"{product}/{name}": tensor.detach().numpy() for name, tensor in found.items()}
    return Learned({"method": "patchcore", "graph": False}, constants=constants)
