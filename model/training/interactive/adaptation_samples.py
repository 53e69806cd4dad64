"""What a click network is adapted with: views of one product's labelled images and of defects drawn on its references.

Each view is prepared as it is in use: the whole image, and windows as :mod:`model.interactive.zoom` opens them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.checkpoint.atomic import sweep_leftovers
from model.clicks import Click
from model.evidence.prepared import Prepared
from model.generation.synthesis import add_defect
from model.interactive.encoded_references import EncodedReferences, Image
from model.interactive.predictor import Predictor
from model.interactive.zoom import ZOOM, Window, window_for
from model.labels.labelled import SHAPED, LabelledImage, WeakLabel
from model.labels.weak import three_valued
from model.training.interactive.samples import Sample, save_sample

ROOMS = (1.3, 3.0)
"""How much larger than the defect a window is drawn; in use it hangs on what was found so far."""

UNDECIDED = 0.2
"""Half the width of the band round 0.5 in which an accepted map says nothing (ε of Eq. 9)."""

SHIFT = 0.3
"""How far, as a share of its size, the defect lies beside the middle of its window, at most."""

LOOKED_AT = 2
"""References that a window is compared with, as in use."""

PAINTED, CLICKED, SYNTHETIC = "painted", "clicked", "synthetic"
"""Where the mask of a sample comes from."""

Known = NDArray[np.float32]
"""A mask in {0, 1, -1}, -1 where nobody knows."""

Load = Callable[[], tuple[Image, Known]]
"""Reads or draws an image, (H, W, 3) uint8 RGB, with its known mask (H, W)."""


def exact(image: LabelledImage) -> list[WeakLabel]:
    """The labels of an image whose defective pixels are known; none when there is a box or a tag among them.

    Beside those the mask of another type says nothing of where else there is a defect.
    """
    labels = list(image.labels.values())
    return labels if all(label.kind in SHAPED for label in labels) else []


def is_painted(image: LabelledImage) -> bool:
    """Whether a person set pixels of the image by hand."""
    return any(label.kind == "mask" or bool(label.certain.any()) for label in exact(image))


def known_mask(image: LabelledImage) -> NDArray[np.float32]:
    """What of an image is defect, all types together: (H, W) float32 in {0, 1, -1}, -1 where nobody knows.

    Raises:
        ValueError: the image has no mask (:func:`exact`).
    """
    found: NDArray[np.float32] | None = None
    for label in exact(image):
        one = three_valued(label.target, label.certain, UNDECIDED)
        if found is None:
            found = one
        else:  # a defect of one type is one, whatever the map of another type leaves open there
            unknown = ((found < 0) | (one < 0)) & (found < 1) & (one < 1)
            found = np.where(unknown, np.float32(-1), np.maximum(found, one)).astype(np.float32)
    if found is None:
        raise ValueError(f"The image {image.name[:12]} has no mask.")
    return found


def fingerprint(image: LabelledImage) -> str:
    """Changes when a mask of the image does."""
    digest = hashlib.sha256()
    for label in exact(image):
        digest.update(f"{label.kind} {label.target.shape}".encode())
        digest.update(np.ascontiguousarray(label.target).data)
        digest.update(np.ascontiguousarray(label.certain).data)
    return digest.hexdigest()[:12]


class AdaptationSamples:
    """Turns the images of one product into sample files of :mod:`model.training.interactive.samples`.

    Args:
        folder: where the files go; a view that is there already is not made again.
        predictor: encodes and compares.
        references: defect-free images of the product, (H, W, 3) uint8 RGB; may be empty.
        seed: of the windows and the drawn defects.
        windows: of each image, besides the whole of it.
    """

    def __init__(
        self, folder: Path, predictor: Predictor, references: Sequence[Image], seed: int, windows: int
    ):
        self.folder, self.predictor, self.seed, self.windows = folder, predictor, seed, windows
        self.bank = EncodedReferences(predictor, references)
        for name in (PAINTED, CLICKED, SYNTHETIC):
            (folder / name).mkdir(parents=True, exist_ok=True)
            sweep_leftovers(folder / name)

    def labelled(self, image: LabelledImage) -> list[Sample]:
        """The views of a labelled image whose mask is known."""
        group = PAINTED if is_painted(image) else CLICKED
        rng = np.random.default_rng([self.seed, *image.name.encode()[:8]])
        return self._views(
            group, f"{image.name}-{fingerprint(image)}", lambda: (image.load(), known_mask(image)), None, rng
        )

    def synthetic(self, index: int, turn: int) -> list[Sample]:
        """The views of a reference with a drawn defect; another one for each ``turn``."""
        rng = np.random.default_rng([self.seed, index, turn])

        def draw() -> tuple[Image, Known]:
            pixels, mask, _ = add_defect(self.bank.pixels[index], rng)
            return pixels, mask.astype(np.float32)

        return self._views(SYNTHETIC, f"synthetic-{index:04d}-{turn}", draw, index, rng)

    def _views(
        self, group: str, name: str, load: Load, host: int | None, rng: np.random.Generator
    ) -> list[Sample]:
        """The sample files of an image, made when they are not there yet."""
        place = self.folder / group
        done = place / f"{name}.done"
        if not done.exists():
            pixels, mask = load()
            for number, (prepared, seen) in enumerate(self._look(pixels, mask, host, rng)):
                save_sample(place / f"{name}-{number}.safetensors", prepared, seen, group, durable=False)
            done.touch()
        category = f"{self.folder.name}/{group}"
        files = sorted(place.glob(f"{name}-*.safetensors"))
        return [Sample(path, category, group != SYNTHETIC, group) for path in files]

    @torch.inference_mode()
    def _look(
        self, pixels: Image, mask: Known, host: int | None, rng: np.random.Generator
    ) -> Iterator[tuple[Prepared, Known]]:
        """The views of an image (H, W, 3), each with what of its known mask (H, W) lies in the view's frame."""
        if not (mask > 0).any():
            return
        image, nearest = self.predictor.encode(pixels), list[int]()
        if self.bank.encoded:
            nearest = self.predictor.retrieve(image.descriptor.numpy(), self.bank.descriptors, host)
        compared = [self.bank.encoded[i] for i in nearest]
        shape = (pixels.shape[0], pixels.shape[1])
        seen = _on_frame(mask, Frame.of(*shape, self.predictor.long_side))
        if (seen > 0).any():
            yield self.predictor.prepare(image, compared, self.bank.normal), seen
        similar = [self.bank.pixels[i] for i in nearest[:LOOKED_AT]]
        for window in drawn_windows(mask > 0, self.windows, self.predictor.long_side, rng):
            frame = Frame.of(window.height, window.width, self.predictor.config.zoom.side)
            seen = _on_frame(window.cut(mask), frame)
            if (seen > 0).any():
                yield self.predictor.look(pixels, window, similar), seen


