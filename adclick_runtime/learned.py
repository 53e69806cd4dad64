"""Detectors that learned from good images: InvAD, OneNIP and PatchCore, on features instead of images.

What each does with its numbers is described in :mod:`model.detectors`; here it is computed without torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.errors import BundleError
from adclick_runtime.features import Features
from adclick_runtime.judges import Detector
from adclick_runtime.networks import Network
from adclick_runtime.resizing import aligned, linear, resized
from adclick_runtime.scene import Scene

Map = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]

INVAD_SMOOTHING = 4.0 / 256
"""Standard deviation of the blur of InvAD's map, in longer sides of the image."""

PATCHCORE_SMOOTHING = 4.0
"""Standard deviation of the blur of PatchCore's map, working pixels."""

CELL = 16
"""Working pixels a side of a cell of OneNIP's features."""


def learned_detector(
    name: str, about: Mapping[str, Any], graph: Network, search: Network, constants: Arrays
) -> Detector:
    """The detector that a manifest describes.

    Args:
        name: of the detector.
        about: what the manifest says of it; ``method`` and its sizes.
        graph: its network.
        search: see :class:`adclick_runtime.matching.Cells`.
        constants: of the bundle.

    Raises:
        BundleError: there is no such method here.
    """
    own = {
        key.removeprefix(f"{name}/"): value for key, value in constants.items() if key.startswith(f"{name}/")
    }
    if about["method"] == "invad":
        return InvAD(graph, about["strides"]).look
    if about["method"] == "patchcore":
        return PatchCore(search, own).look
    if about["method"] == "onenip":
        return OneNIP(name, graph, search, about, own).look
    raise BundleError(
        f"The bundle holds {name!r:.60} of the method {about['method']!r:.60}: update adclick-runtime."
    )


class InvAD:
    """Where the features of an image are unlike those that were made anew.

    Args:
        network: features -> ``unlike`` (h, w), on the grid of the finest level.
        strides: of the features.
    """

    def __init__(self, network: Network, strides: Sequence[int]):
        self._network, self._strides = network, strides

    def look(self, scene: Scene) -> Map:
        """See :data:`adclick_runtime.judges.Detector`."""
        found = self._network({f"stride{s}": scene.image.maps[s][None] for s in self._strides})["unlike"]
        height, width = scene.frame.height, scene.frame.width
        map_ = resized(found[None], aligned(found.shape[0], height), aligned(found.shape[1], width))[0]
        return np.asarray(cv2.GaussianBlur(map_, (0, 0), INVAD_SMOOTHING * max(height, width)), np.float32)


