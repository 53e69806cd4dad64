"""How much better clicks are answered once the click network was adapted to a product: before, and after.

Half of the defects of each type are labelled by simulated clicks and learned from; the others are clicked through, by
the centre of the largest error, as they are in use: with windows, without jitter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.checkpoint.manifest import PACKAGED
from model.clicks import Click, simulate_clicks
from model.datasets.mvtec import Category
from model.evidence.prepared import Prepared
from model.features.number_format import AUTO
from model.interactive.answer import Answer, answer
from model.interactive.predictor import Predictor
from model.interactive.zoom import Window
from model.labels.labelled import LabelledImage, WeakLabel
from model.labels.weak import strengthen
from model.metrics.masks import iou
from model.studies.label_study import CLICK_RADIUS_SHARE, Defect, Split
from model.studies.results import append
from model.training.interactive.adaptation import Adaptation, adapt_click_network
from model.training.interactive.adaptation_samples import LOOKED_AT

SHOWN = (1, 2, 3, 5)
"""Numbers of clicks after which the mean IoU is measured."""

BEFORE, SYNTHETIC, LABELLED = "packaged", "adapted without labels", "adapted"


class Tested:
    """A test image, encoded once, that any click network of one backbone can be tried on."""

    def __init__(self, split: Split, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]):
        self.mask, predictor, bank = mask, split.predictor, split.bank
        image = predictor.encode(pixels)
        nearest = predictor.retrieve(image.descriptor.numpy(), bank.descriptors)
        prepared = predictor.prepare(image, [bank.encoded[i] for i in nearest], bank.normal)
        self.prepared = prepared.kept()
        self.frame = Frame.of(pixels.shape[0], pixels.shape[1], predictor.long_side)
        similar = [bank.pixels[i] for i in nearest[:LOOKED_AT]]

        def look(window: Window) -> Prepared:
            return predictor.look(pixels, window, similar).kept()

        self.look = lru_cache(64)(look)

    @torch.inference_mode()
    def clicked(self, predictor: Predictor) -> Iterator[tuple[list[Click], Answer]]:
        """Clicks on the centre of the largest error, and the answer after each."""

        def answered(given: Sequence[Click], before: Answer | None) -> Answer:
            return answer(predictor, self.prepared, self.frame, given, before, self.look)

        yield from islice(simulate_clicks(self.mask, answered, Answer.mask), SHOWN[-1])

    def ious(self, predictor: Predictor) -> list[float]:
        """The IoU after each click."""
        found = [iou(seen.mask(), self.mask) for _, seen in self.clicked(predictor)]
        return found + [found[-1] if found else 1.0] * (SHOWN[-1] - len(found))

    def label(self, predictor: Predictor) -> WeakLabel:
        """The label that a person leaves who accepts the last of these answers (Eq. 8)."""
        *_, (clicks, seen) = self.clicked(predictor)
        height, width = self.mask.shape
        probability = cv2.resize(seen.probability, (width, height), interpolation=cv2.INTER_LINEAR)
        radius = CLICK_RADIUS_SHARE * max(height, width)
        target = strengthen(np.asarray(probability, np.float32), clicks, radius)
        return WeakLabel("clicked", target, np.zeros_like(self.mask))


def measure(tested: Sequence[Tested], predictor: Predictor) -> dict[str, float]:
    """The mean IoU after each of :data:`SHOWN` clicks, by their number."""
    curves = np.array([one.ious(predictor) for one in tested])
    return {str(count): float(curves[:, count - 1].mean()) for count in SHOWN}


def _labelled(split: Split, defect: Defect) -> LabelledImage:
    """A training image with the label of as many clicks as are measured."""
    label = Tested(split, defect.pixels, defect.mask).label(split.predictor)
    return LabelledImage(defect.name, lambda: defect.pixels, {defect.type: label})


def run(
    categories: Sequence[Category],
    out: Path,
    splits: int,
    start: Path = PACKAGED,
    config: Adaptation | None = None,
    asked: str = AUTO,
) -> Iterator[dict[str, Any]]:
    """Measure the products one by one; yields a result for each setting of each and writes it into ``out``.

    Args:
        categories: products with at least two defect-free images.
        out: ``.jsonl``.
        splits: divisions of each product.
        start: checkpoint of the click network that is adapted.
        config: settings of the adaptation.
        asked: the number format that is asked for (:mod:`model.features.number_format`).
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    predictor = Predictor(start, asked=asked)
    for number in range(splits):
        for category in categories:
            with torch.inference_mode():
                split = Split(category, number, predictor)
                tested = [Tested(split, defect.pixels, defect.mask) for defect in split.test]
                labelled = [_labelled(split, defect) for defect in split.train]
            for name, images in ((BEFORE, None), (SYNTHETIC, []), (LABELLED, labelled)):
                about: Mapping[str, Any] = {}
                network = predictor
                if images is not None:
                    weights = out.with_name("adapted.safetensors")
                    about = adapt_click_network(
                        images,
                        {"": split.references},
                        weights,
                        version="study",
                        start=start,
                        config=config,
                        asked=asked,
                    )
                    network = predictor.with_network(weights)
                result = {
                    "product": category.name,
                    "split": number,
                    "setting": name,
                    **measure(tested, network),
                }
                result["seconds"] = about.get("seconds")
                append(out, result)
                yield result
