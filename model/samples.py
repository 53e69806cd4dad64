"""Training samples: real and synthetic defects with their features and residuals, computed once and kept on disk.

Features and residuals do not change while the click network learns, so a training step never touches the backbone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from model.encoding import Encoded, encode
from model.evidence import DISCRIMINANT, LEVELS, Prepared, compare, normal_levels
from model.features import Backbone
from model.mvtec import Category, read_mask, read_rgb
from model.products import Product
from model.references import Retrieved, rank
from model.residual import match
from model.synthesis import Image, Mask, add_defect
from model.zoom import Window

COUNTS = (0, 0, 1, 2, 4, 8)
"""Numbers of references of a view of a whole image, drawn at random: one network serves all cases."""

CLOSE_COUNTS = (0, 1, 2)
"""The same for a close view, for which only the most similar references are looked at again (:mod:`model.zoom`)."""

MOST_GOOD = 24
"""Good images of a product that serve as references and as hosts of synthetic defects."""

PIECES_OF_DRAWN, DEFECTS_OF_DRAWN = 10, 12
"""Good pieces photographed of each drawn product, and defective ones."""

CPU = torch.device("cpu")

Prepare = Callable[[Encoded, Retrieved, dict[str, float] | None, bool], Prepared]


class Views:
    """Views of the defects of one product, compared with its good images.

    A view is the whole image or, as often as not, a window round the defect as :mod:`model.zoom` opens it, so that
    defects are seen at every size and references at every closeness.

    Args:
        good: defect-free images of one size, (H, W, 3) uint8 RGB.
        backbone: frozen features.
        long_side: of the working frame of a whole image; a close view has two thirds of it.
        use_references: whether the good images show what the defect images show.
        prepare: of the click network that looks at the views (:class:`model.click_network.ClickNetwork`).
        remembered: of how many good images the features are kept; None: of all of them.
        device: where to compute.
    """

    def __init__(
        self,
        good: list[Image],
        backbone: Backbone,
        long_side: int,
        use_references: bool,
        prepare: Prepare,
        *,
        remembered: int | None = None,
        device: torch.device = CPU,
    ):
        self.good, self.backbone, self.long_side = good, backbone, long_side
        self.prepare, self.device = prepare, device
        self._reference = lru_cache(remembered)(lambda i: self._encode(self.good[i], long_side))
        self.descriptors = [self._reference(i).descriptor for i in range(len(good) if use_references else 0)]

    @torch.inference_mode()
    def of(
        self, pixels: Image, mask: Mask, close: bool, rng: np.random.Generator, host: int | None = None
    ) -> tuple[Prepared, Mask] | None:
        """One view of a defect and what of it is defect in the working frame (H, W); None when nothing is.

        Args:
            pixels: the image.
            mask: its defect, of the image's size.
            close: whether to look from near.
            rng: source of all randomness.
            host: the good image that the defect was drawn on, which then is no reference.
        """
        others = [i for i in range(len(self.descriptors)) if i != host]
        count = min(len(others), int(rng.choice(CLOSE_COUNTS if close else COUNTS)))
        others = [others[i] for i in rng.permutation(len(others))[: max(count, len(others) // 2)]]
        window = self._window(mask, rng) if close else Window(0, 0, *mask.shape)
        query = self._encode(window.cut(pixels), self.long_side * 2 // 3 if close else self.long_side)
        height, width = (2 * side for side in query.colour.shape[-2:])
        seen = window.cut(mask).astype(np.float32)
        frame_mask = cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA) > 0.5
        if not frame_mask.any():
            return None
        chosen = self._nearest(pixels if close else query, others, count)
        references = [self._look(i, window, mask.shape) if close else self._reference(i) for i in chosen]
        compared = Retrieved(references or [query])
        return self.prepare(query, compared, self._usual(references), not references), frame_mask

    def _encode(self, pixels: Image, long_side: int) -> Encoded:
        return encode(pixels, self.backbone, long_side, self.device)

    def _nearest(self, whole: Encoded | Image, others: list[int], count: int) -> list[int]:
        """The ``count`` most similar ones of ``others`` to a whole image."""
        if not count:
            return []
        query = whole if isinstance(whole, Encoded) else self._encode(whole, self.long_side // 2)
        descriptors = torch.stack([self.descriptors[i] for i in others])
        return [others[i] for i in rank(query.descriptor, descriptors, count)]

    def _look(self, index: int, window: Window, shape: tuple[int, ...]) -> Encoded:
        """The same window of a reference."""
        good = self.good[index]
        return self._encode(window.of_size(shape, good.shape).cut(good), self.long_side * 2 // 3)

    def _usual(self, references: list[Encoded]) -> dict[str, float] | None:
        """What energies are usual between these references; None for fewer than two."""
        if len(references) < 2:
            return None
        return normal_levels([match(references[0], Retrieved(references[1:]))])

    def _window(self, mask: Mask, rng: np.random.Generator) -> Window:
        """A window round a part of the defect, from a sixth to four fifths of the image, the defect anywhere in it."""
        rows, columns = np.nonzero(mask)
        i = int(rng.integers(len(rows)))
        side = max(64, round(max(mask.shape) * float(np.exp(rng.uniform(np.log(0.17), np.log(0.8))))))
        height, width = min(side, mask.shape[0]), min(side, mask.shape[1])
        share = rng.uniform(0.15, 0.85, 2)
        top, left = int(rows[i] - share[0] * height), int(columns[i] - share[1] * width)
        return Window(
            min(max(0, top), mask.shape[0] - height), min(max(0, left), mask.shape[1] - width), height, width
        )


def _save(out: Path, view: tuple[Prepared, Mask] | None, kind: str) -> None:
    """Write a view of a kind of defect as a sample file, if there is one."""
    if view is None:
        return
    prepared, mask = view
    tensors = {name: prepared.levels[name][0].half() for name in (*LEVELS, DISCRIMINANT)}
    tensors |= {n: getattr(prepared, n)[0].half() for n in ("static", "vectors", "log_energies")}
    tensors |= {"scales": prepared.scales[0], "mask": torch.from_numpy(mask.astype(np.uint8))}
    temporary = out.with_suffix(".part")
    save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, {"kind": kind})
    temporary.replace(out)


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
    """
    for category in tqdm(categories, desc="products"):
        folder = cache / category.name
        if (folder / "done.json").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        good, pairs, rng = images_of(category, limit, seed)
        pixels_of_good, comparable = [read_rgb(p) for p in good], category.name not in without_references
        views = Views(pixels_of_good, backbone, long_side, comparable, compare)
        for i, (file, painted) in enumerate(tqdm(pairs, desc=category.name, leave=False)):
            view = views.of(read_rgb(file), read_mask(painted), i % 2 == 0, rng)
            _save(folder / f"real-{i:04d}.safetensors", view, file.parent.name)
        for i in tqdm(range(synthetic if good else 0), desc="synthetic", leave=False):
            pixels, mask, kind = add_defect(views.good[i % len(good)], rng)
            view = views.of(pixels, mask, i % 2 == 0, rng, i % len(good))
            _save(folder / f"synthetic-{i:04d}.safetensors", view, kind)
        (folder / "done.json").write_text(json.dumps({"real": len(pairs), "good": len(good)}))