class PatchCore:
    """The distance of each place to the nearest patch of the bank of its product.

    Args:
        search: for the nearest patch.
        banks: product + "/" + ``bank`` (N, D), ``mean`` and ``factor`` (D,), by which features are standardised.
    """

    def __init__(self, search: Network, banks: Arrays):
        self._search, self._banks = search, banks

    def look(self, scene: Scene) -> Map:
        """See :data:`adclick_runtime.judges.Detector`."""
        bank, mean, factor = (
            self._banks[f"{scene.product.name}/{name}"] for name in ("bank", "mean", "factor")
        )
        height, width, channels = scene.image.joint.shape
        patches = np.asarray((scene.image.joint - mean) * factor, np.float32).reshape(-1, channels)
        best = _nearest(patches, bank, self._search)
        grid = np.sqrt(np.square(patches - bank[best]).sum(1)).reshape(height, width)
        enlarged = cv2.resize(grid, (scene.frame.width, scene.frame.height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.GaussianBlur(enlarged, (0, 0), PATCHCORE_SMOOTHING), np.float32)


class OneNIP:
    """What a restoration of the features with the help of good ones fails at.

    Args:
        name: of the detector.
        network: ``image`` and ``prompt`` (1, C, h, w), ``positions`` and ``allowed`` -> ``map`` (h, w).
        search: for the most similar place of the references.
        about: ``strides``, ``channels``, ``patch``, ``grid``, ``neighbourhood`` and ``assembled`` of the network.
        constants: ``mean`` and ``deviation`` of the channels, ``rows`` and ``columns`` of the positions.
    """

    def __init__(
        self, name: str, network: Network, search: Network, about: Mapping[str, Any], constants: Arrays
    ):
        self._name, self._network, self._search, self._about = name, network, search, about
        self._mean, self._deviation = (constants[key][:, None, None] for key in ("mean", "deviation"))
        self._rows, self._columns = constants["rows"], constants["columns"]
        self._weights = np.concatenate([np.full(c, c**-0.5, np.float32) for c in about["channels"]])

    def look(self, scene: Scene) -> Map:
        """See :data:`adclick_runtime.judges.Detector`."""
        image = self.features(scene.image)
        references = [
            np.asarray(scene.product.references.more(number, self._name), np.float32)
            for number in scene.nearest
        ]
        _, height, width = image.shape
        rows, columns = height // self._about["patch"], width // self._about["patch"]
        inputs = {
            "image": image[None],
            "prompt": self._prompt(image, references)[None],
            "positions": self._positions(rows, columns),
            "allowed": self._allowed(rows, columns),
        }
        return np.asarray(self._network(inputs)["map"])

    def features(self, image: Features) -> Map:
        """(C, h, w): the levels of an image on the grid of stride 16, standardised."""
        maps = []
        for stride in self._about["strides"]:
            level, side = image.maps[stride], CELL // stride
            channels, height, width = level.shape
            maps.append(level.reshape(channels, height // side, side, width // side, side).mean((2, 4)))
        return np.asarray((np.concatenate(maps) - self._mean) / self._deviation, np.float32)

    def _prompt(self, image: Map, references: Sequence[Map]) -> Map:
        channels, height, width = image.shape
        if not self._about["assembled"]:
            first = references[0]
            if first.shape == image.shape:
                return first
            return resized(first, linear(first.shape[1], height), linear(first.shape[2], width))
        places = image.reshape(channels, -1).T
        bank = np.concatenate([reference.reshape(channels, -1) for reference in references], 1).T
        best = _nearest(places * self._weights, bank * self._weights, self._search)
        return np.ascontiguousarray(bank[best].T).reshape(image.shape)

    def _positions(self, rows: int, columns: int) -> Map:
        """(1, rows * columns, width): the learned code of each place."""
        down = linear(len(self._rows), rows) @ self._rows
        across = linear(len(self._columns), columns) @ self._columns
        both = [np.repeat(down[:, None], columns, 1), np.repeat(across[None], rows, 0)]
        return np.concatenate(both, 2).reshape(1, rows * columns, -1).astype(np.float32)

    def _allowed(self, rows: int, columns: int) -> NDArray[np.bool_]:
        """(T, T) bool: which token may look at which; not those near itself."""
        down, across = self._near(rows), self._near(columns)
        near = down[:, None, :, None] & across[None, :, None, :]
        return np.asarray(~near.reshape(rows * columns, rows * columns))

    def _near(self, length: int) -> NDArray[np.bool_]:
        wide = round(self._about["neighbourhood"] // 2 * length / self._about["grid"])
        places = np.arange(length)
        return np.asarray(np.abs(places[:, None] - places) <= min(wide, (length - 2) // 2))


def _nearest(places: Map, bank: Map, search: Network) -> NDArray[np.int64]:
    """(N,): the number of the nearest row of a bank (M, D) of each of some places (N, D)."""
    half = -0.5 * np.square(bank).sum(1, keepdims=True)
    searched = np.ascontiguousarray(np.concatenate([bank, half], 1).T, np.float32)
    query = np.concatenate([places, np.ones((len(places), 1), np.float32)], 1).astype(np.float32)
    return np.asarray(search({"query": query, "searched": searched})["best"], np.int64)
