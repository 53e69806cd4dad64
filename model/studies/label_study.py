"""How good ADClick-Seg becomes from which labels: true masks, masks clicked with ADClick, or none at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.checkpoint.manifest import PACKAGED_SEG
from model.checkpoint.ranges import check_changes, check_names
from model.clicks import simulate_clicks
from model.datasets.mvtec import Category, read_mask, read_rgb
from model.detectors.patchcore import PatchCore
from model.evidence.prepared import Prepared
from model.features.encoding import Encoded
from model.features.number_format import AUTO
from model.interactive.encoded_references import EncodedReferences
from model.interactive.prediction import Prediction, predict
from model.interactive.predictor import Predictor
from model.labels.labelled import LabelledImage, WeakLabel, painted
from model.labels.weak import strengthen
from model.metrics.ranking import image_auroc, rank_pixels
from model.segmentation.predictor import SegPredictor
from model.studies.results import append, missing, read
from model.training.segmentation.project import train_segmentation
from model.training.segmentation.trainer import SegTraining

CLICK_RADIUS_SHARE = 0.006  # ρ of Eq. 8, as a share of the longer side: 3 px at 512
JITTER = (
    0.006  # standard deviation of the simulated clicks, the same share: people do not hit the exact middle
)
MOST_GOOD = 10  # defect-free images held back for the test, at most
MOST_REFERENCES = 30
METRIC_SIDE = 256  # longer side of the maps that are ranked, pixels

LABELS = ("masks", "5", "3", "none")
"""What a training may learn from: true masks, the masks after so many clicks, or nothing."""


@dataclass(frozen=True)
class Setting:
    """A training that is compared with others.

    Attributes:
        labels: one of ``LABELS``.
        changes: settings of :class:`model.training.segmentation.project.SegTraining` that differ.
    """

    labels: str
    changes: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        check_names(self, "labels", [self.labels], LABELS)
        check_changes(self, "changes", self.changes, SegTraining)


SETTINGS = {
    "true masks": Setting("masks"),
    "5 clicks": Setting("5"),
    "3 clicks": Setting("3"),
    "no labels": Setting("none"),
    "5 clicks, no abandon band": Setting("5", (("band", (0.0, 0.0)),)),
    "5 clicks, no words": Setting("5", (("words", False),)),
    "5 clicks, no pre-training": Setting("5", (("pretrained", False),)),
}
"""What is compared, by name."""

PATCHCORE = "PatchCore"
UNTRAINED = "packaged, not trained"


@dataclass(frozen=True)
class Defect:
    """A defect image: pixels (H, W, 3) uint8, true mask (H, W) bool, type."""

    name: str
    type: str
    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]


class Split:
    """One product, divided: some of the defects of each type train, the others and held-back good images test.

    All images are brought to the size of the smallest: where the references are smaller than the defect images,
    sharpness alone would tell them apart.

    Args:
        category: the product.
        seed: of the division.
        predictor: of the clicks.
        few: defects of each type that train; where a type has no more, all but one. None: half of them.
    """

    def __init__(self, category: Category, seed: int, predictor: Predictor, few: int | None = None):
        self.category, self.predictor = category, predictor
        rng = np.random.default_rng(seed)
        pairs, good = category.defects(), category.good()
        paths = [image for image, _ in pairs] + good
        side = min(max(read_rgb(p).shape[:2]) for p in paths)
        self.train, self.test = self._divide(pairs, side, rng, few)
        order = [good[i] for i in rng.permutation(len(good))]
        held = min(MOST_GOOD, max(2, len(order) // 4))
        self.good = [_shrink(read_rgb(p), side) for p in order[:held]]
        self.references = [_shrink(read_rgb(p), side) for p in order[held:]][:MOST_REFERENCES]

    @staticmethod
    def _divide(
        pairs: Sequence[tuple[Path, Path]], side: int, rng: np.random.Generator, few: int | None
    ) -> tuple[list[Defect], list[Defect]]:
        train: list[Defect] = []
        test: list[Defect] = []
        for name in sorted({image.parent.name for image, _ in pairs}):
            own = [pair for pair in pairs if pair[0].parent.name == name]
            training = len(own) / 2 if few is None else min(few, len(own) - 1)
            for place, i in enumerate(rng.permutation(len(own))):
                image, mask = own[i]
                pixels, truth = read_rgb(image), read_mask(mask).astype(np.float32)
                defect = Defect(
                    f"{name}-{image.stem}", name, _shrink(pixels, side), _shrink(truth, side) > 0.5
                )
                (train if place < training else test).append(defect)
        return train, test

    @cached_property
    def bank(self) -> EncodedReferences:
        """The references, encoded."""
        return EncodedReferences(self.predictor, self.references)

    @cached_property
    def tested(self) -> list[tuple[Encoded, Prepared, Frame]]:
        """The test images, defects first, encoded and compared with the references."""
        found = []
        for pixels in [*(d.pixels for d in self.test), *self.good]:
            image = self.predictor.encode(pixels)
            prepared = self.predictor.prepare(image, self.bank.nearest(image, None), self.bank.normal)
            frame = Frame.of(pixels.shape[0], pixels.shape[1], self.predictor.long_side)
            found.append((image, prepared, frame))
        return found

    def labels(self, signal: str) -> list[LabelledImage]:
        """The training images with the labels of one signal: ``masks``, ``none``, or a number of clicks."""
        if signal == "none":
            return []
        labelled = []
        for defect in self.train:
            label = painted(defect.mask) if signal == "masks" else self._clicked[defect.name][int(signal)]
            load: Callable[[], NDArray[np.uint8]] = lambda d=defect: d.pixels  # type: ignore[misc]  # noqa: E731
            labelled.append(LabelledImage(defect.name, load, {defect.type: label}, ""))
        return labelled

    @cached_property
    def _clicked(self) -> dict[str, dict[int, WeakLabel]]:
        """For each training image, the label after 3 and after 5 clicks."""
        rng = np.random.default_rng(0)
        return {
            defect.name: click_labels(self.predictor, self.bank, defect, (3, 5), rng) for defect in self.train
        }


def click_labels(
    predictor: Predictor,
    bank: EncodedReferences,
    defect: Defect,
    counts: tuple[int, ...],
    rng: np.random.Generator,
) -> dict[int, WeakLabel]:
    """ADClick's label of a defect after given numbers of simulated clicks, each on the largest error (Eq. 8)."""
    height, width = defect.mask.shape
    frame, prepared = Frame.of(height, width, predictor.long_side), bank.prepare(defect.pixels)
    answer = partial(predict, predictor, prepared, frame)
    mask_of = partial(Prediction.mask, frame=frame)
    side = max(height, width)
    seen = list(islice(simulate_clicks(defect.mask, answer, mask_of, rng, JITTER * side), max(counts)))
    found = {}
    for number in counts if seen else ():
        clicks, view = seen[min(number, len(seen)) - 1]
        probability = cv2.resize(view.probability, (width, height), interpolation=cv2.INTER_LINEAR)
        target = strengthen(np.asarray(probability, np.float32), clicks, CLICK_RADIUS_SHARE * side)
        found[number] = WeakLabel("clicked", target, np.zeros_like(defect.mask))
    return found


