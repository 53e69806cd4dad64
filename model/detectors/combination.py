"""What is usual for some detectors on good images, each alone and together (:mod:`adclick_runtime.combination`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from adclick_runtime.calibration import Calibration, Map, logarithm
from adclick_runtime.combination import joined, mean
from model.detectors.detector import Detector, Scene

MOST_GOOD = 16
"""Good images that a product is calibrated on, at most."""


def calibrate(
    detectors: Sequence[Detector], scenes: Iterable[Scene], combinations: Iterable[Sequence[str]] = ()
) -> dict[str, Calibration]:
    """What is usual for some detectors on good images of one product.

    Args:
        detectors: with different names.
        scenes: of good images, none of which has itself among its references; the first `MOST_GOOD` are looked at.
        combinations: names of detectors that are to make one map together.

    Returns:
        For each detector, and for each combination as :func:`adclick_runtime.combination.joined` has it. A detector
        that cannot look at one of these scenes, and a combination with it, is missing.

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
