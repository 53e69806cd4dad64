"""Training samples: real and synthetic defects with their features and residuals, computed once and kept on disk.

Features and residuals do not change while the click network learns, so a training step never touches the backbone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from model.encoding import Encoded, encode
from model.evidence import LEVELS, level_maps, normal_levels, prepare
from model.features import Backbone
from model.mvtec import Category, read_mask, read_rgb
from model.references import Retrieved, rank
from model.residual import match
from model.synthesis import add_defect

MANY = (2, 4, 8)  # reference counts that stand for "some", drawn at random


class SampleBuilder:
    """Turns the images of one product into sample files."""

    def __init__(
        self, category: Category, backbone: Backbone, long_side: int, use_references: bool, seed: int
    ):
        self.category, self.backbone, self.long_side = category, backbone, long_side
        self.rng = np.random.default_rng([seed, *hashlib.sha256(category.name.encode()).digest()[:8]])
        self.good = category.good()
        self.references = [self._encode(read_rgb(p)) for p in self.good] if use_references else []
        self.normal = {n: self._normal(n) for n in MANY if len(self.references) > n}

    def real(self, image: Path, mask: Path, out: Path) -> None:
        """A real defect, with no or one reference, and again with several."""
        counts = [int(self.rng.integers(2))] if self.references else [0]
        if len(self.references) > MANY[0]:
            counts.append(int(self.rng.choice(list(self.normal))))
        self._write(out, read_rgb(image), read_mask(mask), counts, host=None)

    def synthetic(self, index: int, out: Path) -> None:
        """A synthetic defect on a good image, which then is no reference of its own."""
        pixels, mask, _ = add_defect(read_rgb(self.good[index]), self.rng)
        count = int(self.rng.choice([0, 1, *self.normal])) if len(self.references) > 2 else 0
        self._write(out, pixels, mask, [count], host=index)

    def _encode(self, pixels: NDArray[np.uint8]) -> Encoded:
        return encode(pixels, self.backbone, self.long_side, torch.device("cpu"))

    def _bank(self, query: Encoded, count: int, host: int | None) -> list[Encoded]:
        """``count`` references: those most similar out of a random bank of about that size, or out of all."""
        others = [r for i, r in enumerate(self.references) if i != host]
        if count < MANY[-1]:
            others = [others[i] for i in self.rng.permutation(len(others))[:count]]
        descriptors = torch.stack([r.descriptor for r in others])
        return [others[i] for i in rank(query.descriptor, descriptors, count)]

    def _normal(self, count: int) -> dict[str, float]:
        """What energies are usual for a bank of ``count``: some references, each matched with ``count - 1`` others."""
        chosen = self.rng.permutation(len(self.references))[:5]
        return normal_levels(
            [
                match(
                    self.references[i], Retrieved(self._bank(self.references[i], max(1, count - 1), int(i)))
                )
                for i in chosen
            ]
        )

    @torch.inference_mode()
    def _write(
        self,
        out: Path,
        pixels: NDArray[np.uint8],
        mask: NDArray[np.bool_],
        counts: list[int],
        host: int | None,
    ) -> None:
        query = self._encode(pixels)
        height, width = (2 * side for side in query.colour.shape[-2:])
        frame_mask = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.5
        if not frame_mask.any():
            return
        levels, scales = level_maps(query)
        tensors: dict[str, Tensor] = {name: levels[name][0].half() for name in LEVELS}
        tensors["scales"] = scales[0]
        tensors["mask"] = torch.from_numpy(frame_mask.astype(np.uint8))
        for variant, count in enumerate(counts):
            residual = (
                match(query, Retrieved(self._bank(query, count, host)))
                if count
                else match(query, Retrieved([query]), itself=True)
            )
            prepared = prepare(query, residual, self.normal.get(count), count)
            tensors[f"static{variant}"] = prepared.static[0].half()
            tensors[f"vectors{variant}"] = prepared.vectors[0].half()
            tensors[f"log_energies{variant}"] = prepared.log_energies[0].half()
        temporary = out.with_suffix(".part")
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary)
        temporary.replace(out)


def build(
    categories: list[Category],
    cache: Path,
    backbone: Backbone,
    *,
    long_side: int,
    synthetic_per_good: int,
    without_references: set[str],
    limit: int = 10**6,
    seed: int = 0,
) -> None:
    """Build (or go on building) the sample files of ``categories`` below ``cache``.

    Args:
        categories: products in MVTec layout.
        cache: folder; each product gets one of its own, finished products are marked by ``done.json``.
        backbone: frozen features.
        long_side: of the working frame, in pixels.
        synthetic_per_good: synthetic samples made from each of at most 60 good images.
        without_references: names of products whose good images show something else than the defect images.
        limit: most real samples of a product.
        seed: of every random choice.
    """
    for category in tqdm(categories, desc="products"):
        folder = cache / category.name
        if (folder / "done.json").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        builder = SampleBuilder(category, backbone, long_side, category.name not in without_references, seed)
        pairs = category.defects()
        pairs = [pairs[i] for i in builder.rng.permutation(len(pairs))[:limit]]
        for i, (image, mask) in enumerate(tqdm(pairs, desc=category.name, leave=False)):
            builder.real(image, mask, folder / f"real-{i:04d}.safetensors")
        hosts = range(min(60, len(builder.good)))
        for i in tqdm([h for h in hosts for _ in range(synthetic_per_good)], desc="synthetic", leave=False):
            builder.synthetic(
                i, folder / f"synthetic-{len(list(folder.glob('synthetic-*'))):04d}.safetensors"
            )
        (folder / "done.json").write_text(json.dumps({"real": len(pairs), "good": len(builder.good)}))


@dataclass(frozen=True)
class Sample:
    """One sample file."""

    path: Path
    category: str
    real: bool


def find_samples(cache: Path) -> Iterator[Sample]:
    """All sample files below ``cache``, in a fixed order."""
    for path in sorted(cache.rglob("*.safetensors")):
        yield Sample(path, f"{path.parent.parent.name}/{path.parent.name}", path.name.startswith("real"))


def read_crop(
    sample: Sample, size: int, rng: np.random.Generator, defect_share: float
) -> dict[str, NDArray[np.float32]]:
    """A crop of a sample, of ``size`` x ``size`` stride-2 cells (padded with zeros where the image is smaller).

    With probability ``defect_share`` the crop is placed round a random pixel of the defect, else anywhere.

    Returns:
        The level maps by name, ``scales``, ``static``, ``vectors``, ``log_energies``, and ``mask``
        (2 * size, 2 * size) in {0, 1, -1 for padding}.
    """
    with safe_open(sample.path, "np") as file:
        names = file.keys()
        variant = int(rng.integers(sum(n.startswith("static") for n in names)))
        mask = file.get_tensor("mask")
        h, w = mask.shape[0] // 2, mask.shape[1] // 2
        y, x = rng.integers(h), rng.integers(w)
        if rng.random() < defect_share:
            rows, columns = np.nonzero(mask)
            i = rng.integers(len(rows))
            y, x = rows[i] // 2, columns[i] // 2
        top, left = (_start(int(c), size, side, rng) for c, side in ((y, h), (x, w)))
        crop = {"scales": file.get_tensor("scales")}
        maps = {
            **{n: n for n in LEVELS},
            **{n: f"{n}{variant}" for n in ("static", "vectors", "log_energies")},
        }
        for name, stored in maps.items():
            values = file.get_slice(stored)
            ratio = h // values.get_shape()[1]  # stride-2 cells per cell of this map
            down, across = (
                slice(start // ratio, min(start + size, side) // ratio)
                for start, side in ((top, h), (left, w))
            )
            crop[name] = _pad(values[:, down, across], size // ratio)
    crop["mask"] = _pad(mask[None, 2 * top : 2 * (top + size), 2 * left : 2 * (left + size)], 2 * size, -1)[0]
    return crop


def _start(centre: int, size: int, side: int, rng: np.random.Generator) -> int:
    """Where a crop begins: it holds ``centre`` at a random place, lies inside, and fits the stride-16 grid."""
    start = centre - int(rng.integers(size // 8, size - size // 8))
    return max(0, min(start, side - size)) // 8 * 8


def _pad(values: NDArray[np.generic], size: int, fill: float = 0.0) -> NDArray[np.float32]:
    out = np.full((len(values), size, size), fill, np.float32)
    out[:, : values.shape[1], : values.shape[2]] = values
    return out
