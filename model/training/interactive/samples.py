"""Training samples: real and synthetic defects with their features and residuals, computed once and kept on disk.

Features and residuals do not change while the click network learns, so a training step never touches the backbone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from model.checkpoint.atomic import replacing, sweep_leftovers
from model.datasets.mvtec import Category, read_mask, read_rgb
from model.evidence.prepared import DISCRIMINANT, LEVELS, Prepared, compare
from model.features.backbones import Backbone
from model.generation.products import Product
from model.generation.synthesis import Mask, add_defect
from model.matching.nearest import MATCHING, MatchingConfig
from model.training.crops import Crop
from model.training.interactive.views import TrainingViews

MOST_GOOD = 24
"""Good images of a product that serve as references and as hosts of synthetic defects."""

LACKING = "missing"
"""What the defect of a drawn product is called that lacks a part."""

PIECES_OF_DRAWN, DEFECTS_OF_DRAWN = 10, 12
"""Good pieces photographed of each drawn product, and defective ones."""


def save_sample(
    out: Path, prepared: Prepared, mask: NDArray[np.generic], kind: str, durable: bool = True
) -> None:
    """Write a view of a kind of defect as a sample file; its ``mask`` (H, W) is 1, 0, or -1 where nobody knows."""
    tensors = {name: prepared.levels[name][0].half() for name in (*LEVELS, DISCRIMINANT)}
    tensors |= {n: getattr(prepared, n)[0].half() for n in ("static", "vectors", "log_energies")}
    tensors |= {"scales": prepared.scales[0], "mask": torch.from_numpy(mask.astype(np.int8))}
    with replacing(out, durable=durable) as half:
        save_file({k: v.contiguous() for k, v in tensors.items()}, half, {"kind": kind})


def _save(out: Path, view: tuple[Prepared, Mask] | None, kind: str) -> None:
    """Write a view as a sample file, if there is one."""
    if view is not None:
        save_sample(out, *view, kind)


def images_of(
    category: Category, limit: int, seed: int
) -> tuple[list[Path], list[tuple[Path, Path]], np.random.Generator]:
    """The good images and the defects that training sees of a product, and the source of what else is random in it."""
    rng = np.random.default_rng([seed, *hashlib.sha256(category.name.encode()).digest()[:8]])
    good, pairs = category.good(), category.defects()
    good = [good[i] for i in rng.permutation(len(good))[:MOST_GOOD]]
    return good, [pairs[i] for i in rng.permutation(len(pairs))[:limit]], rng


def build(
    categories: list[Category],
    cache: Path,
    backbone: Backbone,
    *,
    long_side: int,
    synthetic: int,
    without_references: set[str],
    limit: int = 10**6,
    seed: int = 0,
    matching: MatchingConfig = MATCHING,
) -> None:
    """Build (or go on building) the sample files of ``categories`` below ``cache``.

    Args:
        categories: products in MVTec layout.
        cache: folder; each product gets one of its own, finished products are marked by ``done.json``.
        backbone: frozen features.
        long_side: of the working frame of whole images, in pixels.
        synthetic: synthetic defects drawn on the good images of each product.
        without_references: names of products whose good images show something else than the defect images.
        limit: most real samples of a product.
        seed: of every random choice.
        matching: how places are matched.
    """
    for category in tqdm(categories, desc="products"):
        folder = cache / category.name
        if (folder / "done.json").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(folder)
        good, pairs, rng = images_of(category, limit, seed)
        pixels_of_good, comparable = [read_rgb(p) for p in good], category.name not in without_references
        views = TrainingViews(pixels_of_good, backbone, long_side, comparable, compare, matching=matching)
        for i, (file, painted) in enumerate(tqdm(pairs, desc=category.name, leave=False)):
            view = views.of(read_rgb(file), read_mask(painted), i % 2 == 0, rng)
            _save(folder / f"real-{i:04d}.safetensors", view, file.parent.name)
        for i in tqdm(range(synthetic if good else 0), desc="synthetic", leave=False):
            pixels, mask, kind = add_defect(views.good[i % len(good)], rng)
            view = views.of(pixels, mask, i % 2 == 0, rng, i % len(good))
            _save(folder / f"synthetic-{i:04d}.safetensors", view, kind)
        (folder / "done.json").write_text(json.dumps({"real": len(pairs), "good": len(good)}))


def build_drawn(
    products: range,
    cache: Path,
    backbone: Backbone,
    *,
    long_side: int,
    seed: int = 0,
    matching: MatchingConfig = MATCHING,
) -> None:
    """Build the sample files of drawn products (:mod:`model.generation.products`), by numbers; see :func:`build`."""
    for number in tqdm(products, desc="drawn products"):
        folder = cache / "drawn" / f"{number:04d}"
        if (folder / "done.json").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(folder)
        rng, product = np.random.default_rng([seed, number]), Product(number)
        pieces = [product.image(rng) for _ in range(PIECES_OF_DRAWN)]
        views = TrainingViews(pieces, backbone, long_side, True, compare, matching=matching)
        for i in range(DEFECTS_OF_DRAWN):
            found = product.lacking(rng) if i % 3 == 0 else None
            pixels, mask, kind = (*found, LACKING) if found else add_defect(product.image(rng), rng)
            _save(folder / f"synthetic-{i:04d}.safetensors", views.of(pixels, mask, i % 2 == 0, rng), kind)
        (folder / "done.json").write_text("{}")


@dataclass(frozen=True)
class Sample:
    """One sample file.

    Attributes:
        path: where it lies.
        category: its product.
        real: whether the defect is real.
        kind: what the defect is called; "" in files that do not say.
    """

    path: Path
    category: str
    real: bool
    kind: str


def find_samples(cache: Path) -> Iterator[Sample]:
    """All sample files below ``cache``, in a fixed order."""
    for path in sorted(cache.rglob("*.safetensors")):
        with safe_open(path, "np") as file:
            kind = (file.metadata() or {}).get("kind", "")
        yield Sample(
            path, f"{path.parent.parent.name}/{path.parent.name}", path.name.startswith("real"), kind
        )


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
        mask = file.get_tensor("mask")
        place = Crop.drawn(mask > 0, size, defect_share, rng)
        crop = {"scales": file.get_tensor("scales")}
        for name in (*LEVELS, DISCRIMINANT, "static", "vectors", "log_energies"):
            maps = file.get_slice(name)
            crop[name] = place.of(maps, len(mask) // maps.get_shape()[1])
    crop["mask"] = place.of(mask[None], 1, fill=-1.0)[0]
    return crop
