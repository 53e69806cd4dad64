"""What ADClick-Seg trains on: prepared images with their labels, computed once and kept on disk as float16.

Five sources: labelled images, defect-free images, synthetic defects drawn on those, labelled defects pasted on them,
and defects that a generator painted on them. Every defect-free image is compared with the others of its product, never
with itself, and so is an image that a defect was drawn, pasted or painted on: else the network would learn that normal
means a residual of zero.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.checkpoint.atomic import replacing, sweep_leftovers
from model.generation.pasting import cut_defect, paste
from model.generation.synthesis import add_defect
from model.interactive.encoded_references import EncodedReferences, Image
from model.interactive.predictor import Predictor
from model.labels.generated import GeneratedImage
from model.labels.labelled import DEFECT, Kind, LabelledImage, WeakLabel, painted
from model.segmentation.inputs import VIEWS, inputs

Source = Literal["labelled", "normal", "synthetic", "pasted", "generated"]

DIGITS = 12
"""Of the hexadecimal number in a sample's name that changes when its label does."""


@dataclass(frozen=True)
class SegSample:
    """One sample file.

    Attributes:
        path: of the file.
        source: where the sample comes from.
        product: of the image.
        kinds: defect type -> kind of its label; empty for a normal image.
    """

    path: Path
    source: Source
    product: str
    kinds: Mapping[str, Kind]

    @property
    def whole(self) -> bool:
        """A label that only speaks of the whole image: a crop of it would say nothing."""
        return "tag" in self.kinds.values()


class SampleWriter:
    """Turns the images of one product into sample files.

    Args:
        folder: where the files go; a file that is there already is not made again.
        predictor: encodes and compares.
        product: its name.
        references: its defect-free images, (H, W, 3) uint8 RGB; may be empty.
        seed: of synthetic and pasted defects.
    """

    def __init__(
        self, folder: Path, predictor: Predictor, product: str, references: Sequence[Image], seed: int
    ):
        self.folder, self.product, self.seed = folder, product, seed
        self._predictor, self._references = predictor, references
        folder.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(folder)

    @cached_property
    def bank(self) -> EncodedReferences:
        """The references, encoded when the first sample has to be made."""
        return EncodedReferences(self._predictor, self._references)

    def labelled(self, image: LabelledImage) -> SegSample:
        """A labelled image; one without labels is normal."""
        path = self._path(f"labelled-{image.name}-{_fingerprint(image.labels)}")
        source: Source = "labelled" if image.labels else "normal"
        if not path.exists():
            self._write(path, self._seen(f"labelled-{image.name}", image.load, None), image.labels, source)
        return read_header(path)

    def generated(self, image: GeneratedImage) -> SegSample:
        """A generated image, compared with the references but the one it was painted on."""
        labels = {image.type: image.label()}
        path = self._path(f"generated-{image.name}-{_fingerprint(labels)}")
        if not path.exists():
            seen = self._seen(f"generated-{image.name}", image.load, image.host)
            self._write(path, seen, labels, "generated")
        return read_header(path)

    def normal(self, index: int) -> SegSample:
        """A reference, compared with the others."""
        path = self._path(f"normal-{index:04d}")
        if not path.exists():
            self._write(path, self._look(self.bank.pixels[index], index), {}, "normal")
        return read_header(path)

    def synthetic(self, index: int, turn: int) -> SegSample:
        """A reference with a drawn defect; another one for each ``turn``."""
        path = self._path(f"synthetic-{index:04d}-{turn}")
        if not path.exists():
            pixels, mask, _ = add_defect(
                self.bank.pixels[index], np.random.default_rng([self.seed, index, turn])
            )
            self._write(path, self._look(pixels, index), {DEFECT: painted(mask)}, "synthetic")
        return read_header(path)

    def pasted(self, donor: LabelledImage, host: int, turn: int) -> SegSample | None:
        """A labelled defect, turned and resized, on a reference; None when the donor's label has no shape."""
        path = self._path(f"pasted-{donor.name}-{_fingerprint(donor.labels)}-{turn}")
        if not path.exists():
            cut = cut_defect(donor)
            if cut is None:
                return None
            rng = np.random.default_rng([self.seed, host, turn])
            pixels, mask = paste(cut, self.bank.pixels[host], rng)
            if not mask.any():
                return None
            self._write(path, self._look(pixels, host), {cut.type: painted(mask)}, "pasted")
        return read_header(path)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def _seen(self, name: str, load: Callable[[], Image], host: int | None) -> dict[str, Tensor]:
        """The inputs of an image: those of its file with another label, if there is one."""
        known = next(self.folder.glob(f"{escape(name)}-{'[0-9a-f]' * DIGITS}.safetensors"), None)
        return _read_inputs(known) if known else self._look(load(), host)

    @torch.inference_mode()
    def _look(self, pixels: Image, host: int | None) -> dict[str, Tensor]:
        """The inputs of an image, (C, h, w) float16 each."""
        return {name: maps[0].half() for name, maps in inputs(self.bank.prepare(pixels, host)).items()}

    def _write(
        self, path: Path, seen: dict[str, Tensor], labels: Mapping[str, WeakLabel], source: Source
    ) -> None:
        height, width = (2 * int(side) for side in seen["relative"].shape[-2:])
        tensors = dict(seen)
        for i, label in enumerate(labels.values()):  # each is drawn when it is looked at
            for part, maps in (("target", label.target), ("certain", label.certain.astype(np.float32))):
                tensors[f"{part}{i}"] = _on_frame(maps, height, width)
        header = {
            "source": source,
            "product": self.product,
            "kinds": json.dumps({name: label.kind for name, label in labels.items()}),
        }
        with replacing(path, durable=False) as half:
            save_file({k: v.contiguous() for k, v in tensors.items()}, half, metadata=header)


def _read_inputs(path: Path) -> dict[str, Tensor]:
    """The inputs that a sample file holds: they stay right when only the label has changed."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in ("relative", "vectors", *VIEWS)}


def read_header(path: Path) -> SegSample:
    """What a sample file says of itself; reads no maps."""
    with safe_open(path, "np") as file:
        header = file.metadata()
    return SegSample(path, header["source"], header["product"], json.loads(header["kinds"]))


def _on_frame(maps: NDArray[np.float32], height: int, width: int) -> Tensor:
    """(H, W) in [0, 1] -> (height, width) uint8 in [0, 255]."""
    resized = cv2.resize(maps, (width, height), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(np.rint(resized * 255).astype(np.uint8))


def _fingerprint(labels: Mapping[str, WeakLabel]) -> str:
    """Changes when a label does."""
    digest = sha256()
    for name in sorted(labels):
        label = labels[name]
        digest.update(f"{name} {label.kind} {label.target.shape}".encode())
        digest.update(np.ascontiguousarray(label.target).data)
        digest.update(np.ascontiguousarray(label.certain).data)
    return digest.hexdigest()[:DIGITS]
