"""What each part of the click network adds: the same training without it, measured on products it has never seen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from adclick_runtime.frame import Frame
from model.checkpoint.ranges import check_changes, check_names
from model.clicks import simulate_clicks
from model.datasets.mvtec import Category, read_mask, read_rgb
from model.evidence.prepared import LAYOUT, Prepared
from model.evidence.relative import columns
from model.interactive.lite import LiteClickNetwork, LiteConfig
from model.interactive.prediction import Prediction, predict
from model.interactive.predictor import Predictor
from model.language.vocabulary import NAMELESS, Vocabulary, Words, builtin_vocabulary
from model.metrics.masks import iou
from model.studies.text_conditioning import TextConditionedNetwork, TextConditionedSamples
from model.training.interactive.batches import ClickTraining, SampleFiles, Sampler
from model.training.interactive.samples import Sample
from model.training.interactive.trainer import ClickTrainer

CLICKS = 5

TEMPERATURE = 0.4
"""That trained networks turn out to have: these are measured at it, and none is fitted.

See :mod:`model.training.interactive.temperature`."""

COMPARED = [kind for kind in LAYOUT if kind.split()[0] in ("like", "onto")]
RESIDUAL = ("energies", "references", "energy ratios", *(kind for kind in COMPARED if "residual" in kind))
IMAGE = ("edge", *(kind for kind in COMPARED if "residual" not in kind))
PROJECTED = tuple(kind for kind in COMPARED if kind.startswith("onto"))
DEEP = ("like stride16",)
FINE = tuple(
    kind for kind in COMPARED if kind.startswith("like") and "residual" not in kind and kind not in DEEP
)


@dataclass(frozen=True)
class Variant:
    """A training that differs in something.

    Attributes:
        without: kinds of evidence (``model.evidence.prepared.LAYOUT``) that the network is not shown.
        network: settings of :class:`model.interactive.lite.LiteConfig` that differ.
        changes: settings of :class:`model.training.interactive.batches.ClickTraining` that differ.
        clean: whether products whose licence is not stated are left out.
        words: whether the network is told what the defect is called (Eq. 6).
    """

    without: tuple[str, ...] = ()
    network: tuple[tuple[str, Any], ...] = ()
    changes: tuple[tuple[str, Any], ...] = ()
    clean: bool = False
    words: bool = False

    def __post_init__(self) -> None:
        check_names(self, "without", self.without, LAYOUT)
        check_changes(self, "network", self.network, LiteConfig)
        check_changes(self, "changes", self.changes, ClickTraining)


VARIANTS = {
    "everything": Variant(),
    "image only, no residual": Variant(without=RESIDUAL),
    "residual only, no image": Variant(without=IMAGE),
    "told the previous mask": Variant(network=(("previous", True),)),
    "no evidence left out in training": Variant(network=(("dropout", 0.0),)),
    "likeness by distance only": Variant(without=PROJECTED),
    "likeness without the transformer": Variant(without=DEEP),
    "likeness by the transformer alone": Variant(without=FINE),
    "cross-entropy instead of focal loss": Variant(changes=(("focal", False),)),
    "no overlap loss": Variant(changes=(("overlap", 0.0),)),
    "synthetic defects only": Variant(changes=(("synthetic_share", 1.0),)),
    "real defects only": Variant(changes=(("synthetic_share", 0.0),)),
    "stated licences only": Variant(clean=True),
    "told what the defect is called": Variant(words=True),
}


class Blinded(LiteClickNetwork):
    """A network that is shown nothing, zero, in the channels ``hidden`` of the evidence."""

    def __init__(self, hidden: list[int], config: LiteConfig | None = None):
        super().__init__(config)
        self.hidden = hidden

    def inputs(
        self, prepared: Prepared, clicks: Tensor, previous: Tensor, words: Words | None = None
    ) -> tuple[Tensor, ...]:
        """See :class:`model.interactive.network.ClickNetwork`."""
        (shown,) = super().inputs(prepared, clicks, previous)
        shown[:, self.hidden] = 0.0
        return (shown,)


@dataclass(frozen=True)
class Opened:
    """An image with a known mask, ready for clicks, what its defect is called, and what a network is told of it."""

    category: str
    kind: str
    frame: Frame
    prepared: Prepared
    mask: NDArray[np.bool_]
    words: Words | None = None


@torch.inference_mode()
def open_images(predictor: Predictor, categories: Sequence[Category], limit: int) -> list[Opened]:
    """Up to ``limit`` defect images of each product, matched with its defect-free images as a server does it."""
    found = []
    for category in tqdm(categories, desc="opening"):
        bank = [predictor.encode(read_rgb(file)) for file in category.good()]
        descriptors = np.stack([b.descriptor.numpy() for b in bank]) if bank else np.zeros((0, 1), np.float32)
        usual = []
        for i, one in enumerate(bank if len(bank) > 1 else []):
            nearest = predictor.retrieve(one.descriptor.numpy(), descriptors, left_out=i)
            usual.append(predictor.usual(one, [bank[j] for j in nearest]))
        normal = {name: float(np.mean([u[name] for u in usual])) for name in usual[0]} if usual else None
        pairs = category.defects()
        for i in np.unique(np.linspace(0, len(pairs) - 1, min(limit, len(pairs))).round().astype(int)):
            pixels, mask = read_rgb(pairs[i][0]), read_mask(pairs[i][1])
            image = predictor.encode(pixels)
            nearest = predictor.retrieve(image.descriptor.numpy(), descriptors) if bank else []
            prepared = predictor.prepare(image, [bank[j] for j in nearest], normal).kept()
            frame = Frame.of(mask.shape[0], mask.shape[1], predictor.long_side)
            found.append(Opened(category.name, pairs[i][0].parent.name, frame, prepared, mask))
    return found


def mean_ious(predictor: Predictor, images: Sequence[Opened]) -> NDArray[np.float64]:
    """(CLICKS,): IoU after each click in the middle of the largest error, mean over images, then products."""
    products: dict[str, list[list[float]]] = {}
    for image in images:
        answer = partial(predict, predictor, image.prepared, image.frame, words=image.words)
        mask_of = partial(Prediction.mask, frame=image.frame)
        simulated = islice(simulate_clicks(image.mask, answer, mask_of), CLICKS)
        ious = [iou(mask_of(found), image.mask) for _, found in simulated]
        ious += (CLICKS - len(ious)) * (ious[-1:] or [iou(np.zeros_like(image.mask), image.mask)])
        products.setdefault(image.category, []).append(ious)
    return np.asarray(np.mean([np.mean(rows, 0) for rows in products.values()], 0))


def run(
    predictor: Predictor,
    variants: Sequence[str],
    seeds: Sequence[int],
    samples: Sequence[Sample],
    clean: frozenset[str],
    images: Sequence[Opened],
    config: ClickTraining,
    folder: Path,
) -> Iterator[dict[str, Any]]:
    """Train and measure what ``folder/results.jsonl`` lacks; yields its rows as they come.

    Args:
        predictor: of the backbone that the samples and images were seen with, and of the number format; it is left
            with the network that was trained last.
        variants: keys of ``VARIANTS``.
        seeds: of weights, samples and clicks.
        samples: to train on.
        clean: sets whose licence is stated, and "drawn".
        images: to measure on.
        config: of every training, but for what a variant changes.
        folder: for results and checkpoints.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = {(row["variant"], row["seed"]) for row in read(folder)}
    for seed in seeds:
        for name in variants:
            if (name, seed) in done:
                continue
            trainer, vocabulary = _trained(
                VARIANTS[name],
                seed,
                samples,
                clean,
                images,
                config,
                folder / f"{name}-{seed}".replace(" ", "-"),
                predictor.format.name,
            )
            predictor.network, predictor.temperature = trainer.ema.eval(), TEMPERATURE
            rows = [
                {
                    "variant": measured,
                    "seed": seed,
                    "steps": trainer.step,
                    "ious": [round(float(v), 4) for v in mean_ious(predictor, seen)],
                }
                for measured, seen in _told(name, images, vocabulary)
            ]
            with (folder / "results.jsonl").open("a") as file:
                file.write("".join(json.dumps(row) + "\n" for row in rows))
            yield from rows