def measure(split: Split, name: str, folder: Path, steps: int, seed: int) -> dict[str, float]:
    """Train with one of :data:`SETTINGS` (or fit a PatchCore) and measure on the test images.

    Returns:
        ``ap``, ``pro``, ``pixel_auroc``, ``image_auroc`` in [0, 1]; when types were trained, ``type``: the share of
        the defect images whose type is named right; ``steps`` and ``seconds`` of training.
    """
    if name == PATCHCORE:
        core = PatchCore.fitted(split.bank.encoded)
        return score(split, [core.map(image) for image, _, _ in split.tested])
    if name == UNTRAINED:
        return score(split, highest(type_maps(split, PACKAGED_SEG)))
    setting = SETTINGS[name]
    config = replace(
        SegTraining(steps=steps, seed=seed, synthetic=8, pasted=8, normal=8, patience=1.0),
        **dict(setting.changes),
    )
    weights = folder / "seg.safetensors"
    resume = folder / "last.safetensors"  # gives the samples a folder that the next signal uses again
    resume.unlink(missing_ok=True)
    about = train_segmentation(
        split.labels(setting.labels),
        {"": split.references},
        weights,
        version="study",
        config=config,
        resume=resume,
        asked=split.predictor.format.name,
    )
    maps = type_maps(split, weights)
    found = {**score(split, highest(maps)), "steps": about["steps"], "seconds": about["seconds"]}
    return {**found, "type": named_right(split.test, maps)} if len(maps[0]) > 1 else found


