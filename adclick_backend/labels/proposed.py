"""A mask that was proposed before the first click and that a person accepted -> what is known of its pixels."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.labels.clicked import BORDER, beyond

PREFIX = "adclick-proposal-"
"""What the id of every proposed region begins with; Label Studio keeps it in the annotation that comes of it."""

EDGE = 1 / 256
"""Half the width of the undecided edge, in longer sides of the image: a pixel of the frame that masks are made in."""

KEPT = "proposed"
"""Key of a kept region under which stands what had been proposed, where a person changed it."""


def left_of_proposal(
    result: Sequence[Mapping[str, Any]], answered: Collection[str]
) -> tuple[set[str], set[str]]:
    """Ids of the proposed regions that an annotation holds as they were proposed, and of those that a person changed.

    Args:
        result: of the annotation. Label Studio notes in ``origin`` when somebody changed a region of a prediction.
        answered: ids of regions that answered clicks: what was proposed under such an id was corrected by them.
    """
    found = {str(item["id"]): item for item in result if str(item.get("id")).startswith(PREFIX)}
    changed = {
        name for name, item in found.items() if name in answered or item.get("origin") == "prediction-changed"
    }
    return set(found) - changed, changed


def proposed_target(
    final: NDArray[np.bool_], before: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What is known of the pixels of a region that ADClick proposed.

    A person looked at the mask and let it pass, which says that the defect is there, but not that each pixel of its
    edge is right: nobody placed it. So the edge is undecided, and only what was changed by hand is certain.

    Args:
        final: (H, W) bool, the region as the person left it, image pixels.
        before: (H, W) bool, what had been proposed; None when that is not known, or was not changed.

    Returns:
        The target (H, W) float32: 1 inside, 0 outside, 0.5 on the edge; and (H, W) bool, where it was changed by hand,
        with the person's value in the target.
    """
    reach = max(1, math.ceil(EDGE * max(final.shape)))
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    mask = final.astype(np.uint8)
    edge = cv2.dilate(mask, square) != cv2.erode(mask, square)
    target = np.where(edge, np.float32(0.5), final.astype(np.float32))
    certain = np.zeros(final.shape, bool) if before is None else beyond(final, before, BORDER)
    return np.where(certain, final, target).astype(np.float32), certain
