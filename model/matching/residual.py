"""Location-aware patch matching: an image against its references (Eq. 3-4 of the paper), from coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from model.features.backbones import Pyramid
from model.features.encoding import Encoded
from model.matching.nearest import MATCHING, Cells, Matches, MatchingConfig, around, nearest
from model.matching.retrieval import MATCH_STRIDES, Retrieved


@dataclass
class Residual:
    """How an image differs from its references.

    Attributes:
        vectors: (1, D, H/8, W/8) signed difference of the standardised stride-4 and stride-8 features to their best
            match; stride 16 takes part in the matching, but is too coarse to tell one place from its neighbour.
        energies: residual energies (mean squared difference, >= 0), name -> (1, 1, h, w) at the map's own stride:
            ``joint``, ``stride4``, ``stride8``, ``stride16`` on the stride-8 grid, ``fine`` on the stride-4 grid,
            ``colour`` on the stride-2 grid.
        matches: where in the references the best matches lie, on the stride-8 grid.
    """

    vectors: Tensor
    energies: dict[str, Tensor]
    matches: Matches


class Standards(Protocol):
    """Whatever knows the mean and standard deviation of each channel; :class:`Retrieved` is one."""

    def standardise(self, pyramid: Pyramid, stride: int) -> Tensor:
        """The feature map of a stride in units of the standard deviations, (1, C, h, w)."""


def joint_features(encoded: Encoded, standards: Standards) -> dict[int, Tensor]:
    """Standardised features of all strides on the stride-8 grid, each level weighing the same, 3 x 3 averaged.

    Returns:
        stride -> (1, C, H/8, W/8); a difference of one standard deviation in every channel of a level has length 1.
    """
    grid = encoded.grid
    levels = {}
    for stride in MATCH_STRIDES:
        maps = standards.standardise(encoded.pyramid, stride)
        maps = F.adaptive_avg_pool2d(maps, grid) if stride < 8 else maps
        maps = F.avg_pool2d(maps, 3, 1, 1, count_include_pad=False)
        if stride > 8:
            maps = F.interpolate(maps, size=grid, mode="bilinear", align_corners=False)
        levels[stride] = maps / maps.shape[1] ** 0.5
    return levels


def mismatch_ratio(query: Encoded, retrieved: Retrieved, config: MatchingConfig = MATCHING) -> float:
    """How much worse references explain an image than the image explains itself; about 1 for good references.

    The ratio of the median energies of the best matches in the references and, some way off, in the image. A woven
    cloth photographed the other way round has a high one: compared with it, every place would seem a defect.
    """
    features, *candidates = (
        torch.cat(list(joint_features(e, retrieved).values()), 1) for e in (query, *retrieved.references)
    )
    banks = Cells.of(candidates), Cells.of([features])
    matches = [
        nearest(features, bank, itself, config) for bank, itself in zip(banks, (False, True), strict=True)
    ]
    energies = [
        (features - bank.at(match)).square().sum(1).median()
        for bank, match in zip(banks, matches, strict=True)
    ]
    return float(energies[0] / energies[1].clamp_min(1e-6))


def match(
    query: Encoded, retrieved: Retrieved, *, itself: bool = False, config: MatchingConfig = MATCHING
) -> Residual:
    """Match every cell of ``query`` with its most similar cell in the references.

    Args:
        query: the image.
        retrieved: its references; ``Retrieved([query])`` when there is none.
        itself: the references are the image itself: near cells are excluded and the position prior is off.
        config: how to match.
    """
    levels = joint_features(query, retrieved)
    features = torch.cat(list(levels.values()), 1)  # (1, D, h, w)
    bank = Cells.of([torch.cat(list(joint_features(r, retrieved).values()), 1) for r in retrieved.references])
    matches = nearest(features, bank, itself, config)
    vectors = features - bank.at(matches)
    widths = [level.shape[1] for level in levels.values()]
    energies = {
        f"stride{s}": part.square().sum(1, keepdim=True)
        for s, part in zip(MATCH_STRIDES, torch.split(vectors, widths, 1), strict=True)
    }
    energies["joint"] = vectors.square().sum(1, keepdim=True) / len(MATCH_STRIDES)
    fine = Cells.of([retrieved.standardise(r.pyramid, 4) for r in retrieved.references])
    energies["fine"], finer = around(retrieved.standardise(query.pyramid, 4), fine, matches.doubled())
    colours = Cells.of([r.colour for r in retrieved.references])
    energies["colour"], _ = around(query.colour, colours, finer.doubled())
    return Residual(vectors[:, : widths[0] + widths[1]], energies, matches)