def build_drawn(products: range, cache: Path, backbone: Backbone, *, long_side: int, seed: int = 0) -> None:
    """Build the sample files of drawn products (:mod:`model.products`), named by numbers; see :func:`build`."""
    for number in tqdm(products, desc="drawn products"):
        folder = cache / "drawn" / f"{number:04d}"
        if (folder / "done.json").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        rng, product = np.random.default_rng([seed, number]), Product(number)
        pieces = [product.image(rng) for _ in range(PIECES_OF_DRAWN)]
        views = Views(pieces, backbone, long_side, True, compare)
        for i in range(DEFECTS_OF_DRAWN):
            found = product.lacking(rng) if i % 3 == 0 else None
            pixels, mask, kind = (*found, "missing") if found else add_defect(product.image(rng), rng)
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
        h, w = mask.shape[0] // 2, mask.shape[1] // 2
        y, x = rng.integers(h), rng.integers(w)
        if rng.random() < defect_share:
            rows, columns = np.nonzero(mask)
            i = rng.integers(len(rows))
            y, x = rows[i] // 2, columns[i] // 2
        top, left = (_start(int(c), size, side, rng) for c, side in ((y, h), (x, w)))
        crop = {"scales": file.get_tensor("scales")}
        for name in (*LEVELS, DISCRIMINANT, "static", "vectors", "log_energies"):
            values = file.get_slice(name)
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
