"""ADClick with a part of its way of looking changed, its weights the same: what each is worth.

What a training without something would be worth is measured by :mod:`model.studies.ablation`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import NamedTuple

from model.interactive import threshold_selection, zoom
from model.matching import nearest

ADCLICK = "ADClick"


class Change(NamedTuple):
    """A constant of the model with another value."""

    module: ModuleType
    name: str
    value: float | tuple[float, ...]


CHANGES: dict[str, Change] = {
    f"{ADCLICK}, no zoom": Change(zoom, "WORTHWHILE", math.inf),
    f"{ADCLICK}, matched anywhere": Change(nearest, "POSITION_WEIGHT", 0.0),
    f"{ADCLICK}, matched near by": Change(nearest, "POSITION_WEIGHT", 150.0),
    f"{ADCLICK}, wherever clicked": Change(threshold_selection, "MISSED", 1.0),
    f"{ADCLICK}, cut at one half": Change(threshold_selection, "LEVELS", (0.5,)),
}
"""By name: windows are never opened; the best match of a place is looked for in all of the references (global
retrieval), or only where the place itself lies, give or take a tenth of the image (the window of Eq. 3); of the masks
that may be meant the one with the highest expected IoU is shown, however well the clicks explain it; or it is cut at
0.5, in the whole image or at the click alone."""


def is_adclick(method: str) -> bool:
    """Whether a method of the benchmark is ADClick, changed or not."""
    return method == ADCLICK or method in CHANGES


def number_of(method: str) -> int:
    """0 for ADClick itself, 1 and so on for its variants: what one keeps on disk is nothing for another."""
    return [ADCLICK, *CHANGES].index(method)


@contextmanager
def changed(method: str) -> Iterator[None]:
    """Computes as the method does; everything is as before afterwards."""
    change = CHANGES.get(method)
    if change is None:
        yield
        return
    before = getattr(change.module, change.name)
    setattr(change.module, change.name, change.value)
    try:
        yield
    finally:
        setattr(change.module, change.name, before)
