"""Training batches computed while they are needed, on the device that trains.

What a full-size network is shown of one image is megabytes, too much to keep of every view; and a GPU computes the
features of a view sooner than a disk would read them. So every view is a new one: another defect, another window,
other references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from model.datasets.mvtec import Category, read_mask, read_rgb
from model.evidence.prepared import Prepared
from model.features.backbones import Backbone
from model.generation.products import Product
from model.generation.synthesis import KINDS, Image, Mask, add_defect
from model.interactive.network import ClickNetwork
from model.language.vocabulary import NAMELESS, Vocabulary
from model.matching.nearest import MATCHING, MatchingConfig
from model.training.interactive.batches import Batch, ClickTraining, Sampler
from model.training.interactive.samples import DEFECTS_OF_DRAWN, LACKING, PIECES_OF_DRAWN, images_of
from model.training.interactive.views import TrainingViews
from model.training.losses import IGNORE

TRIES = 100
"""So many views in a row without any defect in them mean that the masks do not fit the images."""

UNNAMED_SHARE = 0.1
"""Share of the views whose defect goes by a name that says nothing: in use a project may have one label for all."""


class Seen(NamedTuple):
    """An image, its defect, what that is called, and the product's good image that it was drawn on, if it was."""

    pixels: Image
    mask: Mask
    kind: str
    host: int | None


@dataclass(frozen=True)
class Source:
    """A product: its good images, read when it is drawn for the first time."""

    name: str
    good: Callable[[], list[Image]]
    comparable: bool  # whether the good images show what the defect images show


@dataclass(frozen=True)
class Defect:
    """A defect that training may draw, or a kind of defect that is drawn anew each time."""

    source: Source
    real: bool
    look: Callable[[list[Image], np.random.Generator], Seen]  # given the good images

    @property
    def category(self) -> str:
        """Name of the product."""
        return self.source.name


def photographed(
    category: Category, *, synthetic: int, limit: int, seed: int, comparable: bool
) -> list[Defect]:
    """The defects of a product in MVTec layout.

    Args:
        category: the product.
        synthetic: on how many of its good images defects are drawn.
        limit: most real defects.
        seed: of which images are taken.
        comparable: whether the good images show what the defect images show.
    """
    good, pairs, _ = images_of(category, limit, seed)
    source = Source(category.name, lambda: [read_rgb(p) for p in good], comparable)
    hosts = range(min(synthetic, len(good)))
    return [Defect(source, True, partial(_real, *pair)) for pair in pairs] + [
        Defect(source, False, partial(_synthetic, host)) for host in hosts
    ]


def drawn(number: int) -> list[Defect]:
    """The defects of a drawn product (:mod:`model.generation.products`)."""
    product, rng = Product(number), np.random.default_rng(number)
    source = Source(
        f"drawn/{number:04d}", lambda: [product.image(rng) for _ in range(PIECES_OF_DRAWN)], comparable=True
    )
    return [Defect(source, False, partial(_of_drawn, product, i % 3 == 0)) for i in range(DEFECTS_OF_DRAWN)]


def _real(file: Path, painted: Path, good: list[Image], rng: np.random.Generator) -> Seen:
    return Seen(read_rgb(file), read_mask(painted), file.parent.name, None)


def _synthetic(host: int, good: list[Image], rng: np.random.Generator) -> Seen:
    return Seen(*add_defect(good[host], rng), host)


def _of_drawn(product: Product, lacking: bool, good: list[Image], rng: np.random.Generator) -> Seen:
    found = product.lacking(rng) if lacking else None
    return Seen(*((*found, LACKING) if found else add_defect(product.image(rng), rng)), None)


def kinds_of(categories: Iterable[Category]) -> set[str]:
    """What all defects are called that are photographed of these products, or drawn."""
    return {LACKING, *KINDS, *(file.parent.name for c in categories for file, _ in c.defects())}