def _trained(
    variant: Variant,
    seed: int,
    samples: Sequence[Sample],
    clean: frozenset[str],
    images: Sequence[Opened],
    config: ClickTraining,
    folder: Path,
    asked: str,
) -> tuple[ClickTrainer, Vocabulary | None]:
    """A variant after its training, and the words for all kinds of defects if it hears them."""
    settings = replace(config, seed=seed, **dict(variant.changes))
    shown = [s for s in samples if not variant.clean or s.category.split("/")[0] in clean]
    sampler, sizes = Sampler(shown, settings.synthetic_share), LiteConfig(**dict(variant.network))
    network: LiteClickNetwork
    source: SampleFiles
    torch.manual_seed(seed)
    if variant.words:
        vocabulary = builtin_vocabulary({*(s.kind for s in samples), *(i.kind for i in images)})
        network, source = TextConditionedNetwork(sizes), TextConditionedSamples(sampler, vocabulary)
    else:
        vocabulary = None
        network, source = Blinded(columns(*variant.without), sizes), SampleFiles(sampler)
    trainer = ClickTrainer(network, source, settings, folder, asked=asked)
    trainer.run()
    return trainer, vocabulary


def _told(
    name: str, images: Sequence[Opened], vocabulary: Vocabulary | None
) -> Iterator[tuple[str, Sequence[Opened]]]:
    """What a variant is measured on: with words, once with the right ones and once with those that say nothing."""
    if vocabulary is None:
        yield name, images
        return
    for measured, said in ((name, None), (f"{name}, asked for {NAMELESS}", NAMELESS)):
        yield (
            measured,
            [replace(image, words=vocabulary.averages([said or image.kind])) for image in images],
        )


def read(folder: Path) -> list[dict[str, Any]]:
    """The rows of all finished trainings."""
    file = folder / "results.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
