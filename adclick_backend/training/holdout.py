"""Which images a training must not see, so that what comes of it can be judged by them."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from adclick_backend.store.version import Version
from model.labels.labelled import LabelledImage

SHARE = 0.2
FEWEST_LABELLED = 5
"""Labelled images below which all are trained on: a fifth of them would say nothing, and they are needed."""
FEWEST_CLICKED = 3
"""Images that an adapted click network is judged by, at least: by fewer, chance decides."""
FEWEST_TO_LEAVE = 3
"""Labelled images of a type of which one may be left out to judge whether generated pictures help."""
MOST_CLICKED = 16
"""Images that it is judged by, at most: each is clicked five times by two networks."""
MOST = 40
"""Images of each sort that are judged at most; the comparison is read by a person who waits for it."""


@dataclass(frozen=True)
class Split:
    """Images that are trained on, and images to judge by.

    Attributes:
        training: all that may be learned from.
        labelled: images with a mask to judge by.
        normal: images free of defects to judge by.
        held_out: whether `labelled` was kept from the training; otherwise it is a part of it.
    """

    training: list[LabelledImage]
    labelled: list[LabelledImage]
    normal: list[LabelledImage]
    held_out: bool


def split(images: Sequence[LabelledImage], seen: Collection[str] = ()) -> Split:
    """Hold out a fifth of the images of each defect type, and of the normal ones.

    The choice follows from the names of the images alone: the same images are held out whenever the same data is
    trained on, and mostly the same ones when some are added. Images that the serving version has not been trained on
    come first, for it would win on the others.

    Args:
        images: all of the training set. Only labels with a mask, painted or clicked, can be judged by.
        seen: names of the images that the serving version was trained on.
    """
    strata: defaultdict[tuple[str, ...], list[LabelledImage]] = defaultdict(list)
    for image in images:
        if not image.labels or image.has_mask:
            strata[tuple(sorted(image.labels))].append(image)
    judged = sum(len(stratum) for types, stratum in strata.items() if types)
    held: list[LabelledImage] = []
    for types, stratum in sorted(strata.items()):
        if types and judged < FEWEST_LABELLED:
            continue
        stratum.sort(key=lambda image: (image.name in seen, _order(image)))
        held += stratum[: round(SHARE * len(stratum))]
    if judged >= FEWEST_LABELLED and not any(
        image.labels for image in held
    ):  # many types, few images of each
        all_labelled = [image for types, stratum in strata.items() if types for image in stratum]
        held.append(min(all_labelled, key=lambda image: (image.name in seen, _order(image))))
    names = {image.name for image in held}
    labelled = [image for image in held if image.labels]
    everything = [image for types, stratum in sorted(strata.items()) if types for image in stratum]
    normal = [image for image in held if not image.labels] or strata.get((), [])
    return Split(
        [image for image in images if image.name not in names],
        (labelled or everything)[:MOST],
        normal[:MOST],
        held_out=bool(labelled),
    )


def split_for_clicks(
    chosen: Split, seen: Collection[str] = ()
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """The images that a click network is adapted with, and the others, by which it is judged.

    It is judged by what `split` holds out; where those are fewer than `FEWEST_CLICKED`, some that the segmentation
    network is trained on are kept from the click network, and as it can learn from drawn defects alone, all if need be.

    Args:
        chosen: the split for the segmentation network.
        seen: names of the images that the click network which serves was adapted with; they come last.

    Returns:
        Both lists; the second is empty when fewer than `FEWEST_CLICKED` images have a mask.
    """
    judged = chosen.labelled[:MOST_CLICKED] if chosen.held_out else []
    others = [image for image in chosen.training if image.has_mask]
    others.sort(key=lambda image: (image.name in seen, _order(image)))
    judged = [*judged, *others[: max(0, FEWEST_CLICKED - len(judged))]]
    names = {image.name for image in judged}
    if len(judged) < FEWEST_CLICKED:
        return chosen.training, []
    return [image for image in chosen.training if image.name not in names], judged


def split_for_generated(chosen: Split, seen: Collection[str] = ()) -> Split:
    """The images by which it is judged whether generated pictures help, and those that may be learned from until then.

    They are what `split` holds out; where it holds out nothing, one image of a type that has `FEWEST_TO_LEAVE` or more,
    to which every other is left.

    Args:
        chosen: the split of the training.
        seen: names of the images that the look of generated pictures was learned from; they come last.

    Returns:
        The split; ``held_out`` is False where there are too few images to judge by.
    """
    if chosen.held_out:
        return chosen
    masked = [image for image in chosen.training if image.has_mask]
    types = Counter(name for image in masked for name in image.labels)
    enough = [image for image in masked if all(types[name] >= FEWEST_TO_LEAVE for name in image.labels)]
    if not enough:
        return chosen
    judged = min(enough, key=lambda image: (image.name in seen, _order(image)))
    training = [image for image in chosen.training if image.name != judged.name]
    return Split(training, [judged], chosen.normal, held_out=True)


def trained_on(version: Version | None) -> frozenset[str]:
    """Names of the images that a version was trained on; none for no version."""
    return frozenset(version.manifest.get("data", {}).get("images", ())) if version else frozenset()


def _order(image: LabelledImage) -> str:
    """A place in an order that has nothing to do with how the images came in."""
    return hashlib.sha256(f"hold-out {image.name}".encode()).hexdigest()
