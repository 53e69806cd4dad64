"""Other interactive segmentation, measured beside the network on the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.benchmark.protocol import Answer, Segment
from model.clicks import Click

Pixels = NDArray[np.uint8]
Classical = Callable[[Pixels, Sequence[Click]], NDArray[np.float32]]
Peer = Callable[[Pixels], Segment]
"""Opens an image (H, W, 3) uint8 RGB."""

SIDE = 256  # longer side at which the classical peers work: GrabCut is better there than at 512, the walker bearable
DISC = 2  # radius, in pixels, of what a click is sure of


def grab_cut(image: Pixels, clicks: Sequence[Click]) -> NDArray[np.float32]:
    """OpenCV's GrabCut: sure discs at the clicks, and larger ones as the first guess of the defect."""
    h, w = image.shape[:2]
    mask = np.full((h, w), cv2.GC_PR_BGD, np.uint8)
    for click in clicks:
        if click.positive:
            cv2.circle(mask, (int(click.x), int(click.y)), SIDE // 12, cv2.GC_PR_FGD, -1)
    for click in clicks:
        sure = cv2.GC_FGD if click.positive else cv2.GC_BGD
        cv2.circle(mask, (int(click.x), int(click.y)), DISC, int(sure), -1)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # it draws, and the process has drawn for other images before
    cv2.grabCut(image, mask, None, background, foreground, 5, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    return np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)


def random_walker(image: Pixels, clicks: Sequence[Click]) -> NDArray[np.float32]:
    """scikit-image's random walker; the border of the image is background unless it was clicked as defect."""
    from skimage.segmentation import random_walker as walk

    seeds = np.zeros(image.shape[:2], np.int32)
    seeds[[0, -1], :] = seeds[:, [0, -1]] = 2
    for click in sorted(clicks, key=lambda c: c.positive):
        cv2.circle(seeds, (int(click.x), int(click.y)), DISC, 1 if click.positive else 2, -1)
    if not (seeds == 1).any():
        return np.zeros(image.shape[:2], np.float32)
    found = walk(
        image.astype(np.float64) / 255, seeds, beta=130, mode="cg_j", prob_tol=1.0, channel_axis=-1,
        return_full_prob=True,
    )  # fmt: skip
    return np.asarray(found[0], np.float32)


def classical(method: Classical, graded: bool, image: Pixels) -> Segment:
    """Open an image for a method that works on pixels scaled down to ``SIDE``.

    Args:
        method: (h, w, 3) pixels and clicks in them -> (h, w) share of the defect in each, cut at 0.5.
        graded: whether that is a probability rather than a mask.
        image: (H, W, 3) uint8 RGB.
    """
    h, w = image.shape[:2]
    scale = min(1.0, SIDE / max(h, w))
    small = np.asarray(
        cv2.resize(image, (round(w * scale), round(h * scale)), interpolation=cv2.INTER_AREA), np.uint8
    )

    def segment(clicks: Sequence[Click]) -> Answer:
        found = method(small, [Click(c.x * scale, c.y * scale, c.positive) for c in clicks])
        mask = np.asarray(cv2.resize(found, (w, h), interpolation=cv2.INTER_LINEAR) > 0.5)
        return Answer(mask, np.clip(found, 0, 1) if graded else None)

    return segment


CLASSICAL: dict[str, Peer] = {
    "GrabCut": partial(classical, grab_cut, False),
    "random walker": partial(classical, random_walker, True),
}
