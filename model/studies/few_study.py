"""What generated defects are worth where few are labelled: the same training with them, and without."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from model.datasets.mvtec import Category
from model.detectors.detector import Scene
from model.features.number_format import AUTO
from model.generation.anogen.examples import Example
from model.generation.anogen.generator import Generator
from model.interactive.predictor import Predictor
from model.labels.generated import GeneratedImage
from model.segmentation.detector_predictor import DetectorPredictor
from model.studies.generated_pictures import Series, Trusted, painted_once, safe
from model.studies.label_study import Split, highest, named_right, score, type_maps
from model.studies.results import append, missing, read
from model.training.detectors.project import train_detector
from model.training.detectors.settings import DetectorTraining
from model.training.segmentation.project import train_segmentation
from model.training.segmentation.trainer import SegTraining

ONENIP = "onenip-tiny"

NORMAL = 8
"""References that train as normal images, at most."""


@dataclass(frozen=True)
class Arm:
    """What trains beside a few labelled images.

    Attributes:
        pasted: labelled defects on references.
        drawn: defects that are drawn.
        generated: defects that a generator painted, of which this is believed; None: none.
        onenip: OneNIP is trained instead of ADClick-Seg: from references, and from what is generated.
    """

    pasted: bool = False
    drawn: bool = False
    generated: Trusted | None = None
    onenip: bool = False


COMPARED_WITH = "labels + drawn"
"""What the arms of ADClick-Seg are compared with."""

ONENIP_ALONE = "OneNIP"
"""What the arms of OneNIP are compared with."""

ARMS = {
    "labels alone": Arm(),
    "labels + pasting": Arm(pasted=True),
    COMPARED_WITH: Arm(drawn=True),
    "labels + pasting + drawn": Arm(pasted=True, drawn=True),
    "labels + AnoGen, boxes": Arm(generated="box"),
    "labels + AnoGen, masks": Arm(generated="mask"),
    "all together": Arm(pasted=True, drawn=True, generated="box"),
    ONENIP_ALONE: Arm(onenip=True),
    "OneNIP + AnoGen, boxes": Arm(onenip=True, generated="box"),
}
"""What is compared, by name."""


@dataclass(frozen=True)
class Few:
    """The conditions of a comparison: results of others are left alone.

    Attributes:
        few: labelled images of each type.
        pictures: synthetic defects of each source for each type.
        steps: of training a run.
    """

    few: int = 3
    pictures: int = 16
    steps: int = 150


class FewLabels:
    """A product with a few labelled images of each type; all else is measured on.

    Args:
        split: of the product.
        generator: learns the types from the labelled images, and paints them on the references.
        few: conditions.
        folder: for samples, pictures and checkpoints, shared by all arms.
        seed: of all randomness.
    """

    def __init__(self, split: Split, generator: Generator, few: Few, folder: Path, seed: int):
        self.split, self.generator, self.few, self.folder, self.seed = split, generator, few, folder, seed
        self.types = sorted({defect.type for defect in split.train})

    @cached_property
    def series(self) -> list[Series]:
        """The generated pictures of all types."""
        place = self.folder / f"generated-{safe(self.generator.name)}"
        return [
            painted_once(
                self.generator,
                type,
                [Example(d.pixels, d.mask) for d in self.split.train if d.type == type],
                self.split.references,
                self.few.pictures,
                place,
                self.seed,
            )
            for type in self.types
        ]

    def measure(self, arm: Arm) -> dict[str, Any]:
        """Train one arm and measure it.

        Returns:
            ``ap``, ``pro``, ``pixel_auroc``, ``image_auroc``, ``type`` as :func:`model.studies.label_study.measure`
            has them; ``labelled`` and ``tested``: defect images of each; ``samples``: how many of each source; seconds
            of training; of an arm with generated pictures, the seconds that its types and pictures took.
        """
        generated: list[GeneratedImage] = []
        if arm.generated:
            generated = [p.training(arm.generated) for one in self.series for p in one.pictures]
        found = self._onenip(generated) if arm.onenip else self._seg(arm, generated)
        found |= {"labelled": len(self.split.train), "tested": len(self.split.test)}
        if arm.generated:
            found["generator"] = self.generator.name
            found["learning"] = [one.learning for one in self.series]
            found["painting"] = [one.painting for one in self.series]
            found["refused"] = [one.refused for one in self.series if one.refused]
        return found

    def _seg(self, arm: Arm, generated: Sequence[GeneratedImage]) -> dict[str, Any]:
        count = self.few.pictures * len(self.types)
        config = SegTraining(
            steps=self.few.steps,
            seed=self.seed,
            enough=len(self.split.train) + 1,  # the arm says what trains beside them
            synthetic=count * arm.drawn,
            pasted=count * arm.pasted,
            generated=len(generated),
            normal=NORMAL,
            patience=1.0,
        )
        weights, resume = self.folder / "seg.safetensors", self.folder / "last.safetensors"
        resume.unlink(missing_ok=True)  # of a run that was ended: each is measured whole
        about = train_segmentation(
            self.split.labels("masks"),
            {"": self.split.references},
            weights,
            version="study",
            config=config,
            words=self.folder / "words",
            resume=resume,
            asked=self.split.predictor.format.name,
            generated=generated,
        )
        maps = type_maps(self.split, weights)
        found: dict[str, Any] = score(self.split, highest(maps))
        if len(self.types) > 1:
            found["type"] = named_right(self.split.test, maps)
        return found | {"samples": about["samples"], "seconds": about["seconds"]}

    def _onenip(self, generated: Sequence[GeneratedImage]) -> dict[str, Any]:
        weights = self.folder / "onenip.safetensors"
        config = DetectorTraining(seed=self.seed, checks=2, defects=1)
        about = train_detector(
            {"": self.split.references},
            weights,
            version="study",
            methods=(ONENIP,),
            config=config,
            asked=self.split.predictor.format.name,
            generated=generated,
        )
        detector = DetectorPredictor(weights, asked=self.split.predictor.format.name).detectors[ONENIP]
        bank = self.split.bank
        maps = [
            detector.look(Scene("", frame, image, bank.nearest(image, None), prepared)).map
            for image, prepared, frame in self.split.tested
        ]
        samples = {"normal": about["images"][""], "generated": about.get("generated", 0)}
        seconds = about["detectors"][ONENIP]["seconds"]
        return {**score(self.split, maps), "samples": samples, "seconds": seconds}


def comparable(results: Sequence[Mapping[str, Any]], few: Few, generator: str) -> list[dict[str, Any]]:
    """The results under the same conditions, those with generated pictures by the generator of this name."""
    return [
        dict(row)
        for row in results
        if all(row.get(name) == value for name, value in asdict(few).items())
        and row.get("generator", generator) == generator
    ]


def run(
    categories: Sequence[Category],
    out: Path,
    splits: int,
    names: Sequence[str],
    samples: Path,
    generator: Generator,
    few: Few,
    asked: str = AUTO,
) -> Iterator[dict[str, Any]]:
    """Measure what ``out`` does not hold yet under these conditions, one JSON line a result; yields each new one.

    Args:
        categories: products with at least eight defect-free images.
        out: ``.jsonl``.
        splits: divisions of each product.
        names: of :data:`ARMS`.
        samples: folder for what is painted, and for what is prepared while a product is measured.
        generator: of the pictures.
        few: the conditions.
        asked: the number format that is asked for (:mod:`model.features.number_format`).
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    there = comparable(read(out), few, generator.name)
    predictor = Predictor(asked=asked)
    for number, category, wanted in missing(there, categories, splits, names):
        with torch.inference_mode():
            split = Split(category, number, predictor, few.few)
        place = samples / category.name / f"{number}-few-{few.few}-{few.pictures}"
        product = FewLabels(split, generator, few, place, number)
        for name in wanted:
            started = time.monotonic()
            found = product.measure(ARMS[name])
            result = {"product": category.name, "split": number, "setting": name, **asdict(few), **found}
            result["wall"] = round(time.monotonic() - started, 1)
            append(out, result)
            yield result
        shutil.rmtree(place / "samples", ignore_errors=True)  # a gigabyte; the pictures stay
