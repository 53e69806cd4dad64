"""Location-aware patch matching: an image against its references (Eq. 3-4 of the paper), from coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from model.encoding import Encoded
from model.references import MATCH_STRIDES, Retrieved

POSITION_WEIGHT = 1.5
"""λ² of the soft position prior: what being one image side away costs, in the units of the feature distance.

Replaces the hard window of Eq. 3, as in the final ADClick: a rotated part may still find its match across the
image, a fixed one prefers its own place."""

SELF_EXCLUSION = 0.08
"""Without references an image is matched with itself; cells nearer than this part of its longer side do not count."""

_EXHAUSTIVE = 8192  # cells of a bank up to which all of them are searched
_CHUNK = 256  # query cells matched at a time: the distances of a chunk stay in the processor's cache


class Matches(NamedTuple):
    """Where the best match of each cell of an image lies: (h, w) long each."""

    source: Tensor  # which reference
    row: Tensor  # on the grid of that reference
    column: Tensor

    def doubled(self) -> Matches:
        """The same on a grid twice as fine, each cell's quarter at the matching quarter."""
        source, row, column = (m.repeat_interleave(2, 0).repeat_interleave(2, 1) for m in self)
        odd_row, odd_column = (torch.arange(side, device=row.device) % 2 for side in row.shape)
        return Matches(source, 2 * row + odd_row[:, None], 2 * column + odd_column)


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


def misfit(query: Encoded, retrieved: Retrieved) -> float:
    """How much worse references explain an image than the image explains itself; about 1 for good references.

    The ratio of the median energies of the best matches in the references and, some way off, in the image. A woven
    cloth photographed the other way round has a high one: compared with it, every place would seem a defect.
    """
    features, *candidates = (
        torch.cat(list(joint_features(e, retrieved).values()), 1) for e in (query, *retrieved.references)
    )
    matched = gather(candidates, nearest(features, candidates))
    own = gather([features], nearest(features, [features], itself=True))
    energies = [(features - found).square().sum(1).median() for found in (matched, own)]
    return float(energies[0] / energies[1].clamp_min(1e-6))


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
    matches = nearest(features, candidates, itself)
    vectors = features - gather(candidates, matches)
    widths = [level.shape[1] for level in levels.values()]
    energies = {
        f"stride{s}": part.square().sum(1, keepdim=True)
        for s, part in zip(MATCH_STRIDES, torch.split(vectors, widths, 1), strict=True)
    }
    energies["joint"] = vectors.square().sum(1, keepdim=True) / len(MATCH_STRIDES)
    fine = [retrieved.standardise(r.pyramid, 4) for r in retrieved.references]
    energies["fine"], finer = _around(retrieved.standardise(query.pyramid, 4), fine, matches.doubled())
    colours = [r.colour for r in retrieved.references]
    energies["colour"], _ = _around(query.colour, colours, finer.doubled())
    return Residual(vectors[:, : widths[0] + widths[1]], energies, matches)


def nearest(features: Tensor, candidates: list[Tensor], itself: bool = False) -> Matches:
    """The best match of each cell of ``features`` (1, D, h, w) among all cells of all ``candidates`` (1, D, h', w').

    In a large bank every other row and column is searched, and then the neighbours of what was found: features are
    averaged over 3 x 3 cells, so the way to the best match leads through its neighbours, at a quarter of the cost.
    """
    weight = 0.0 if itself else POSITION_WEIGHT
    step = 2 if sum(c[0, 0].numel() for c in candidates) > _EXHAUSTIVE else 1
    query = _with_position(features, weight, 1)  # (cells, D + 2)
    bank = torch.cat([_with_position(c, weight, step) for c in candidates])
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
            scores.masked_fill_(_near(start, len(scores), features, step), float("-inf"))
        best.append(scores.argmax(1))
    found = _locate(torch.cat(best).view(features.shape[-2:]), candidates, step)
    return _around(features, candidates, found)[1] if step > 1 else found


def gather(candidates: list[Tensor], matches: Matches) -> Tensor:
    """(1, D, h, w): what the references hold where the matches lie."""
    bank = torch.cat([c[0].flatten(1) for c in candidates], 1)
    first, _, widths = _layout(candidates, 1)
    at = first[matches.source] + matches.row * widths[matches.source] + matches.column
    return bank[:, at.flatten()].view(1, -1, *at.shape)


