"""Classical interactive segmentation, measured beside the network on the same images and clicks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.clicks import Click

Peer = Callable[[NDArray[np.uint8], Sequence[Click]], NDArray[np.bool_]]
SIDE = 256  # longer side at which the peers work: GrabCut is better there than at 512, the walker bearable
DISC = 2  # radius, in pixels, of what a click is sure of


def grab_cut(image: NDArray[np.uint8], clicks: Sequence[Click]) -> NDArray[np.bool_]:
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
    cv2.grabCut(image, mask, None, background, foreground, 5, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    return np.asarray((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))


def random_walker(image: NDArray[np.uint8], clicks: Sequence[Click]) -> NDArray[np.bool_]:
    """scikit-image's random walker; the border of the image is background unless it was clicked as defect."""
    from skimage.segmentation import random_walker as walk

    seeds = np.zeros(image.shape[:2], np.int32)
    seeds[[0, -1], :] = seeds[:, [0, -1]] = 2
    for click in sorted(clicks, key=lambda c: c.positive):
        cv2.circle(seeds, (int(click.x), int(click.y)), DISC, 1 if click.positive else 2, -1)
    labels = walk(image.astype(np.float64) / 255, seeds, beta=130, mode="cg_j", prob_tol=1.0, channel_axis=-1)
    return np.asarray(labels == 1)


def at_side(peer: Peer, image: NDArray[np.uint8], clicks: Sequence[Click]) -> NDArray[np.bool_]:
    """Run a peer on the image scaled to ``SIDE``, and scale its mask back."""
    h, w = image.shape[:2]
    scale = SIDE / max(h, w)
    small = cv2.resize(image, (round(w * scale), round(h * scale)), interpolation=cv2.INTER_AREA)
    scaled = [Click(c.x * scale, c.y * scale, c.positive) for c in clicks]
    found = peer(np.asarray(small, np.uint8), scaled).astype(np.float32)
    return np.asarray(cv2.resize(found, (w, h), interpolation=cv2.INTER_LINEAR) > 0.5)


PEERS: dict[str, Peer] = {
    "GrabCut": partial(at_side, grab_cut),
    "random walker": partial(at_side, random_walker),
}
