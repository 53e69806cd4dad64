"""Location-aware patch matching: the best match of each place of an image in its references (Eq. 3-4 of the paper).

The same as :mod:`model.matching` computes, on arrays instead of tensors, with all that does not depend on the image
computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.features import Features
from adclick_runtime.networks import Network

Map = NDArray[np.float32]
Numbers = NDArray[np.int64]

STRIDES = (4, 8, 16)
"""The levels in which places are compared."""

CHUNK = 512
"""Places that are matched at a time."""

LEAST = 1e-3
"""Smallest deviation that is divided by."""


@dataclass(frozen=True)
class Matching:
    """How places find their best match.

    Attributes:
        position_weight: cost of being one image side away, in units of the feature distance.
        self_exclusion: without references, cells nearer than this part of the longer side do not count.
        exhaustive: cells of a bank up to which all of them are searched.
    """

    position_weight: float
    self_exclusion: float
    exhaustive: int


class Moments(NamedTuple):
    """Of the features of one image at one stride: number of places, (C,) means, (C,) sums of squared deviations."""

    places: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, maps: Map) -> Moments:
        """Of feature maps (C, h, w)."""
        cells = maps.reshape(len(maps), -1).astype(np.float64)
        mean = cells.mean(1)
        return cls(cells.shape[1], mean, np.square(cells - mean[:, None]).sum(1))


def spread(images: Sequence[Moments]) -> tuple[Map, Map]:
    """The mean and the standard deviation (C,) of each channel over some images."""
    count = sum(one.places for one in images)
    mean = sum(one.places * one.mean for one in images) / count
    squares = sum(one.squares + one.places * np.square(one.mean - mean) for one in images)
    deviation = np.sqrt(np.asarray(squares) / max(1, count - 1))
    return np.asarray(mean, np.float32), np.maximum(deviation, LEAST).astype(np.float32)


class Reference(NamedTuple):
    """A reference as it is compared with: features in whatever number format, not standardised.

    Attributes:
        joint: (h8, w8, D); see :class:`adclick_runtime.features.Features`.
        fine: (h4, w4, C).
        colour: (h2, w2, 3) in [0, 1].
        moments: of the strides 4, 8 and 16.
    """

    joint: NDArray[np.floating]
    fine: NDArray[np.floating]
    colour: Map
    moments: tuple[Moments, Moments, Moments]

    @classmethod
    def of(cls, image: Features) -> Reference:
        """An image that is matched with itself."""
        four, eight, sixteen = (Moments.of(image.maps[stride]) for stride in STRIDES)
        return cls(image.joint, image.fine, image.colour, (four, eight, sixteen))


class Grids(NamedTuple):
    """How the cells of images of perhaps different sizes lie in one table: first number, height, width of each."""

    first: Numbers
    heights: Numbers
    widths: Numbers

    @classmethod
    def of(cls, sizes: Sequence[tuple[int, int]]) -> Grids:
        """Of images of these heights and widths."""
        heights, widths = (np.array(sides, np.int64) for sides in zip(*sizes, strict=True))
        return cls(np.cumsum(heights * widths) - heights * widths, heights, widths)


class Matches(NamedTuple):
    """Where the best match of each cell (row after row) lies: which image, row and column on its grid; (N,) each."""

    source: Numbers
    row: Numbers
    column: Numbers

    def doubled(self, width: int) -> Matches:
        """The same on a grid twice as fine, each cell's quarter at the matching quarter; ``width`` of this grid."""
        source, row, column = (m.reshape(-1, width).repeat(2, 0).repeat(2, 1) for m in self)
        odd_row, odd_column = (np.arange(side) % 2 for side in row.shape)
        row, column = 2 * row + odd_row[:, None], 2 * column + odd_column
        return Matches(source.ravel(), row.ravel(), column.ravel())


@dataclass(frozen=True)
class Residual:
    """How an image differs from its references.

    Attributes:
        vectors: (D', h8, w8), the signed difference of the standardised stride-4 and stride-8 features.
        energies: name -> (h, w), >= 0: ``joint``, ``stride4``, ``stride8``, ``stride16`` on the stride-8 grid, ``fine``
            on the stride-4 grid, ``colour`` on the stride-2 grid.
    """

    vectors: Map
    energies: dict[str, Map]


