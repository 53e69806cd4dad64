"""Location-aware patch matching: an image against its references (Eq. 3-4 of the paper), from coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from model.encoding import Encoded
from model.references import Retrieved

POSITION_WEIGHT = 1.5
"""λ² of the soft position prior: what being one image side away costs, in the units of the feature distance.

Replaces the hard window of Eq. 3, as in the final ADClick: a rotated part may still find its match across the
image, a fixed one prefers its own place."""

SELF_EXCLUSION = 0.08
"""Without references an image is matched with itself; cells nearer than this part of its longer side do not count."""

MATCH_STRIDES = (4, 8, 16)
_CHUNK = 256  # query cells matched at a time: the distances of a chunk stay in the processor's cache


@dataclass
class Residual:
    """How an image differs from its references.

    Attributes:
        vectors: (1, D, H/8, W/8) signed difference of the standardised stride-4 and stride-8 features to their best
            match; stride 16 takes part in the matching, but is too coarse to tell one place from its neighbour.
        energies: residual energies (mean squared difference, >= 0), name -> (1, 1, h, w) at the map's own stride:
            ``joint``, ``stride4``, ``stride8``, ``stride16`` on the stride-8 grid, ``fine`` on the stride-4 grid,
            ``colour`` on the stride-2 grid.
    """

    vectors: Tensor
    energies: dict[str, Tensor]


def joint_features(encoded: Encoded, retrieved: Retrieved) -> dict[int, Tensor]:
    """Standardised features of all strides on the stride-8 grid, each level weighing the same, 3 x 3 averaged.

    Returns:
        stride -> (1, C, H/8, W/8); a difference of one standard deviation in every channel of a level has length 1.
    """
    grid = encoded.grid
    levels = {}
    for stride in MATCH_STRIDES:
        maps = retrieved.standardise(encoded.pyramid, stride)
        maps = F.adaptive_avg_pool2d(maps, grid) if stride < 8 else maps
        maps = F.avg_pool2d(maps, 3, 1, 1, count_include_pad=False)
        if stride > 8:
            maps = F.interpolate(maps, size=grid, mode="bilinear", align_corners=False)
        levels[stride] = maps / maps.shape[1] ** 0.5
    return levels


def match(query: Encoded, retrieved: Retrieved, *, itself: bool = False) -> Residual:
    """Match every cell of ``query`` with its most similar cell in the references.

    Args:
        query: the image.
        retrieved: its references; ``Retrieved([query])`` when there is none.
        itself: the references are the image itself: near cells are excluded and the position prior is off.
    """
    levels = joint_features(query, retrieved)
    features = torch.cat(list(levels.values()), 1)  # (1, D, h, w)
    candidates = [torch.cat(list(joint_features(r, retrieved).values()), 1) for r in retrieved.references]
    best = nearest(features, candidates, itself)
    matched = torch.cat([c[0].flatten(1) for c in candidates], 1)[:, best].view_as(features)
    vectors = features - matched
    widths = [level.shape[1] for level in levels.values()]
    energies = {
        f"stride{s}": part.square().sum(1, keepdim=True)
        for s, part in zip(MATCH_STRIDES, torch.split(vectors, widths, 1), strict=True)
    }
    energies["joint"] = vectors.square().sum(1, keepdim=True) / len(MATCH_STRIDES)
    source, row, column = _locate(best, [r.grid for r in retrieved.references])
    fine_query = retrieved.standardise(query.pyramid, 4)
    fine_references = [retrieved.standardise(r.pyramid, 4) for r in retrieved.references]
    h, w = query.grid
    energies["fine"], source, row, column = _refine(
        fine_query, fine_references, source.view(h, w), row.view(h, w), column.view(h, w)
    )
    energies["colour"], *_ = _refine(
        query.colour, [r.colour for r in retrieved.references], source, row, column
    )
    return Residual(vectors[:, : widths[0] + widths[1]], energies)


def nearest(features: Tensor, candidates: list[Tensor], itself: bool) -> Tensor:
    """Index (h * w,) of the best match of each cell among all cells of all ``candidates``, counted through."""
    weight = 0.0 if itself else POSITION_WEIGHT
    query = _with_position(features, weight)  # (cells, D + 2)
    bank = torch.cat([_with_position(c, weight) for c in candidates])
    dtype = matching_dtype(query.device)
    # argmin |q - b|² = argmax q·b - |b|²/2; the last column carries -|b|²/2, split in two for bfloat16's 8 bits
    half = -0.5 * bank.square().sum(1, keepdim=True)
    coarse = half.to(dtype)
    rest = (half - coarse.float()).to(dtype)
    bank_low = torch.cat([bank.to(dtype), coarse, rest], 1)
    ones = torch.ones(len(query), 2, dtype=dtype, device=query.device)
    query_low = torch.cat([query.to(dtype), ones], 1)
    best = []
    for start in range(0, len(query), _CHUNK):
        scores = query_low[start : start + _CHUNK] @ bank_low.T
        if itself:
            scores.masked_fill_(_near(start, len(scores), features.shape[-2:], query.device), float("-inf"))
        best.append(scores.argmax(1))
    return torch.cat(best)


def _with_position(features: Tensor, weight: float) -> Tensor:
    """(1, D, h, w) -> (h * w, D + 2): the position, scaled, as two more features."""
    h, w = features.shape[-2:]
    side = max(h, w)
    y = (torch.arange(h, device=features.device) + 0.5 - h / 2) / side
    x = (torch.arange(w, device=features.device) + 0.5 - w / 2) / side
    place = torch.stack(torch.meshgrid(y, x, indexing="ij")).to(features)
    return torch.cat([features[0], place * weight**0.5]).flatten(1).T.contiguous()


def _near(start: int, count: int, grid: torch.Size, device: torch.device) -> Tensor:
    """(count, h * w) bool: the cells too near to each of the query cells from ``start`` on."""
    h, w = grid
    radius = max(2.0, SELF_EXCLUSION * max(h, w))
    index = torch.arange(h * w, device=device)
    own = index[start : start + count, None]
    dy, dx = own // w - index // w, own % w - index % w
    return dy.square() + dx.square() < radius**2


def _locate(best: Tensor, grids: list[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Counted-through cell indices -> (which reference, row, column) on that reference's stride-8 grid."""
    sizes = torch.tensor([h * w for h, w in grids], device=best.device)
    ends = sizes.cumsum(0)
    source = torch.searchsorted(ends, best, right=True)
    local = best - (ends - sizes)[source]
    widths = torch.tensor([w for _, w in grids], device=best.device)[source]
    return source, local // widths, local % widths


