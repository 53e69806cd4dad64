"""Several detectors as one: the mean of their standardised maps.

Each is standardised by what is usual for it on good images of the product, never by the image that is looked at: an
image that is wrong all over would otherwise look like any other. The mean is calibrated as a single map is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from adclick_runtime.calibration import Calibration, Map

MOST = np.float32(1 - 1e-6)
"""No probability counts for more: one has no logarithm of what is left."""


def joined(names: Sequence[str]) -> str:
    """What the combination of some detectors is called; a single one by its own name."""
    return "+".join(names)


def combined(maps: Mapping[str, Map], names: Sequence[str], calibrations: Mapping[str, Calibration]) -> Map:
    """The standardised map of one detector or of several together.

    Args:
        maps: detector -> its map of an image (:func:`adclick_runtime.calibration.logarithm`), all of one size.
        names: of the detectors, at least one.
        calibrations: of the detectors and, if there are several, of :func:`joined` of them.
    """
    if len(names) == 1:
        return calibrations[names[0]].standardise(maps[names[0]])
    return calibrations[joined(names)].standardise(mean(maps, names, calibrations))


def mean(maps: Mapping[str, Map], names: Sequence[str], calibrations: Mapping[str, Calibration]) -> Map:
    """The mean of the standardised maps of some detectors, before it is standardised itself."""
    standardised = [calibrations[name].standardise(maps[name]) for name in names]
    return np.asarray(np.mean(standardised, axis=0), np.float32)


def surprise(maps: Mapping[str, Map]) -> Map:
    """A segmentation network as a detector: how surprising, in nats, it were if each place was good.

    With p the highest probability of any type (Eq. 7) that is -log(1 - p): where p is small this is p, and where it is
    nearly one it still tells more from less.

    Args:
        maps: defect type -> probability (H, W) float32 in [0, 1].
    """
    highest = np.maximum.reduce(list(maps.values()))
    return np.asarray(-np.log1p(-np.minimum(highest, MOST)), np.float32)
