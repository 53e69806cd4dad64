"""The generated pictures that take part in a training, as far as what they were made from is still there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adclick_backend.services import Services
from adclick_backend.store.generated import GeneratedFiles, GeneratedPicture, kept_pictures
from adclick_backend.store.participation import NEVER, participation
from adclick_backend.training.reference_pixels import References
from adclick_backend.training.training_set import TrainingSet
from model.generation.anogen.window import Box
from model.labels.generated import GeneratedImage, boxed
from model.labels.labelled import LabelledImage


@dataclass(frozen=True)
class GeneratedPart:
    """What a person wants of generated pictures in a training, and the pictures that nobody discarded.

    Attributes:
        mode: one of `adclick_backend.store.participation.PARTICIPATION`.
        pictures: of types that are labelled, painted on what still is a reference; none where the mode is "never".
        left_out: kept pictures for which that is not so.
    """

    mode: str
    pictures: Sequence[GeneratedPicture]
    left_out: int

    @classmethod
    def of_project(cls, project: str, services: Services, data: TrainingSet) -> GeneratedPart:
        """Those of a project, given what it is trained on."""
        mode = participation(services.store.values, project)
        if mode == NEVER:
            return cls(mode, (), 0)
        types = {name for image in data.images for name in image.labels}
        hosts = {
            (product, image.sha, image.white)
            for product, images in data.references.items()
            for image in images
        }
        kept = list(kept_pictures(GeneratedFiles(services.files), project))
        fit = [
            picture
            for picture in kept
            if picture.origin.type in types
            and (picture.origin.product, picture.origin.host, picture.origin.white) in hosts
        ]
        return cls(mode, fit, len(kept) - len(fit))

    @property
    def learned_from(self) -> frozenset[str]:
        """Names of the labelled images that the look of these pictures was learned from."""
        return frozenset(name for picture in self.pictures for name in picture.origin.learned_from)

    @property
    def snapshot(self) -> dict[str, Any]:
        """The same for the same pictures and the same wish; {} for none."""
        if not self.pictures:
            return {}
        return {"mode": self.mode, "pictures": sorted(map(_name, self.pictures))}

    def images(self, references: References, labelled: Collection[LabelledImage]) -> list[GeneratedImage]:
        """What is trained on: those of which the host is among the references of the training, and the type labelled.

        Args:
            references: of the training; where a host is held back from it, nothing painted on it is learned from.
            labelled: images of the training.
        """
        places = {product: {sha: n for n, sha in enumerate(named)} for product, named in references.items()}
        types = {name for image in labelled for name in image.labels}
        found = []
        for picture in self.pictures:
            host = places.get(picture.origin.product, {}).get(picture.origin.host)
            if host is not None and picture.origin.type in types:
                found.append(_image(picture, host))
        return found


def _image(picture: GeneratedPicture, host: int) -> GeneratedImage:
    origin = picture.origin
    return GeneratedImage(
        _name(picture),
        picture.pixels,
        lambda: boxed(Box(*origin.box).mask(picture.size)),
        origin.type,
        host,
        origin.product,
    )


def _name(picture: GeneratedPicture) -> str:
    told: Mapping[str, Any] = asdict(picture.origin)
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
