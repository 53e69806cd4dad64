"""Many places of an image clicked at once, each alone, in a crop of its own: the masks of many parts in one pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from adclick_runtime.expected import sigmoid
from adclick_runtime.frame import Frame
from model.clicks import Click
from model.evidence.prepared import Prepared, size_of
from model.interactive.mask import Map, Mask, settled, smoothed
from model.interactive.prediction import click_history
from model.interactive.predictor import Predictor
from model.interactive.threshold_selection import select_threshold
from model.language.vocabulary import Words

SMALLEST, LARGEST = 48, 128
"""Side of a crop in stride-2 cells, multiples of 16: the networks go down to stride 32."""

AT_ONCE = 100_000
"""Stride-2 cells that the network is shown in one pass, about: bounds its memory."""


@dataclass(frozen=True)
class View:
    """An image, or a window of one, as it is looked at.

    Attributes:
        prepared: what is looked at.
        frame: its working frame; the sizes in it are those of the window.
        top, left: of the window, in image pixels; 0 for the whole image.
    """

    prepared: Prepared
    frame: Frame
    top: int = 0
    left: int = 0

    def holds(self, click: Click) -> bool:
        """Whether a click (image pixels) lies inside."""
        y, x = click.y - self.top, click.x - self.left
        return 0 <= y < self.frame.image_height and 0 <= x < self.frame.image_width


@dataclass(frozen=True)
class Part:
    """One connected part of a mask.

    Attributes:
        top, left: where it begins, image pixels.
        mask: (h, w) bool, the box round it.
        probability: (h, w) float32 in [0, 1], of the same box.
        expected_iou: of the mask, in [0, 1].
    """

    top: int
    left: int
    mask: Mask
    probability: Map
    expected_iou: float

    @property
    def area(self) -> int:
        """In image pixels."""
        return int(self.mask.sum())

    @property
    def box(self) -> tuple[slice, slice]:
        """Its rows and columns in the image."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def holds(self, click: Click) -> bool:
        """Whether a click (image pixels) lies on it."""
        row, column = int(click.y) - self.top, int(click.x) - self.left
        height, width = self.mask.shape
        return 0 <= row < height and 0 <= column < width and bool(self.mask[row, column])


def side_for(extent: float) -> int:
    """The side of a crop, in stride-2 cells, round a part that extends over so many working pixels."""
    return min(max(math.ceil((extent + 24) / 16) * 16, SMALLEST), LARGEST)


