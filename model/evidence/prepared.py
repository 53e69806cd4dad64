"""What the click network is shown: relative maps only.

Every channel is a comparison: with the references, with the rest of the image, with the clicked places. None says
what product this is, so there is nothing to memorise about the products of the training set; that is the paper's
argument for residuals, carried one step further.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from model.evidence.discriminant import SHRINKAGE, discriminant
from model.features.backbones import centred
from model.features.encoding import Encoded
from model.matching.nearest import MATCHING, MatchingConfig
from model.matching.residual import Residual, match
from model.matching.retrieval import Retrieved

ENERGIES = ("joint", "stride4", "stride8", "stride16", "fine", "colour")
NORMAL_ENERGIES = ("joint", "fine", "colour")  # also compared with what is usual among the references
RATIO_ENERGIES = ("joint", "fine")  # also compared with the clicked places
LEVELS = ("colour", "stride2", "stride4", "stride8", "stride16", "texture")
DISCRIMINANT = "discriminant"
"""The joint level of :mod:`model.evidence.discriminant`: places are compared by projection there, not by distance."""
REACHES = (4.0, 24.0)  # stride-2 cells over which the two click-distance maps fall to 1/e

LAYOUT = {
    "energies": len(ENERGIES) + len(NORMAL_ENERGIES),
    "edge": 1,
    "references": 1,
    "near": 2 * len(REACHES),
    **{f"like {name}": 2 for name in LEVELS if name != "texture"},
    "like residual": 2,
    "energy ratios": len(RATIO_ENERGIES),
    "like texture": 2,
    "onto discriminant": 4,
    "onto residual": 4,
}
"""How many maps there are of each kind, in their order. New kinds come last, so that older weights can be widened."""

CHANNELS = sum(LAYOUT.values())
STATIC_CHANNELS = sum(LAYOUT[name] for name in ("energies", "edge", "references"))
_PAIRS = 2048


@dataclass
class Prepared:
    """Everything about an image that does not depend on the clicks. B images of one size.

    Attributes:
        static: (B, STATIC_CHANNELS, h, w) on the stride-2 grid.
        levels: name -> (B, C, h', w'), channels scaled to unit variance over the image; and ``DISCRIMINANT``.
        scales: (B, len(LEVELS)) typical distance between two places of the image, per level.
        vectors: (B, D, h/4, w/4) residual vectors.
        log_energies: (B, len(RATIO_ENERGIES), h, w).
    """

    static: Tensor
    levels: dict[str, Tensor]
    scales: Tensor
    vectors: Tensor
    log_energies: Tensor

    @property
    def has_references(self) -> bool:
        """Whether it was compared with references, and not with itself alone."""
        return bool(self.static[:, -1].max() > 0)

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        maps = (self.static, *self.levels.values(), self.scales, self.vectors, self.log_energies)
        return sum(m.nbytes for m in maps)

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Prepared:
        """The same on another device or in another number format."""
        levels = {name: maps.to(device, dtype) for name, maps in self.levels.items()}
        vectors, log_energies = (maps.to(device, dtype) for maps in (self.vectors, self.log_energies))
        return Prepared(self.static.to(device, dtype), levels, self.scales.to(device), vectors, log_energies)

    def kept(self) -> Prepared:
        """The form in which many are kept: in main memory, at half the size."""
        return self.to(torch.device("cpu"), torch.float16)


def level_maps(encoded: Encoded) -> tuple[dict[str, Tensor], Tensor]:
    """The maps in which places are compared with clicked places, and their typical distances.

    Returns:
        name -> (1, C, h, w) with unit variance per channel, and (1, len(LEVELS)): the median distance between
        random places. The random places are the same for every image of one size.
    """
    raw = {"colour": encoded.colour, **{f"stride{s}": m for s, m in encoded.pyramid.items()}}
    raw["texture"] = texture(encoded)
    levels, scales = {}, []
    for name in LEVELS:
        maps, _, std = centred(raw[name])
        levels[name] = maps = maps / std.clamp_min(1e-2 if name == "colour" else 1e-3)
        cells = maps[0].flatten(1)
        generator = torch.Generator().manual_seed(0)
        a, b = torch.randint(cells.shape[1], (2, _PAIRS), generator=generator).to(maps.device)
        scales.append((cells[:, a] - cells[:, b]).square().sum(0).sqrt().median().clamp_min(1e-3))
    return levels, torch.stack(scales)[None]


def texture(encoded: Encoded) -> Tensor:
    """(1, 2 * 19, H/8, W/8): mean and spread of colour and finest features in windows of three stride-8 cells.

    On a woven or grained surface no single pixel says what it belongs to; the surroundings do.
    """
    fine = torch.cat([encoded.colour, encoded.pyramid[2]], 1)
    mean, square = (
        F.avg_pool2d(F.adaptive_avg_pool2d(m, encoded.grid), 3, 1, 1, count_include_pad=False)
        for m in (fine, fine.square())
    )
    return torch.cat([mean, (square - mean.square()).clamp_min(0).sqrt()], 1)


def normal_levels(residuals: list[Residual]) -> dict[str, float]:
    """What energies are usual among the references: the mean of their 95 % quantiles, each matched with the others.

    Without this the network could not tell how far from normal an image is: the residual's scale depends on the
    product and on how many references there are.
    """
    return {
        name: sum(float(r.energies[name].flatten().quantile(0.95)) for r in residuals) / len(residuals)
        for name in NORMAL_ENERGIES
    }


def compare(
    image: Encoded,
    compared: Retrieved,
    normal: dict[str, float] | None,
    itself: bool = False,
    matching: MatchingConfig = MATCHING,
    shrinkage: float = SHRINKAGE,
) -> Prepared:
    """Match an image with its references, or with itself, and :func:`prepare` it."""
    known = 0 if itself else len(compared.references)
    return prepare(image, match(image, compared, itself=itself, config=matching), normal, known, shrinkage)


def prepare(
    encoded: Encoded,
    residual: Residual,
    normal: dict[str, float] | None,
    references: int,
    shrinkage: float = SHRINKAGE,
) -> Prepared:
    """Assemble what does not depend on the clicks.

    Args:
        encoded: the image.
        residual: the image against its references.
        normal: :func:`normal_levels` of its bank, or None (fewer than two references): the image's own level serves.
        references: how many references there are; the network may trust many more than none.
        shrinkage: of :func:`model.evidence.discriminant.discriminant`.
    """
    levels, scales = level_maps(encoded)
    levels[DISCRIMINANT] = discriminant(levels, encoded.grid, shrinkage)
    return replace(without_levels(encoded, residual, normal, references), levels=levels, scales=scales)


def without_levels(
    encoded: Encoded, residual: Residual, normal: dict[str, float] | None, references: int
) -> Prepared:
    """:func:`prepare` for a network that does not compare places with clicked places: no levels, no scales."""
    grid = size_of(encoded.colour)
    logs = {name: to_grid(torch.log(e + 1e-4), grid) for name, e in residual.energies.items()}
    return Prepared(
        static=static_maps(logs, edges(encoded.colour), normal, references),
        levels={},
        scales=encoded.colour.new_zeros(1, 0),
        vectors=residual.vectors,
        log_energies=torch.cat([logs[name] for name in RATIO_ENERGIES], 1),
    )


def static_maps(
    logs: dict[str, Tensor], edge: Tensor, normal: dict[str, float] | None, references: int
) -> Tensor:
    """(1, STATIC_CHANNELS, h, w) from log-energies and edge strength on the stride-2 grid."""
    medians = {name: log.median() for name, log in logs.items()}
    channels = [logs[name] - medians[name] for name in ENERGIES]
    for name in NORMAL_ENERGIES:
        usual = (
            torch.log(torch.tensor(normal[name] + 1e-4))
            if normal
            else logs[name].flatten()[::7].quantile(0.95)
        )
        channels.append(logs[name] - usual)
    known = torch.full_like(edge, min(1.0, float(torch.log2(torch.tensor(1.0 + references))) / 4))
    return torch.cat([*(c.clamp(-6, 6) / 2 for c in channels), edge, known], 1)


def edges(colour: Tensor) -> Tensor:
    """(1, 1, h, w) gradient magnitude of the lightness over its mean, compressed."""
    light = F.pad(colour[:, :1], (1, 1, 1, 1), mode="replicate")
    dx = light[..., 1:-1, 2:] - light[..., 1:-1, :-2]
    dy = light[..., 2:, 1:-1] - light[..., :-2, 1:-1]
    magnitude = (dx.square() + dy.square()).sqrt()
    return torch.log1p(magnitude / magnitude.mean().clamp_min(1e-3))


def size_of(maps: Tensor) -> tuple[int, int]:
    """Height and width of maps (..., h, w)."""
    return maps.shape[-2], maps.shape[-1]


def to_grid(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Maps (B, C, h, w) resized to (B, C, *grid); themselves when they have that size."""
    if size_of(maps) == grid:
        return maps
    return F.interpolate(maps, size=grid, mode="bilinear", align_corners=False)