class LiveBatches:
    """Batches of whole images and of close views (:mod:`model.interactive.zoom`), never both in one.

    Args:
        defects: what is drawn.
        backbone: frozen features, on ``device``.
        network: that looks at the views.
        long_side: of the working frame of whole images, in pixels; close views have two thirds of it.
        config: share of synthetic defects.
        weights: how often a product is drawn, by name; default 1.
        device: where to compute.
        matching: how places are matched.
        vocabulary: the words for every kind of defect that is drawn (:func:`kinds_of`), for a network that hears.
    """

    def __init__(
        self,
        defects: list[Defect],
        backbone: Backbone,
        network: ClickNetwork,
        long_side: int,
        config: ClickTraining,
        weights: dict[str, float],
        device: torch.device,
        matching: MatchingConfig = MATCHING,
        vocabulary: Vocabulary | None = None,
    ):
        self.backbone, self.network, self.long_side = backbone, network, long_side
        self.device, self.matching, self.vocabulary = device, matching, vocabulary
        self.sampler = Sampler(defects, config.synthetic_share, weights)
        self._views = lru_cache(None)(self._views_of)

    def batch(self, config: ClickTraining, rng: np.random.Generator) -> Batch:
        """See :class:`~model.training.interactive.batches.BatchSource`; crops smaller than an image are close views."""
        cells, count = config.size(rng)
        close = 2 * cells < self.long_side
        views, kinds = zip(*(self._view(close, rng) for _ in range(count)), strict=True)
        batch = stack(list(views), cells, rng)
        if self.vocabulary is not None:
            named = [NAMELESS if rng.random() < UNNAMED_SHARE else kind for kind in kinds]
            batch.words = self.vocabulary.drawn(named, rng)
        return batch

    def _view(self, close: bool, rng: np.random.Generator) -> tuple[tuple[Prepared, Mask], str]:
        """A view, and what its defect is called."""
        for _ in range(TRIES):
            defect = self.sampler.draw(rng)
            views = self._views(defect.source)
            pixels, mask, kind, host = defect.look(views.good, rng)
            if mask.any() and (view := views.of(pixels, mask, close, rng, host)) is not None:
                return view, kind
        raise ValueError(
            f"{TRIES} views in a row showed no defect, the last of {defect.category}; look at its masks."
        )

    def _views_of(self, source: Source) -> TrainingViews:
        good, prepare = source.good(), self.network.prepare
        return TrainingViews(
            good, self.backbone, self.long_side, source.comparable, prepare,
            remembered=0, device=self.device, matching=self.matching,
        )  # fmt: skip


def stack(views: list[tuple[Prepared, Mask]], cells: int, rng: np.random.Generator) -> Batch:
    """Views in a square of ``cells`` stride-2 cells, each turned and mirrored at random; what is empty is ignored."""
    turns = [(int(rng.integers(4)), bool(rng.integers(2))) for _ in views]
    prepared = [p for p, _ in views]

    def joined(maps: list[Tensor], fill: float = 0.0) -> Tensor:
        """(1, C, h, w) each, of whatever stride -> (B, C, side, side)."""
        side = cells * maps[0].shape[-1] // prepared[0].static.shape[-1]
        out = torch.full((len(maps), maps[0].shape[1], side, side), float(fill), device=maps[0].device)
        for i, (single, (quarters, mirror)) in enumerate(zip(maps, turns, strict=True)):
            out[i, :, : single.shape[-2], : single.shape[-1]] = single[0]
            turned = torch.rot90(out[i], quarters, (-2, -1))
            out[i] = (turned.flip(-1) if mirror else turned).clone()
        return out

    masks = joined([torch.from_numpy(m.astype(np.float32))[None, None] for _, m in views], IGNORE)
    return Batch(
        Prepared(
            joined([p.static for p in prepared]),
            {name: joined([p.levels[name] for p in prepared]) for name in prepared[0].levels},
            torch.cat([p.scales for p in prepared]).clone(),
            joined([p.vectors for p in prepared]),
            joined([p.log_energies for p in prepared]),
        ),
        masks[:, 0].numpy(),
    )
