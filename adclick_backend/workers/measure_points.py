"""The job that looks at held-out and good images once, so that a threshold can be moved without a network."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.answers.loadable import loadable_version
from adclick_backend.dashboard.drawing import jpeg
from adclick_backend.dashboard.words import count
from adclick_backend.engine.bank import EngineError
from adclick_backend.errors import ImageError
from adclick_backend.images.shrinking import shrunk
from adclick_backend.jobs.control import JobControl, JobFailed
from adclick_backend.labels.sync import sync
from adclick_backend.store.point_curves import CurveFiles, CurveImage, PointCurve
from adclick_backend.training.point_images import choose_point_images
from adclick_backend.training.training_set import build_training_set, key_of, whole
from model.labels.labelled import DEFECT, LabelledImage
from model.metrics.operating_curve import POINTS, seen_at

if TYPE_CHECKING:
    from adclick_backend.services import Services
    from adclick_backend.store.thresholds import Standing

log = logging.getLogger(__name__)

READING = 0.1
"""Share of the job that reading what is labelled takes."""

SIDE = 480
"""Longer side, in pixels, of the pictures that are shown."""


def run(project: str, services: Services, control: JobControl) -> str:
    """Measure what serves at every point, and put the curve on the page of the thresholds.

    Args:
        project: project id.
        services: of this process.
        control: of the job.

    Returns:
        What was done, as a sentence for a person.

    Raises:
        JobFailed: there is no image to judge by.
        EngineError: with a sentence for a person.
    """
    words = "Reading what is labelled."
    control.report(words, 0.0, "preparing")
    log.info(
        sync(
            project,
            services.labels,
            services.store,
            services.connections,
            lambda share: control.report(words, READING * share, "preparing"),
        )
    )
    services.references.follow(project, services.labels)
    loadable_version(project, services.registry, services.engine)
    standing = services.thresholds.of(project)
    data = build_training_set(project, services)
    chosen = choose_point_images(project, services, data, standing)
    images = [*chosen.labelled, *chosen.good]
    files = standing.curve
    found: list[CurveImage] = []
    notes = [*chosen.notes]
    try:
        for number, image in enumerate(images):
            done = READING + (1 - READING) * number / len(images)
            control.report(f"{number} of {count(len(images), 'image')} looked at.", done)
            try:
                seen = _look(project, services, standing, image, files, len(found))
            except (ImageError, EngineError) as error:
                log.warning("Image %s was left out: %s", image.name[:12], error)
                notes.append(f"An image was left out: {error}")
                continue
            if seen is not None:
                found.append(seen)
        if not found:
            raise JobFailed(" ".join([_nothing(bool(standing.version)), *notes[:3]]))
        files.write(
            PointCurve(services.engine.version, 0.0, POINTS, standing.types, found, tuple(notes[:20]))
        )
    except BaseException:
        files.discard()
        raise
    good = sum(image.good for image in found)
    on = f"{count(len(found) - good, 'labelled image')} and {count(good, 'good image')}"
    return f"What thresholds do was measured on {on}; the page Versions leads to it."


def _look(
    project: str,
    services: Services,
    standing: Standing,
    image: LabelledImage,
    files: CurveFiles,
    number: int,
) -> CurveImage | None:
    """What the maps of an image show, its pictures kept; None when they do not come from the source."""
    source = standing.source.calibrated
    bank = services.references.bank(project, image.product)
    key = key_of(project, image)
    if services.engine.source(bank.without(key.sha), source) != source.name:
        raise EngineError(
            f"its product has {count(len(bank.references), 'reference')}, too few for this source."
        )
    maps = services.engine.maps(key, bank, whole(image), source)
    places = {number: name for number, name in enumerate(standing.types) if name in maps}
    seen = {}
    for place, name in places.items():
        truth = _truth(image, name, maps[name].shape) if image.labels else None
        if image.labels and (truth is None or not truth.any()):
            continue  # this type is not labelled here, or not with a mask
        seen[name] = seen_at(maps[name], truth)
        files.put_map(number, place, maps[name], truth)
    if not seen:
        return None
    files.put_picture(number, jpeg(shrunk(image.load(), SIDE)))
    return CurveImage(image.name, not image.labels, seen)


def _truth(image: LabelledImage, type_: str, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """The labelled places (h, w) of a type, of any type for `DEFECT`; None when one is labelled without a mask."""
    wanted = [name for name in image.labels if type_ in (DEFECT, name)]
    truth = np.zeros(shape, bool)
    for name in wanted:
        label = image.labels[name]
        if label.kind not in ("mask", "clicked"):
            return None
        share = cv2.resize(
            (label.target >= 0.5).astype(np.float32), shape[1::-1], interpolation=cv2.INTER_AREA
        )
        # What is thinner than half a pixel of the map is still there.
        truth |= np.asarray(share >= min(0.5, float(share.max()) / 2)) & (share > 0)
    return truth


def _nothing(trained: bool) -> str:
    what = "that the version has not learned from" if trained else "here"
    return f"There is no image {what} to judge a threshold by: label a defect, or add references."