def _layout(candidates: list[Tensor], step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each candidate whose every ``step``-th row and column counts: first counted-through index, height, width."""
    sizes = [(-(-c.shape[-2] // step), -(-c.shape[-1] // step)) for c in candidates]
    heights, widths = torch.tensor(sizes, device=candidates[0].device).unbind(1)
    return (heights * widths).cumsum(0) - heights * widths, heights, widths


def _with_position(features: Tensor, weight: float, step: int) -> Tensor:
    """(1, D, h, w) -> (cells, D + 2): the position, scaled, as two more features; every ``step``-th row and column."""
    h, w = features.shape[-2:]
    side = max(h, w)
    y = (torch.arange(h, device=features.device) + 0.5 - h / 2) / side
    x = (torch.arange(w, device=features.device) + 0.5 - w / 2) / side
    place = torch.stack(torch.meshgrid(y, x, indexing="ij")).to(features)
    return torch.cat([features[0], place * weight**0.5])[:, ::step, ::step].flatten(1).T.contiguous()


def _near(start: int, count: int, features: Tensor, step: int) -> Tensor:
    """(count, cells) bool: which of the searched cells are too near to each of the query cells from ``start`` on."""
    h, w = features.shape[-2:]
    radius = max(2.0, SELF_EXCLUSION * max(h, w)) + step - 1
    index = torch.arange(h * w, device=features.device)
    own = index[start : start + count, None]
    other = index.view(h, w)[::step, ::step].flatten()
    dy, dx = own // w - other // w, own % w - other % w
    return dy.square() + dx.square() < radius**2


def _locate(best: Tensor, candidates: list[Tensor], step: int) -> Matches:
    """Counted-through indices (h, w) of searched cells -> where they lie."""
    first, _, widths = _layout(candidates, step)
    source = torch.searchsorted(first, best, right=True) - 1
    local = best - first[source]
    return Matches(source, local // widths[source] * step, local % widths[source] * step)


def _around(query: Tensor, candidates: list[Tensor], matches: Matches) -> tuple[Tensor, Matches]:
    """The best match within one cell of the given ones.

    Args:
        query: (1, C, h, w).
        candidates: (1, C, h', w') each.
        matches: on this grid.

    Returns:
        Mean squared difference (1, 1, h, w), and the better matches.
    """
    h, w = query.shape[-2:]
    bank = torch.cat([c[0].flatten(1) for c in candidates], 1).T.contiguous()  # (cells, C)
    cells = query[0].flatten(1).T.contiguous()  # (h * w, C)
    first, heights, widths = (m[matches.source] for m in _layout(candidates, 1))
    rows, columns, energies = [], [], []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            y = (matches.row + dy).clamp_min(0).minimum(heights - 1)
            x = (matches.column + dx).clamp_min(0).minimum(widths - 1)
            matched = bank[(first + y * widths + x).flatten()]
            energies.append((cells - matched).square_().mean(1).view(h, w))
            rows.append(y)
            columns.append(x)
    energy, best = torch.stack(energies).min(0, keepdim=True)  # (1, h, w)
    row, column = (torch.stack(m).gather(0, best)[0] for m in (rows, columns))
    return energy[None], Matches(matches.source, row, column)


@lru_cache(maxsize=4)
def matching_dtype(device: torch.device) -> torch.dtype:
    """The number format in which this machine multiplies matrices fastest; found by trying, once.

    Bfloat16 is three times as fast where the processor has it in hardware and many times slower where it has not. It
    only chooses the match; the residual itself is computed in float32.
    """
    if device.type != "cpu":
        return torch.float16
    a, b = torch.randn(256, 178), torch.randn(4096, 178)
    seconds: dict[torch.dtype, float] = {}
    for _ in range(5):  # in turns, and the best counts: other work on the machine must not decide
        for dtype in (torch.float32, torch.bfloat16):
            x, y = a.to(dtype), b.to(dtype).T
            start = perf_counter()
            (x @ y).argmax(1)
            seconds[dtype] = min(seconds.get(dtype, 1.0), perf_counter() - start)
    return min(seconds, key=seconds.__getitem__)
