"""The types of a project on one scale, before their maximum is taken (Eq. 7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model.labels.labelled import SHAPED
from model.language.vocabulary import Vocabulary
from model.metrics.masks import iou
from model.segmentation.network import ADClickSeg
from model.segmentation.predictor import smooth, type_logits
from model.training.segmentation.batches import read_inputs, read_targets
from model.training.segmentation.samples import SegSample

QUANTILE = 0.999
"""Share of the pixels of normal images that must stay below every type's threshold."""

ENOUGH_TO_CUT = 4
FARTHEST_CUT = 4.0


def offsets(normals: Iterable[list[NDArray[np.float32]]], types: int) -> list[float]:
    """What is subtracted from the logits of each type.

    A type that is brighter than the others on normal images would win the maximum everywhere, so all types are brought
    to the level of the brightest; and if that one calls more than a thousandth of the pixels of normal images a defect,
    all are lowered until it does not. Types that stay dark on normal images keep their threshold.

    Args:
        normals: for each normal image, the logits (H, W) of each type.
        types: how many there are.

    Returns:
        One number for each type; zeros when there is no normal image.
    """
    levels = [[float(np.quantile(logits, QUANTILE)) for logits in image] for image in normals]
    if not levels:
        return [0.0] * types
    usual = np.mean(levels, axis=0)
    return [float(level - min(0.0, usual.max())) for level in usual]


def best_cut(
    labelled: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]], normals: Iterable[NDArray[np.float32]]
) -> float:
    """Where masks are cut best: the logit at which they fit the labels, above what normal images hold.

    A short training ranks pixels well long before its logits are zero where masks end. With fewer than
    ``ENOUGH_TO_CUT`` labels, whose masks would decide it alone, the cut stays at zero.

    Args:
        labelled: the largest logit of all types after their offsets (H, W), and the mask (H, W), of labelled images.
        normals: the same logits of normal images.

    Returns:
        The logit, in [-``FARTHEST_CUT``, ``FARTHEST_CUT``].
    """
    if len(labelled) < ENOUGH_TO_CUT:
        return 0.0
    usual = [float(np.quantile(logits, QUANTILE)) for logits in normals]
    lowest = min(0.0, max(-FARTHEST_CUT, float(np.mean(usual)))) if usual else 0.0
    cuts = np.linspace(lowest, FARTHEST_CUT, 41)
    fits = [np.mean([iou(logits > cut, mask) for logits, mask in labelled]) for cut in cuts]
    return float(cuts[int(np.argmax(fits))])


CALIBRATING = 12  # images of either kind on which types and masks are brought to one scale


@torch.inference_mode()
def calibrate(
    network: ADClickSeg, vocabulary: Vocabulary, types: Sequence[str], samples: Sequence[SegSample]
) -> list[float]:
    """The offsets of the types, measured on normal samples, and of their masks, on labelled ones."""
    states, present = vocabulary.averages(types)

    def logits(sample: SegSample) -> list[NDArray[np.float32]]:
        return [smooth(m) for m in type_logits(network, read_inputs(sample), states, present)]

    normals = [logits(s) for s in [s for s in samples if s.source == "normal"][:CALIBRATING]]
    shifts = offsets(normals, len(types))

    def strongest(maps: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.asarray(np.max([m - shift for m, shift in zip(maps, shifts, strict=True)], 0))

    drawn = [s for s in samples if s.source == "labelled" and s.kinds and SHAPED.issuperset(s.kinds.values())]
    labelled = [
        (strongest(logits(s)), np.logical_or.reduce([mask for _, mask in read_targets(s).values()]))
        for s in drawn[:CALIBRATING]
    ]
    cut = best_cut(labelled, [strongest(maps) for maps in normals])
    return [shift + cut for shift in shifts]
