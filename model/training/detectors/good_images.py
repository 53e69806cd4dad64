"""The good images of a training of detectors: those that are learned from, and those that are kept back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.detectors.eyes import Eyes, Image
from model.features.encoding import Encoded
from model.labels.generated import GeneratedImage
from model.segmentation.scenes import Scenes
from model.training.detectors.settings import DetectorTraining


@dataclass(frozen=True)
class GoodImages:
    """What a detector learns from.

    Attributes:
        eyes: what sees the images.
        images: product -> its good images, (H, W, 3) uint8 RGB, read when they are asked for.
        scenes: the same, encoded.
        generated: defects that a generator painted on them; the host of each is a place among the images of its
            product.
    """

    eyes: Eyes
    images: Mapping[str, Sequence[Image]]
    scenes: Scenes
    generated: Sequence[GeneratedImage] = ()

    def encoded(self, product: str) -> Sequence[Encoded]:
        """The images of a product as the backbone sees them, in the same order."""
        return self.scenes.references(product)


class Chosen(Sequence[Image]):
    """Some of a sequence of images, read when they are asked for; before each of them ``reading`` is called."""

    def __init__(self, images: Sequence[Image], places: Sequence[int], reading: Callable[[], None]):
        self.images, self.places, self.reading = images, places, reading

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        if isinstance(place, slice):
            return Chosen(self.images, self.places[place], self.reading)
        self.reading()
        return self.images[self.places[place]]


def split(
    references: Mapping[str, Sequence[Image]],
    config: DetectorTraining,
    reading: Callable[[], None] = lambda: None,
) -> tuple[dict[str, Chosen], dict[str, Chosen], list[str]]:
    """Draw the images that are learned from, and those that are kept back: product -> images each, and what to say.

    A product with one image has none to keep back. Where there are more images than memory is meant for, each product
    gives up to an equal share; so it is with those that are kept back.

    Args:
        references: product -> its good images.
        config: how many; the same ``seed`` draws the same images.
        reading: called before each image is read; may raise.
    """
    there = {product: images for product, images in sorted(references.items()) if len(images)}
    shares = _shares({product: len(images) for product, images in there.items()}, config.images)
    most_back = min(
        config.most_held_out, max(1, config.checked // ((1 + config.defects) * max(1, len(there))))
    )
    train: dict[str, Chosen] = {}
    kept: dict[str, Chosen] = {}
    notes = []
    for number, (product, images) in enumerate(there.items()):
        order = np.random.default_rng([config.seed, number]).permutation(len(images))[: shares[product]]
        places = [int(i) for i in order]
        back = min(most_back, max(1, round(config.held_out * len(places)))) * (len(places) > 1)
        kept[product], train[product] = (
            Chosen(images, places[:back], reading),
            Chosen(images, sorted(places[back:]), reading),
        )
        if len(places) < len(images):
            named = f" of {product!r}" if product else ""
            notes.append(
                f"Of the {len(images)} good images{named}, {len(places)} were drawn for the detectors: "
                "more do not fit into the memory that is meant for them."
            )
    return train, kept, notes


def painted_on(generated: Sequence[GeneratedImage], train: Mapping[str, Chosen]) -> list[GeneratedImage]:
    """The generated images that were painted on what is learned from, with their hosts' places there.

    The others are left out: most of a picture is its host, and what is kept back is not to be learned from.

    Args:
        generated: their hosts are places among all references.
        train: product -> the references that are learned from.
    """
    found = []
    for image in generated:
        places = train[image.product].places if image.product in train else ()
        if image.host in places:
            found.append(replace(image, host=places.index(image.host)))
    return found


def _shares(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """How many of ``counts`` each may give, so that they are at most ``most`` together, and one each at least."""
    shares, left = dict.fromkeys(counts, 0), most
    for done, product in enumerate(sorted(counts, key=lambda p: counts[p])):
        shares[product] = min(counts[product], max(1, left // (len(counts) - done)))
        left -= shares[product]
    return shares