def type_maps(split: Split, weights: Path) -> list[dict[str, NDArray[np.float32]]]:
    """The maps of the types of the test images."""
    seg = SegPredictor(weights, asked=split.predictor.format.name)
    return [seg.maps(prepared, frame) for _, prepared, frame in split.tested]


def highest(maps: Sequence[Mapping[str, NDArray[np.float32]]]) -> list[NDArray[np.float32]]:
    """The map of Eq. 7 of each image: the maximum over the types."""
    return [np.maximum.reduce(list(types.values())) for types in maps]


def named_right(defects: Sequence[Defect], maps: Sequence[Mapping[str, NDArray[np.float32]]]) -> float:
    """The share of defect images in which the right type's map is the brightest over the true mask, in [0, 1]."""
    right = 0
    for defect, types in zip(defects, maps, strict=False):  # the good images come last
        height, width = next(iter(types.values())).shape
        inside = cv2.resize(defect.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        bright = {name: float((found * inside).sum()) for name, found in types.items()}
        right += max(bright, key=bright.__getitem__) == defect.type
    return right / len(defects)


def score(split: Split, maps: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """The four measures of some score maps of the test images, ranked at ``METRIC_SIDE``."""
    truth = [d.mask for d in split.test] + [np.zeros(g.shape[:2], bool) for g in split.good]
    small_maps, small_truth = [], []
    for found, mask in zip(maps, truth, strict=True):
        small = _shrink(found, METRIC_SIDE)
        small_maps.append(small)
        sized = cv2.resize(mask.astype(np.float32), small.shape[::-1], interpolation=cv2.INTER_AREA)
        small_truth.append(np.asarray(sized > 0.5))
    ranking = rank_pixels(small_maps, small_truth)
    return {
        "ap": ranking.average_precision,
        "pro": ranking.per_region_overlap(),
        "pixel_auroc": ranking.auroc,
        "image_auroc": image_auroc([float(m.max()) for m in maps], [bool(m.any()) for m in truth]),
    }


def run(
    categories: Sequence[Category],
    out: Path,
    splits: int,
    steps: int,
    names: Sequence[str],
    samples: Path,
    asked: str = AUTO,
) -> Iterator[dict[str, Any]]:
    """Measure what ``out`` does not hold yet, one JSON line a result; yields each new one.

    Args:
        categories: products with at least eight defect-free images.
        out: ``.jsonl``.
        splits: divisions of each product.
        steps: of training a run: time would favour whatever runs while the machine is idle.
        names: of :data:`SETTINGS`, :data:`UNTRAINED` and :data:`PATCHCORE`.
        samples: folder for the prepared images.
        asked: the number format that is asked for (:mod:`model.features.number_format`).
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    predictor = Predictor(asked=asked)
    for number, category, wanted in missing(read(out), categories, splits, names):
        with torch.inference_mode():
            split = Split(category, number, predictor)
        for name in wanted:
            started = time.monotonic()
            folder = samples / category.name / str(number)
            found = measure(split, name, folder, steps, number)
            result = {"product": category.name, "split": number, "setting": name, **found}
            result["wall"] = round(time.monotonic() - started, 1)
            append(out, result)
            yield result


def _shrink(image: NDArray[Any], side: int) -> NDArray[Any]:
    """An image whose longer side is at most ``side``."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