def drawn_windows(
    mask: NDArray[np.bool_], count: int, long_side: int, rng: np.random.Generator
) -> list[Window]:
    """At most ``count`` windows round parts of a mask (H, W), by a random factor larger, the part anywhere in them.

    None where the whole image, ``long_side`` working pixels long, shows enough: there none is opened in use either.
    """
    statistics = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[2]
    found: list[Window] = []
    for _ in range(count):
        left, top, width, height, _ = statistics[1 + int(rng.integers(len(statistics) - 1))].tolist()
        zoom = replace(ZOOM, room=float(rng.uniform(*ROOMS)))
        shift = rng.uniform(-SHIFT, SHIFT, 2) * max(width, height, zoom.smallest / zoom.room)
        middle = Click(left + width / 2 + shift[0], top + height / 2 + shift[1], True)
        box = (middle.y - height / 2, middle.x - width / 2, middle.y + height / 2, middle.x + width / 2)
        window = window_for(box, [middle], (mask.shape[0], mask.shape[1]), long_side, config=zoom)
        if window is not None and window not in found:
            found.append(window)
    return found


def _on_frame(mask: Known, frame: Frame) -> Known:
    """A known mask of an image, (frame.height, frame.width) in {0, 1, -1}."""
    size = (frame.width, frame.height)
    defect, unknown = (
        cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        for part in (mask > 0, mask < 0)
    )
    seen = np.where(unknown >= 0.5, np.float32(-1), np.float32(0))
    seen[defect > 0.5] = 1
    return np.asarray(seen, np.float32)