class Cells:
    """The cells of one or more images, laid out for the search.

    Args:
        images: (h8, w8, D) standardised joint features of each.
        matching: how places find their match.
        search: queries (n, D) and searched (D, m) -> ``best`` (n,), the number of the largest product of each.
        itself: the image is matched with itself: near cells do not count, and the position is free.

    Attributes:
        rows: (cells, D), image after image.
        grids: how they lie there.
    """

    def __init__(self, images: Sequence[Map], matching: Matching, search: Network, itself: bool = False):
        self._matching, self._search, self._itself = matching, search, itself
        self._weight = 0.0 if itself else matching.position_weight
        self.rows, self.grids = _table(images)
        self._step = step = 2 if len(self.rows) > matching.exhaustive else 1
        searched = np.concatenate([_with_position(maps, self._weight, step) for maps in images])
        half = -0.5 * np.square(searched).sum(1, keepdims=True)
        # argmin |q - b|² = argmax q·b - |b|²/2: one product, the last row against ones
        self._searched = np.ascontiguousarray(np.concatenate([searched, half], 1).T)
        self._coarse = Grids.of([(-(-m.shape[0] // step), -(-m.shape[1] // step)) for m in images])

    def at(self, matches: Matches) -> Map:
        """(N, D): what lies where the matches are."""
        first, _, widths = (grid[matches.source] for grid in self.grids)
        return np.asarray(self.rows[first + matches.row * widths + matches.column])

    def nearest(self, features: Map, pool: ThreadPoolExecutor) -> Matches:
        """The best match of each cell of standardised joint features (h8, w8, D).

        In a large bank every other row and column is searched, and then the neighbours of what was found: features are
        averaged over 3 x 3 cells, so the way to the best match leads through its neighbours, at a quarter of the cost.
        """
        height, width = features.shape[:2]
        query = _with_position(features, self._weight)
        query = np.concatenate([query, np.ones((len(query), 1), np.float32)], 1)

        best = [
            self._best(query[start : start + CHUNK], start, height, width)
            for start in range(0, len(query), CHUNK)
        ]
        numbers = np.concatenate(best)
        first, _, widths = self._coarse
        source = np.searchsorted(first, numbers, side="right") - 1
        local, across = numbers - first[source], widths[source]
        found = Matches(source, local // across * self._step, local % across * self._step)
        if self._step == 1:
            return found
        return around(features.reshape(height * width, -1), self.rows, self.grids, found, pool)[1]

    def _best(self, query: Map, start: int, height: int, width: int) -> Numbers:
        if not self._itself:
            return np.asarray(self._search({"query": query, "searched": self._searched})["best"], np.int64)
        scores = query @ self._searched
        scores[self._near(start, len(scores), height, width)] = -np.inf
        return np.asarray(scores.argmax(1), np.int64)

    def _near(self, start: int, count: int, height: int, width: int) -> NDArray[np.bool_]:
        """Which of the searched cells are too near to each of the query cells from ``start`` on."""
        radius = max(2.0, self._matching.self_exclusion * max(height, width)) + self._step - 1
        index = np.arange(height * width)
        own = index[start : start + count, None]
        other = index.reshape(height, width)[:: self._step, :: self._step].ravel()
        dy, dx = own // width - other // width, own % width - other % width
        return np.asarray(dy**2 + dx**2 < radius**2)


class Bank:
    """The references that images are compared with, standardised by their own spread.

    Args:
        references: at least one.
        matching: how places find their match.
        search: see :class:`Cells`.
        itself: the one reference is the image itself.
    """

    def __init__(
        self, references: Sequence[Reference], matching: Matching, search: Network, itself: bool = False
    ):
        self._matching, self._search = matching, search
        levels = zip(*(reference.moments for reference in references), strict=True)
        means, deviations = zip(*(spread(level) for level in levels), strict=True)
        self._widths = [len(mean) for mean in means]
        scales = [deviation * np.float32(len(deviation) ** 0.5) for deviation in deviations]
        self._joint = np.concatenate(means), np.asarray(1 / np.concatenate(scales), np.float32)
        self._fine = means[0], np.asarray(1 / deviations[0], np.float32)
        self._cells = Cells([_standard(r.joint, *self._joint) for r in references], matching, search, itself)
        self._fines, self._fine_grids = _table([_standard(r.fine, *self._fine) for r in references])
        colours, self._colour_grids = _table([np.asarray(r.colour, np.float32) for r in references])
        self._colours = np.asfortranarray(colours)

    def match(self, image: Features, pool: ThreadPoolExecutor) -> Residual:
        """Match every cell of an image with its most similar cell."""
        features = _standard(image.joint, *self._joint)
        height, width = features.shape[:2]
        matches = self._cells.nearest(features, pool)
        vectors = features.reshape(height * width, -1) - self._cells.at(matches)
        four, eight, _ = self._widths
        parts = np.split(vectors, (four, four + eight), 1)
        squares = [np.einsum("ij,ij->i", part, part).reshape(height, width) for part in parts]
        energies = {f"stride{stride}": part for stride, part in zip(STRIDES, squares, strict=True)}
        energies["joint"] = np.asarray(sum(squares) / np.float32(len(STRIDES)))
        fine = _standard(image.fine, *self._fine).reshape(4 * height * width, -1)
        found, finer = around(fine, self._fines, self._fine_grids, matches.doubled(width), pool)
        energies["fine"] = found.reshape(2 * height, 2 * width)
        colour = image.colour.reshape(16 * height * width, -1)
        found, _ = around(colour, self._colours, self._colour_grids, finer.doubled(2 * width), pool)
        energies["colour"] = found.reshape(4 * height, 4 * width)
        kept = np.ascontiguousarray(vectors[:, : four + eight].T).reshape(-1, height, width)
        return Residual(kept, energies)

    def mismatch_ratio(self, image: Features, pool: ThreadPoolExecutor) -> float:
        """How much worse the references explain an image than it explains itself, some way off; about 1 for good ones.

        The ratio of the median energies of the best matches here and there.
        """
        features = _standard(image.joint, *self._joint)
        rows, energies = features.reshape(-1, features.shape[2]), []
        for searched in (self._cells, Cells([features], self._matching, self._search, itself=True)):
            difference = rows - searched.at(searched.nearest(features, pool))
            energies.append(median(np.einsum("ij,ij->i", difference, difference)))
        return energies[0] / max(energies[1], 1e-6)


def around(
    query: Map, rows: Map, grids: Grids, matches: Matches, pool: ThreadPoolExecutor
) -> tuple[Map, Matches]:
    """The best match within one cell of the given ones.

    Args:
        query: (N, C).
        rows: (cells, C), of the same kind of features.
        grids: how they lie there.
        matches: of the N cells, on these grids.

    Returns:
        Mean squared difference (N,), and the better matches.
    """

    def look(part: slice) -> tuple[Map, Numbers, Numbers]:
        own, source = query[part], matches.source[part]
        first, height, width = (g[source] for g in grids)
        best = np.full(len(own), np.inf, np.float32)
        row, column = np.zeros_like(source), np.zeros_like(source)
        for dy in (-1, 0, 1):
            y = np.clip(matches.row[part] + dy, 0, height - 1)
            start = first + y * width
            for dx in (-1, 0, 1):
                x = np.clip(matches.column[part] + dx, 0, width - 1)
                energy = _squares(rows, start + x, own)
                better = energy < best
                best = np.where(better, energy, best)
                row, column = np.where(better, y, row), np.where(better, x, column)
        return best, row, column

    size = min(max(CHUNK, (1 << 19) // query.shape[1]), -(-len(query) // 4))
    parts = [slice(start, start + size) for start in range(0, len(query), size)]
    energy, row, column = (np.concatenate(found) for found in zip(*pool.map(look, parts), strict=True))
    return np.asarray(energy / query.shape[1], np.float32), Matches(matches.source, row, column)


def _squares(rows: Map, numbers: Numbers, own: Map) -> Map:
    """(N,): the squared distance of each of ``own`` (N, C) to the row of its number."""
    if rows.flags.f_contiguous:  # few channels: one after the other
        total = np.zeros(len(own), np.float32)
        for channel, other in zip(rows.T, own.T, strict=True):
            total += np.square(channel.take(numbers) - other)
        return total
    difference = rows.take(numbers, 0)
    difference -= own
    return np.asarray(np.einsum("ij,ij->i", difference, difference))


def median(values: Map) -> float:
    """The lower one of the two in the middle, as torch takes it."""
    middle = (values.size - 1) // 2
    return float(np.partition(values, middle, axis=None)[middle])


def _standard(maps: NDArray[np.floating], mean: Map, factor: Map) -> Map:
    return np.asarray((maps.astype(np.float32, copy=False) - mean) * factor, np.float32)


def _table(images: Sequence[Map]) -> tuple[Map, Grids]:
    rows = np.concatenate([maps.reshape(-1, maps.shape[2]) for maps in images])
    return rows, Grids.of([(maps.shape[0], maps.shape[1]) for maps in images])


def _with_position(maps: Map, weight: float, step: int = 1) -> Map:
    """(h, w, D) -> (cells, D + 2): the position, scaled, as two more features; every ``step``-th row and column."""
    height, width = maps.shape[:2]
    side, factor = max(height, width), np.float32(weight**0.5)
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / side * factor
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / side * factor
    place = np.stack(np.meshgrid(y, x, indexing="ij"), 2).astype(np.float32)
    both = np.concatenate([maps, place], 2)[::step, ::step]
    return both.reshape(-1, both.shape[2])
