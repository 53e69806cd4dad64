"""Images that the sources of masks are tried on: good ones that no training saw, drawn defects, labelled ones."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adclick_backend.errors import ImageError
from adclick_backend.images.shrinking import shrunk
from adclick_backend.training.holdout import MOST_CLICKED, Split
from adclick_backend.training.training_set import TrainingSet
from model.labels.labelled import DEFECT, LabelledImage, painted

log = logging.getLogger(__name__)

SHARE = 0.25
"""Share of the references of each product that no training sees, ..."""

MOST = 8
"""... over all products no more than this, ..."""

FEWEST_LEFT = 4
"""... and only where this many are left to learn from."""

DRAWN = 12
"""Defects that are drawn, about: several on each good image where there are few of those."""

SIDE = 1024
"""Longer side, in pixels, of the images that defects are drawn on."""

_SEED = 0x7121A1
"""Of the drawn defects; trainings draw with other ones."""


@dataclass(frozen=True)
class TrialImages:
    """What sources are tried on.

    Attributes:
        good: free of defects, of all products.
        labelled: with a mask, none of which was trained on.
        held_out: whether no training sees the good ones.
    """

    good: list[LabelledImage]
    labelled: list[LabelledImage]
    held_out: bool

    @property
    def unseen(self) -> frozenset[str]:
        """Names of the good images that must not be trained on, nor compared with."""
        return frozenset(image.name for image in self.good) if self.held_out else frozenset()


def choose_trial_images(data: TrainingSet, chosen: Split) -> TrialImages:
    """Choose them before anything is trained; the same for the same data, and mostly the same when some is added.

    Args:
        data: the training set.
        chosen: how its labelled images are divided. The normal ones that it holds out come first.
    """
    held = {image.name for image in chosen.normal} - {image.name for image in chosen.training}
    good, left = [], MOST
    for number, (product, references) in enumerate(sorted(data.references.items())):
        ordered = sorted(references, key=lambda image: (image.sha not in held, _order(image.sha)))
        room = -(-left // (len(data.references) - number))
        count = max(min(max(round(SHARE * len(ordered)), 1), len(ordered) - FEWEST_LEFT, room), 0)
        good += [LabelledImage(image.sha, image, {}, product) for image in ordered[:count]]
        left -= count
    labelled = [image for image in chosen.labelled if image.has_mask] if chosen.held_out else []
    if good:
        return TrialImages(good, labelled[:MOST_CLICKED], held_out=True)
    every = [(image, product) for product, images in sorted(data.references.items()) for image in images]
    few = [LabelledImage(image.sha, image, {}, product) for image, product in every[:MOST]]
    return TrialImages(few, labelled[:MOST_CLICKED], held_out=False)


def draw_defects(good: Sequence[LabelledImage]) -> tuple[list[LabelledImage], Mapping[str, str]]:
    """About `DRAWN` images with a drawn defect, each of which knows where it is; the same for the same images.

    Args:
        good: images free of defects; one that cannot be read is left out.

    Returns:
        The images, at most `SIDE` pixels on their longer side, and name of each -> name of the one it was made of.
    """
    from model.generation.synthesis import add_defect

    drawn, hosts = [], {}
    each = min(-(-DRAWN // max(len(good), 1)), DRAWN // 2)
    for host in good:
        try:
            pixels = shrunk(host.load(), SIDE)
        except ImageError as error:
            log.warning("No defect is drawn on the reference %s: %s", host.name[:12], error)
            continue
        for number in range(each):
            rng = np.random.default_rng([_SEED, number, int(host.name[:12], 16)])
            image, mask, _ = add_defect(pixels, rng)
            name = hashlib.sha256(f"drawn {_SEED} {number} {host.name}".encode()).hexdigest()
            drawn.append(LabelledImage(name, _kept(image), {DEFECT: painted(mask)}, host.product))
            hosts[name] = host.name
    return drawn, hosts


def _kept(image: NDArray[np.uint8]) -> Callable[[], NDArray[np.uint8]]:
    return lambda: image


def _order(name: str) -> str:
    """A place in an order that has nothing to do with how the images came in."""
    return hashlib.sha256(f"trial {name}".encode()).hexdigest()
