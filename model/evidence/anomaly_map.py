"""The anomaly score of the residual, of prepared images and of references (:mod:`adclick_runtime.anomaly_map`)."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from adclick_runtime.anomaly_map import smoothed
from model.evidence.prepared import RATIO_ENERGIES, Prepared
from model.matching.residual import Residual

PEAK = "peak"
"""Name of `usual_peak` among what is usual in a bank (:meth:`model.interactive.predictor.Predictor.usual`)."""


def anomaly_score(prepared: Prepared) -> NDArray[np.float32]:
    """(h, w) smoothed log of the joint residual energy of one image, on the stride-2 grid."""
    joint = prepared.log_energies[0, RATIO_ENERGIES.index("joint")]
    return smoothed(_array(joint))


def joint_level(prepared: Prepared) -> float:
    """The median of the joint residual energy over one image, >= 0."""
    joint = prepared.log_energies[0, RATIO_ENERGIES.index("joint")]
    return max(0.0, math.exp(float(joint.float().median())) - 1e-4)


def usual_peak(residual: Residual, grid: tuple[int, int]) -> float:
    """The highest anomaly score in a defect-free image that was matched with others, on the scale of `anomaly_score`.

    Args:
        residual: of that image.
        grid: height and width of its stride-2 grid.
    """
    log = torch.log(residual.energies["joint"] + 1e-4)
    sized = F.interpolate(log, size=grid, mode="bilinear", align_corners=False)[0, 0]
    return float(smoothed(_array(sized)).max())


def _array(maps: Tensor) -> NDArray[np.float32]:
    return np.asarray(maps.float().cpu().numpy(), np.float32)
