"""Trainings that take no time: a trainer that writes a few bytes, and an engine that sees as well as they say."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_backend.clicks.near import Near
from adclick_backend.engine.bank import ImageKey, ReferenceBank
from adclick_backend.engine.click_answers import Segmentation
from adclick_backend.store.proposal_source import TRAINED, ProposalSource, parts_of
from adclick_backend.training.job import Trainers
from model.clicks import Click
from model.labels.labelled import LabelledImage
from tests.helpers.backend import Backend
from tests.helpers.fake_engine import FakeEngine, Pixels, red_masks
from tests.helpers.labels import annotated, brush, choice
from tests.helpers.versions import candidate, click_candidate, detector_candidate

Maps = dict[str, NDArray[np.float32]]


class TrainingEngine(FakeEngine):
    """Sees the ``quality`` share of each defect's rows, as the weights say; without weights 0.3.

    After clicks it marks the share of the clicked pixels' rows that the click network says; without one 0.5.
    """

    def click(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Callable[[], Pixels],
        clicks: Sequence[Click],
        weights: Path | None = None,
        phrases: Sequence[str] = (),
        begun: NDArray[np.bool_] | None = None,
        near: Near | None = None,
    ) -> Segmentation:
        found = super().click(key, bank, load, clicks, weights, phrases, begun, near)
        quality = 0.5 if weights is None else json.loads(weights.read_bytes())["clicks"]
        rows = np.flatnonzero(found.mask.any(axis=1))
        kept = np.zeros_like(found.mask)
        kept[rows[: round(quality * len(rows))]] = True
        return replace(found, mask=found.mask & kept)

    def defects(self, pixels: Pixels) -> dict[str, NDArray[np.bool_]]:
        """Where there is something to be found, by type."""
        return red_masks(pixels)

    def maps(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Callable[[], Pixels],
        asked: ProposalSource | None = None,
    ) -> Maps:
        self._maybe_fail()
        pixels = load()
        source = self.source(bank, asked)
        weights = None if asked is None else asked.detector if parts_of(source) else asked.trained
        quality: float | None = 0.3
        if weights is not None and (source == TRAINED or parts_of(source)):
            quality = json.loads(weights.read_bytes())["quality"]
        found: Maps = {"scratch": np.zeros(pixels.shape[:2], np.float32)}
        for name, mask in self.defects(pixels).items():
            rows = np.flatnonzero(mask.any(axis=1))
            seen = np.zeros(mask.shape, np.float32)
            kept = rows[: round((0.0 if quality is None else quality) * len(rows))]
            seen[kept] = mask[kept]
            found[name] = seen if quality is not None else np.full(mask.shape, np.nan, np.float32)
        return found


class UnusualEngine(TrainingEngine):
    """The same of whatever is not as grey as the rest of the image: drawn defects, say."""

    def defects(self, pixels: Pixels) -> dict[str, NDArray[np.bool_]]:
        usual = np.median(pixels.reshape(-1, 3), axis=0)
        return {"defect": np.asarray(np.abs(pixels - usual).max(axis=2) > 6)}


def trainer(
    quality: float | None = 0.9, *, steps: int = 3, pause: float = 0.0, error: Exception | None = None
) -> Trainers:
    """Trainers whose version finds the `quality` share of defects; None: its maps are NaN.

    Args:
        quality: in [0, 1].
        steps: reports of the stage "training".
        pause: seconds between them.
        error: raised half way.
    """

    def train(
        images: Sequence[LabelledImage],
        references: Mapping[str, Sequence[Pixels]],
        out: Path,
        *,
        version: str,
        report: Callable[[Any], None],
        cancelled: Callable[[], bool],
        judge: Callable[[Path], Mapping[str, float]],
        **more: Any,
    ) -> Mapping[str, Any]:
        most = max((len(each) for each in references.values()), default=0)
        if not any(image.labels for image in images) and most < 2:
            raise ValueError("There is nothing to learn from: label at least one defect.")
        report(SimpleNamespace(stage="preparing", share=0.0, loss=None, metrics={}))
        for step in range(steps):
            time.sleep(pause)
            if error is not None and step == steps // 2:
                raise error
            so_far = candidate(out.parent / f"so-far-{step}", json.dumps({"quality": quality}).encode())
            metrics = judge(so_far / "weights.safetensors")
            shutil.rmtree(so_far)
            report(
                SimpleNamespace(stage="training", share=step / steps, loss=1.0 / (step + 1), metrics=metrics)
            )
        content = json.dumps({"quality": quality, "images": sorted(image.name for image in images)})
        candidate(out.parent, content.encode(), version=version, training={"seed": 0})
        report(SimpleNamespace(stage="evaluating", share=1.0, loss=None, metrics={}))
        return {}

    return Trainers(train, adapter(), detectors())


def detectors(
    quality: float | None = None, error: Exception | None = None
) -> Callable[..., Mapping[str, Any]]:
    """A trainer of a detector that finds the `quality` share of defects; without one there is nothing to learn from.

    Args:
        quality: in [0, 1].
        error: raised by it.
    """

    def fit(
        references: Mapping[str, Sequence[Pixels]],
        out: Path,
        *,
        version: str,
        resume: Path,
        report: Callable[[Any], None],
        **more: Any,
    ) -> Mapping[str, Any]:
        report(SimpleNamespace(stage="preparing", share=0.0, loss=None, metrics={}))
        if error is not None:
            resume.with_name(f"{resume.stem}-invad-tiny{resume.suffix}").write_bytes(b"half a training")
            raise error
        if quality is None:
            raise ValueError("InvAD learns from two good images or more, and there is one.")
        report(SimpleNamespace(stage="training", share=0.5, loss=1.0, metrics={"ap": 0.5}))
        content = json.dumps({"quality": quality, "references": {p: len(i) for p, i in references.items()}})
        detector_candidate(out.parent, content.encode(), version=version, products=sorted(references))
        return {}

    return fit


def adapter(quality: float = 0.5, error: Exception | None = None) -> Callable[..., Mapping[str, Any]]:
    """A trainer of a click network that marks the `quality` share of a defect's rows after each click.

    Args:
        quality: in [0, 1]; without a click network of its own a project is answered with 0.5.
        error: raised by it.
    """

    def adapt(
        images: Sequence[LabelledImage],
        references: Mapping[str, Sequence[Pixels]],
        out: Path,
        *,
        version: str,
        resume: Path,
        report: Callable[[Any], None],
        **more: Any,
    ) -> Mapping[str, Any]:
        report(SimpleNamespace(stage="preparing", share=0.0))
        if error is not None:
            resume.mkdir(parents=True, exist_ok=True)
            raise error
        report(SimpleNamespace(stage="training", share=0.5))
        click_candidate(out.parent, json.dumps({"clicks": quality}).encode(), version=version)
        return {}

    return adapt


def label_images(backend: Backend, count: int = 6, *, normal: int = 2, first: int = 1) -> None:
    """Annotate images with one red square each, and images without as normal."""
    backend.setup()
    for number in range(first, first + count + normal):
        defective = number < first + count
        blobs = [(20 + number % 3 * 8, 20, 180 + number % 3)] if defective else []
        url = backend.draw(f"{number}.png", blobs, grey=60 + number)
        mask = np.zeros((48, 64), bool)
        for x, y, _ in blobs:
            mask[y - 4 : y + 4, x - 4 : x + 4] = True
        data = {"id": number, "data": {"image": url}}
        result = [brush(mask)] if defective else [choice("normal")]
        backend.webhook("ANNOTATION_CREATED", annotation=annotated(number, result), task=data)
