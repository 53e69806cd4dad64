"""Nearest neighbours among the places of other images (Eq. 3 of the paper), with a preference for the own place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from model.checkpoint.ranges import COUNT, NONE_OR_MORE, NOT_NEGATIVE, SHARE, check, refused


@dataclass(frozen=True)
class MatchingConfig:
    """How places find their best match.

    The soft position prior replaces the hard window of Eq. 3, as in the final ADClick: a rotated part may still find
    its match across the image, a fixed one prefers its own place. Without references an image is matched with itself;
    near cells do not count then.
    """

    position_weight: float = 1.5  # λ²: cost of being one image side away, in units of the feature distance
    self_exclusion: float = 0.08  # what is near: this part of the longer side
    exhaustive: int = 8192  # cells of a bank up to which all of them are searched
    chunk: int = 256  # query cells matched at a time: their distances stay in the processor's cache
    dtype: torch.dtype = torch.float32  # in which cells are multiplied; it only chooses the match

    def __post_init__(self) -> None:
        check(
            self,
            {
                "position_weight": NOT_NEGATIVE,
                "self_exclusion": SHARE,
                "exhaustive": NONE_OR_MORE,
                "chunk": COUNT,
            },
        )
        if self.dtype not in (torch.float32, torch.bfloat16, torch.float16):
            raise refused(
                self, "dtype", f"{self.dtype} holds no fractions as float32, bfloat16 and float16 do"
            )


MATCHING = MatchingConfig()


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


class Cells(NamedTuple):
    """The cells of one or more images, perhaps of different sizes, in one table.

    Attributes:
        rows: (cells, D), image after image, row after row.
        sizes: height and width of each image's grid.
    """

    rows: Tensor
    sizes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, images: Sequence[Tensor]) -> Cells:
        """The bank of feature maps (1, D, h, w)."""
        rows = [maps[0].permute(1, 2, 0).reshape(-1, maps.shape[1]) for maps in images]
        return cls(torch.cat(rows), tuple((maps.shape[-2], maps.shape[-1]) for maps in images))

    def maps(self) -> list[Tensor]:
        """(h, w, D) of each image; views."""
        parts = torch.split(self.rows, [h * w for h, w in self.sizes])
        return [part.view(h, w, -1) for part, (h, w) in zip(parts, self.sizes, strict=True)]

    def layout(self, step: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """Of each image, every ``step``-th row and column counted: number of its first cell, height, width."""
        sizes = [(-(-h // step), -(-w // step)) for h, w in self.sizes]
        heights, widths = torch.tensor(sizes, device=self.rows.device).unbind(1)
        return (heights * widths).cumsum(0) - heights * widths, heights, widths

    def locate(self, numbers: Tensor, step: int) -> Matches:
        """Where the cells of these numbers (h, w) lie, when every ``step``-th row and column is counted."""
        first, _, widths = self.layout(step)
        source = torch.searchsorted(first, numbers, right=True) - 1
        local = numbers - first[source]
        return Matches(source, local // widths[source] * step, local % widths[source] * step)

    def at(self, matches: Matches) -> Tensor:
        """(1, D, h, w): what lies where the matches (h, w) are."""
        first, _, widths = self.layout()
        numbers = first[matches.source] + matches.row * widths[matches.source] + matches.column
        return self.rows[numbers].permute(2, 0, 1)[None]


def nearest(
    features: Tensor, bank: Cells, itself: bool = False, config: MatchingConfig = MATCHING
) -> Matches:
    """The best match of each cell of ``features`` (1, D, h, w) among all cells of a bank.

    In a large bank every other row and column is searched, and then the neighbours of what was found: features are
    averaged over 3 x 3 cells, so the way to the best match leads through its neighbours, at a quarter of the cost.
    """
    weight = 0.0 if itself else config.position_weight
    step = 2 if len(bank.rows) > config.exhaustive else 1
    query = _with_position(features[0].permute(1, 2, 0), weight)
    searched = torch.cat([_with_position(maps, weight, step) for maps in bank.maps()])
    dtype = config.dtype
    # argmin |q - b|² = argmax q·b - |b|²/2; the last column carries -|b|²/2, split in two for bfloat16's 8 bits
    half = -0.5 * searched.square().sum(1, keepdim=True)
    coarse = half.to(dtype)
    rest = (half - coarse.float()).to(dtype)
    low = torch.cat([searched.to(dtype), coarse, rest], 1)
    ones = torch.ones(len(query), 2, dtype=dtype, device=query.device)
    query_low = torch.cat([query.to(dtype), ones], 1)
    best = []
    for start in range(0, len(query), config.chunk):
        scores = query_low[start : start + config.chunk] @ low.T
        if itself:
            near = _near(start, len(scores), features, step, config.self_exclusion)
            scores.masked_fill_(near, float("-inf"))
        best.append(_argmax(scores))
    found = bank.locate(torch.cat(best).view(features.shape[-2:]), step)
    return around(features, bank, found)[1] if step > 1 else found


def _argmax(scores: Tensor) -> Tensor:
    """(N, M) -> (N,); on the processor numpy's, which uses its vector instructions and torch's does not."""
    if scores.device.type != "cpu":
        return scores.argmax(1)
    return torch.from_numpy(scores.float().numpy().argmax(1))


def _with_position(maps: Tensor, weight: float, step: int = 1) -> Tensor:
    """(h, w, D) -> (cells, D + 2): the position, scaled, as two more features; every ``step``-th row and column."""
    h, w = maps.shape[:2]
    side = max(h, w)
    y = (torch.arange(h, device=maps.device) + 0.5 - h / 2) / side
    x = (torch.arange(w, device=maps.device) + 0.5 - w / 2) / side
    place = torch.stack(torch.meshgrid(y, x, indexing="ij"), 2).to(maps)
    return torch.cat([m[::step, ::step].flatten(0, 1) for m in (maps, place * weight**0.5)], 1)


def _near(start: int, count: int, features: Tensor, step: int, share: float) -> Tensor:
    """(count, cells) bool: which of the searched cells are too near to each of the query cells from ``start`` on."""
    h, w = features.shape[-2:]
    radius = max(2.0, share * max(h, w)) + step - 1
    index = torch.arange(h * w, device=features.device)
    own = index[start : start + count, None]
    other = index.view(h, w)[::step, ::step].flatten()
    dy, dx = own // w - other // w, own % w - other % w
    return dy.square() + dx.square() < radius**2


def around(query: Tensor, bank: Cells, matches: Matches) -> tuple[Tensor, Matches]:
    """The best match within one cell of the given ones.

    Args:
        query: (1, C, h, w).
        bank: of the same kind of features.
        matches: on this grid.

    Returns:
        Mean squared difference (1, 1, h, w), and the better matches.
    """
    h, w = query.shape[-2:]
    cells = query[0].permute(1, 2, 0).reshape(h * w, -1)
    average = query.new_full((cells.shape[1],), 1 / cells.shape[1])
    first, heights, widths = (m[matches.source] for m in bank.layout())
    rows, columns, energies = [], [], []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            y = (matches.row + dy).clamp_min(0).minimum(heights - 1)
            x = (matches.column + dx).clamp_min(0).minimum(widths - 1)
            matched = bank.rows.index_select(0, (first + y * widths + x).flatten())
            energies.append((matched.sub_(cells).square_() @ average).view(h, w))
            rows.append(y)
            columns.append(x)
    energy, best = torch.stack(energies).min(0, keepdim=True)  # (1, h, w)
    row, column = (torch.stack(m).gather(0, best)[0] for m in (rows, columns))
    return energy[None], Matches(matches.source, row, column)
