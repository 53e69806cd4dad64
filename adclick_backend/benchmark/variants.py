"""ADClick with a part of its way of looking changed, its weights the same: what each is worth.

What a training without something would be worth is measured by :mod:`model.studies.ablation`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from model.interactive.config import ClickConfig

ADCLICK = "ADClick"

_USUAL = ClickConfig()

CHANGES: dict[str, ClickConfig] = {
    f"{ADCLICK}, no zoom": replace(_USUAL, zoom=replace(_USUAL.zoom, worthwhile=math.inf)),
    f"{ADCLICK}, matched anywhere": replace(_USUAL, matching=replace(_USUAL.matching, position_weight=0.0)),
    f"{ADCLICK}, matched near by": replace(_USUAL, matching=replace(_USUAL.matching, position_weight=150.0)),
    f"{ADCLICK}, wherever clicked": replace(_USUAL, threshold=replace(_USUAL.threshold, missed=1.0)),
    f"{ADCLICK}, cut at one half": replace(_USUAL, threshold=replace(_USUAL.threshold, levels=(0.5,))),
    f"{ADCLICK}, changed anywhere": replace(_USUAL, continuity=None),
}
"""By name: windows are never opened; the best match of a place is looked for in all of the references (global
retrieval), or only where the place itself lies, give or take a tenth of the image (the window of Eq. 3); of the masks
that may be meant the one with the highest expected IoU is shown, however well the clicks explain it; or it is cut at
0.5, in the whole image or at the click alone; or a click may change the mask anywhere and either way."""


def is_adclick(method: str) -> bool:
    """Whether a method of the benchmark is ADClick, changed or not."""
    return method == ADCLICK or method in CHANGES


def number_of(method: str) -> int:
    """0 for ADClick itself, 1 and so on for its variants: what one keeps on disk is nothing for another."""
    return [ADCLICK, *CHANGES].index(method)