def _refine(
    query: Tensor, references: list[Tensor], source: Tensor, row: Tensor, column: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Match again on a grid twice as fine, within one cell of where the coarse match lies.

    Args:
        query: (1, C, 2h, 2w) features of the image.
        references: the same of the references, each (1, C, 2h', 2w').
        source, row, column: (h, w) long, the coarse matches.

    Returns:
        Energy (1, 1, 2h, 2w) and the finer matches, each (2h, 2w).
    """
    h, w = query.shape[-2:]
    sizes = torch.tensor([r.shape[-2:] for r in references], device=query.device)  # (n, 2)
    offsets = torch.cat([torch.zeros_like(sizes[:1, 0]), sizes.prod(1).cumsum(0)[:-1]])
    bank = torch.cat([r[0].flatten(1) for r in references], 1).T.contiguous()  # (cells, C)
    cells = query[0].flatten(1).T  # (2h * 2w, C)
    source, row, column = (_double(m) for m in (source, row, column))
    row = row * 2 + torch.arange(h, device=query.device)[:, None] % 2
    column = column * 2 + torch.arange(w, device=query.device) % 2
    limit_y, limit_x, base = sizes[source, 0], sizes[source, 1], offsets[source]
    rows, columns, energies = [], [], []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            y = (row + dy).clamp_min(0).minimum(limit_y - 1)
            x = (column + dx).clamp_min(0).minimum(limit_x - 1)
            matched = bank[(base + y * limit_x + x).flatten()]
            energies.append((cells - matched).square_().mean(1).view(h, w))
            rows.append(y)
            columns.append(x)
    energy, best = torch.stack(energies).min(0, keepdim=True)  # (1, 2h, 2w)
    row, column = (torch.stack(m).gather(0, best)[0] for m in (rows, columns))
    return energy[None], source, row, column


def _double(grid: Tensor) -> Tensor:
    return grid.repeat_interleave(2, 0).repeat_interleave(2, 1)


@lru_cache(maxsize=4)
def matching_dtype(device: torch.device) -> torch.dtype:
    """The number format in which this machine multiplies matrices fastest; found by trying, once.

    Bfloat16 is three times as fast where the processor has it in hardware and many times slower where it has not. It
    only chooses the match; the residual itself is computed in float32.
    """
    if device.type != "cpu":
        return torch.float16
    a, b = torch.randn(256, 178), torch.randn(4096, 178)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, y = a.to(dtype), b.to(dtype).T
        (x @ y).max()
        start = perf_counter()
        for _ in range(3):
            (x @ y).argmax(1)
        seconds[dtype] = perf_counter() - start
    return min(seconds, key=seconds.__getitem__)