@torch.inference_mode()
def cut_parts(
    predictor: Predictor, view: View, points: Sequence[Click], side: int, words: Words | None = None
) -> list[Part | None]:
    """What a click on each of these points alone is answered with: the part that lies under it.

    Args:
        predictor: the click network.
        view: what is looked at.
        points: in image pixels, inside of the view.
        side: of a crop, in stride-2 cells (:func:`side_for`).
        words: for the defect.

    Returns:
        For each point its part; None where the network finds nothing there.
    """
    height, width = size_of(view.prepared.static)
    side = min(side, height // 16 * 16, width // 16 * 16)
    prepared = view.prepared.to(predictor.device)
    step = max(1, AT_ONCE // side**2)
    found: list[Part | None] = []
    for start in range(0, len(points), step):
        some = points[start : start + step]
        cells = [_cell(point, view) for point in some]
        corners = [(_start(y, side, height), _start(x, side, width)) for x, y in cells]
        crops = _cropped(prepared, corners, side)
        clicks = torch.tensor(
            [[[x - left, y - top, 1.0]] for (x, y), (top, left) in zip(cells, corners, strict=True)],
            dtype=torch.float32,
            device=predictor.device,
        )
        previous = torch.zeros(len(some), 1, side, side, device=predictor.device)
        told = None if words is None else words.of([0] * len(some))
        shown = predictor.network.inputs(crops, clicks, previous, told)
        with predictor.format.autocast(predictor.device):
            logits = predictor.network(*shown)
        maps = (logits[:, 0].float() / predictor.temperature).cpu().numpy()
        for raw, point, corner in zip(maps, some, corners, strict=True):
            found.append(_part(predictor, raw, point, corner, view))
    return found


def connected(mask: Mask, clicks: Sequence[Click]) -> Mask:
    """The parts of a mask (H, W) that hold one of the clicks (image pixels); all of it when none does."""
    labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1]
    held = {int(labels[int(click.y), int(click.x)]) for click in clicks} - {0}
    return np.isin(labels, list(held)) if held else mask


def boxed(mask: Mask, probability: Map, expected_iou: float) -> Part:
    """A mask (H, W), which is not empty, as a part; ``probability`` is of any size and of the same image."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    down, across = (small / large for small, large in zip(probability.shape, mask.shape, strict=True))
    turn = np.array([[across, 0, across * (left + 0.5) - 0.5], [0, down, down * (top + 0.5) - 0.5]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    near = cv2.warpAffine(probability, turn, (width, height), flags=how, borderMode=cv2.BORDER_REPLICATE)
    part = np.array(mask[top : top + height, left : left + width])
    return Part(top, left, part, np.asarray(near, np.float32), expected_iou)


def _cell(point: Click, view: View) -> tuple[float, float]:
    """Where a point lies on the stride-2 grid of a view, x and y."""
    sx, sy = view.frame.scale_xy
    return (point.x - view.left) * sx / 2, (point.y - view.top) * sy / 2


def _start(middle: float, side: int, length: int) -> int:
    """Where a crop round a place begins: on the stride-16 grid, inside of the image."""
    return min(max(0, round((middle - side / 2) / 8) * 8), (length - side) // 8 * 8)


def _cropped(prepared: Prepared, corners: Sequence[tuple[int, int]], side: int) -> Prepared:
    """The same part of every map of one image, for each corner (top, left) on the stride-2 grid."""
    height = size_of(prepared.static)[0]

    def cut(maps: torch.Tensor) -> torch.Tensor:
        stride = height // maps.shape[-2]
        here = [(top // stride, left // stride) for top, left in corners]
        long = side // stride
        return torch.cat([maps[..., top : top + long, left : left + long] for top, left in here])

    levels = {name: cut(maps) for name, maps in prepared.levels.items()}
    scales = prepared.scales.expand(len(corners), -1)
    return Prepared(cut(prepared.static), levels, scales, cut(prepared.vectors), cut(prepared.log_energies))


def _part(predictor: Predictor, raw: Map, point: Click, corner: tuple[int, int], view: View) -> Part | None:
    """The part under a point, from what the network says of the crop that begins at ``corner``."""
    config, long = predictor.config, raw.shape[0]
    frame = Frame(long, long, long, long)
    x, y = _cell(point, view)
    click = Click(2 * (x - corner[1]), 2 * (y - corner[0]), True)
    chosen = select_threshold(
        smoothed(raw, config.mask),
        sigmoid(raw),
        frame,
        click_history(None, [click], frame),
        None,
        config.threshold,
    )
    logits = settled(chosen.logits, frame, [click], config.mask)
    sx, sy = view.frame.scale_xy
    left, top = math.floor(2 * corner[1] / sx), math.floor(2 * corner[0] / sy)
    right = min(math.ceil((2 * corner[1] + long) / sx), view.frame.image_width)
    bottom = min(math.ceil((2 * corner[0] + long) / sy), view.frame.image_height)
    turn = np.array(
        [
            [sx, 0, (left + 0.5) * sx - 0.5 - 2 * corner[1]],
            [0, sy, (top + 0.5) * sy - 0.5 - 2 * corner[0]],
        ]
    )
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    near = np.asarray(
        cv2.warpAffine(logits, turn, (right - left, bottom - top), flags=how, borderMode=cv2.BORDER_REPLICATE)
    )
    here = Click(point.x - view.left - left, point.y - view.top - top, True)
    labels = cv2.connectedComponents((near > 0).astype(np.uint8), connectivity=8)[1]
    number = int(labels[min(int(here.y), near.shape[0] - 1), min(int(here.x), near.shape[1] - 1)])
    if not number:
        return None
    found = boxed(labels == number, sigmoid(near.astype(np.float32)), chosen.expected_iou)
    return Part(
        found.top + top + view.top,
        found.left + left + view.left,
        found.mask,
        found.probability,
        found.expected_iou,
    )


def distinct(parts: Sequence[Part], shape: tuple[int, int], most: float = 0.3) -> Iterator[int]:
    """The numbers of the parts, in order, that no part before covers by more than a share of their own area.

    Args:
        parts: the best first.
        shape: height and width of the image.
        most: that share.
    """
    taken: NDArray[np.bool_] = np.zeros(shape, bool)
    for number, part in enumerate(parts):
        here = taken[part.box]
        if (here & part.mask).sum() <= most * part.area:
            here |= part.mask
            yield number
