"""Several detectors as one: the mean of their standardised maps.

Each is standardised by what is usual for it on good images of the product, never by the image that is looked at: an
image that is wrong all over would otherwise look like any other. The mean is calibrated as a single map is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import numpy as np

from model.detectors.calibration import Calibration, Map, logarithm
from model.detectors.detector import Detector, Scene

MOST_GOOD = 16
"""Good images that a product is calibrated on, at most."""


def joined(names: Sequence[str]) -> str:
    """What the combination of some detectors is called; a single one by its own name."""
    return "+".join(names)


def combined(maps: Mapping[str, Map], names: Sequence[str], calibrations: Mapping[str, Calibration]) -> Map:
    """The standardised map of one detector or of several together.

    Args:
        maps: detector -> its map of an image (:func:`model.detectors.calibration.logarithm`), all of one size.
        names: of the detectors, at least one.
        calibrations: of the detectors and, if there are several, of :func:`joined` of them.
    """
    if len(names) == 1:
        return calibrations[names[0]].standardise(maps[names[0]])
    return calibrations[joined(names)].standardise(mean(maps, names, calibrations))


def calibrate(
    detectors: Sequence[Detector], scenes: Iterable[Scene], combinations: Iterable[Sequence[str]] = ()
) -> dict[str, Calibration]:
    """What is usual for some detectors on good images of one product.

    Args:
        detectors: with different names.
        scenes: of good images, none of which has itself among its references; the first `MOST_GOOD` are looked at.
        combinations: names of detectors that are to make one map together.

    Returns:
        For each detector, and for each combination as :func:`joined` has it. A detector that cannot look at one of
        these scenes, and a combination with it, is missing.

    Raises:
        ValueError: there is no scene, or a detector gives values that are no numbers.
    """
    maps: dict[str, list[Map]] = {detector.name: [] for detector in detectors}
    for scene in islice(scenes, MOST_GOOD):
        for detector in detectors:
            if detector.name in maps and len(scene.references) < detector.needs:
                del maps[detector.name]
            elif detector.name in maps:
                maps[detector.name].append(logarithm(detector.look(scene).map, scene.frame))
    found = {name: Calibration.of(seen) for name, seen in maps.items()}
    for names in combinations:
        if len(names) > 1 and all(name in found for name in names):
            images = [{name: maps[name][i] for name in names} for i in range(len(maps[names[0]]))]
            found[joined(names)] = Calibration.of([mean(image, names, found) for image in images])
    return found


def mean(maps: Mapping[str, Map], names: Sequence[str], calibrations: Mapping[str, Calibration]) -> Map:
    """The mean of the standardised maps of some detectors, before it is standardised itself."""
    standardised = [calibrations[name].standardise(maps[name]) for name in names]
    return np.asarray(np.mean(standardised, axis=0), np.float32)
