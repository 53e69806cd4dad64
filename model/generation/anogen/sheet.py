"""A contact sheet: the labelled defects of a type, and what was painted like them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.drawing import outline
from model.generation.anogen.examples import Example
from model.generation.anogen.window import Box, Image, Window

TILE = 192
"""Pixels of each picture on it."""

LABELLED = 4
"""Labelled defects that are shown."""

GAP = 6
HEAD = 22

_MASK, _BOX = (255, 40, 40), (255, 200, 0)


def draw_sheet(
    title: str,
    examples: Sequence[Example],
    painted: Iterable[tuple[Image, Image, NDArray[np.bool_], Box]],
) -> Image:
    """The sheet of a type: a row of labelled defects, then a row for each painted one.

    Of a painted one are shown: the good image with the box, the surroundings of the box in the good image, in the
    painted one, and in the painted one with the outline of its mask.

    Args:
        title: written above.
        examples: with a defect each.
        painted: good image and painted image, (H, W, 3) uint8 RGB, mask (H, W) bool, box; all of one size.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    shown = [example for example in examples if example.mask.any()][:LABELLED]
    rows = [[_zoomed(one.pixels, Box.of(one.mask), one.mask) for one in shown]]
    for good, pixels, mask, box in painted:
        rows.append([_whole(good, box), _zoomed(good, box), _zoomed(pixels, box), _zoomed(pixels, box, mask)])
    width = LABELLED * (TILE + GAP) - GAP
    head = np.full((HEAD, width, 3), 255, np.uint8)
    cv2.putText(head, title, (2, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([head, *(_row(tiles, width) for tiles in rows)])


def _row(tiles: Sequence[Image], width: int) -> Image:
    row = np.full((TILE + GAP, width, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        row[:TILE, place * (TILE + GAP) :][:, :TILE] = tile
    return row


def _zoomed(pixels: Image, box: Box, mask: NDArray[np.bool_] | None = None) -> Image:
    """The window round a box, with the outline of a mask."""
    window = Window.round(box, (pixels.shape[0], pixels.shape[1]))
    tile = window.picture(pixels, TILE)
    if mask is not None:
        outline(tile, window.cut(mask.astype(np.float32), TILE) > 0.5, (_MASK, 1))
    return tile


def _whole(pixels: Image, box: Box) -> Image:
    """An image in the middle of a tile, with a box."""
    height, width = pixels.shape[:2]
    scale = TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.ascontiguousarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    corners = [round(edge * scale) for edge in (box.left, box.top, box.right - 1, box.bottom - 1)]
    cv2.rectangle(small, (corners[0], corners[1]), (corners[2], corners[3]), _BOX, 2)
    tile = np.full((TILE, TILE, 3), 255, np.uint8)
    top, left = (TILE - size[1]) // 2, (TILE - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = small
    return tile
