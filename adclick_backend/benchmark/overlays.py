"""Pictures of the images where a method is best and worst."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.benchmark import trials
from adclick_backend.benchmark.protocol import DRAWN
from adclick_backend.benchmark.rows import Row
from adclick_runtime.drawing import outline
from model.clicks import Click
from model.datasets.mvtec import read_mask, read_rgb

MOST = 6  # pictures of each kind
WIDTH = 480  # of each of the two pictures side by side, pixels
TRUE, FOUND = (80, 220, 80), (40, 60, 255)  # BGR
POSITIVE, NEGATIVE = (80, 255, 80), (60, 60, 255)


def draw_extremes(folder: Path, images: Sequence[tuple[Row, Path, Path, Path]]) -> None:
    """Write the best and the worst images after ``DRAWN`` clicks as PNG files.

    Args:
        folder: for this method and setting; what was in it is replaced.
        images: row, image file, mask file and kept trial of each.
    """
    for old in folder.glob("*.png"):
        old.unlink()
    ranked = sorted(images, key=lambda image: image[0].iou(min(DRAWN, image[0].limit)))
    half = min(MOST, (len(ranked) + 1) // 2)
    for kind, chosen in (("worst", ranked[:half]), ("best", ranked[::-1][:half])):
        for number, (row, image, mask, kept) in enumerate(chosen, 1):
            trial = trials.load(kept)
            title = f"{row.image}   IoU " + " ".join(f"{iou:.2f}" for iou in row.ious[:5])
            picture = overlay(read_rgb(image), read_mask(mask), trial.drawn, trial.clicks[:DRAWN], title)
            write_png(folder / f"{kind}-{number}.png", picture)


def overlay(
    image: NDArray[np.uint8],
    target: NDArray[np.bool_],
    found: NDArray[np.bool_],
    clicks: Sequence[Click],
    title: str,
) -> NDArray[np.uint8]:
    """The image beside the same with the true border (green), the mask found (red), and the clicks.

    Args:
        image: (H, W, 3) uint8 RGB.
        target: (H, W) true mask.
        found: (H, W) mask to show.
        clicks: in image pixels; numbered in their order, green for "this", red for "not this".
        title: a line above.

    Returns:
        (h, 2 * WIDTH, 3) uint8 **BGR**, ready to be written by cv2.
    """
    h, w = image.shape[:2]
    size = (WIDTH, max(1, round(h * WIDTH / w)))
    scale = size[0] / w
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    plain = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2BGR), np.uint8)
    drawn = plain.copy()
    inside, border = (_resized(mask, size) for mask in (found, target))
    drawn[inside] = (0.55 * drawn[inside] + 0.45 * np.array(FOUND)).astype(np.uint8)
    for mask, colour in ((inside, FOUND), (border, TRUE)):
        outline(drawn, mask, (colour, 1))
    for number, click in enumerate(clicks, 1):
        place = (int(click.x * scale), int(click.y * scale))
        cv2.circle(drawn, place, 5, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(drawn, place, 4, POSITIVE if click.positive else NEGATIVE, -1, cv2.LINE_AA)
        at = (place[0] + 7, place[1] + 4)
        cv2.putText(drawn, str(number), at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    head = np.full((26, 2 * WIDTH, 3), 30, np.uint8)
    cv2.putText(head, title, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235, 235, 235), 1, cv2.LINE_AA)
    return np.asarray(np.vstack([head, np.hstack([plain, drawn])]), np.uint8)


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a (h, w, 3) BGR picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())


def _resized(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0)
