"""From good images to a checkpoint of detectors: the part of "Start Training" that needs no label."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoint.backbone_id import packaged_behind
from model.checkpoint.manifest import PACKAGED, manifest_path
from model.checkpoint.sources import SAMPLING, fingerprint
from model.detectors.checkpoint import DetectorCheckpoint, Part, write_detector
from model.detectors.eyes import BackboneEyes, Eyes, Image
from model.detectors.methods import METHODS, PRESETS
from model.detectors.patchcore import PatchCoreBanks
from model.detectors.residual import RESIDUAL_NAME
from model.features.backbones import channels_of
from model.features.number_format import AUTO
from model.interactive.predictor import Predictor
from model.labels.generated import GeneratedImage
from model.segmentation.detector import PACKAGED_NAME
from model.segmentation.detector_predictor import DetectorPredictor
from model.segmentation.scenes import Scenes
from model.training.detectors.good_images import GoodImages, painted_on, split
from model.training.detectors.held_out import HeldOut
from model.training.detectors.recipes import RECIPES, TINY
from model.training.detectors.settings import DetectorTraining
from model.training.detectors.trainer import DetectorTrainer
from model.training.distributed import ALONE, Worker
from model.training.progress import Cancelled, Progress

PATCHCORE = "patchcore"
"""The name of the detector that is fitted, and not trained."""

WORTH_COMBINING = 0.75
"""A detector that finds less than this share of what the best one finds, by its pixel AP, would spoil their mean."""


def train_detector(
    references: Mapping[str, Sequence[Image]],
    out: Path,
    *,
    version: str,
    methods: Sequence[str] = TINY,
    config: DetectorTraining | None = None,
    click: Path = PACKAGED,
    resume: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
    asked: str = AUTO,
    generated: Sequence[GeneratedImage] = (),
) -> dict[str, Any]:
    """Train detectors behind the backbone of a click network, one after the other, and write one checkpoint of them.

    It also holds the detectors that learn nothing. The one that serves is the one that does best on images that were
    kept back, with synthetic defects drawn on them.

    Args:
        references: product -> its good images, (H, W, 3) uint8 RGB.
        out: ``.safetensors`` to write, its manifest beside it.
        version: name of the checkpoint.
        methods: names of the detectors, of :data:`model.training.detectors.recipes.RECIPES`, or "patchcore".
        config: settings.
        click: checkpoint of the click network.
        resume: file beside which the state of each interrupted training is kept.
        report: told where the training stands.
        cancelled: asked often whether to stop.
        asked: the number format that is asked for (:mod:`model.features.number_format`).
        generated: images with generated defects, from which OneNIP learns beside its pseudo-anomalies.

    Returns:
        What the manifest says of the training: settings; of each detector that was trained its steps, seconds and
        held-out checks; of each that the checkpoint holds its measures on images that were kept back (``held_out``);
        ``notes``, sentences for a person.

    Raises:
        ValueError: too little to train from, or there is no such detector; the message says what is missing.
        FloatingPointError: the loss is not a number any more.
        Cancelled: ``cancelled`` said so.
    """
    _known(methods, packaged=True)
    eyes = Predictor(click, asked=asked)
    return train_behind(
        eyes,
        references,
        out,
        version=version,
        methods=methods,
        config=config,
        resume=resume,
        report=report,
        cancelled=cancelled,
        asked=asked,
        generated=generated,
    )


def train_behind(
    eyes: Eyes,
    references: Mapping[str, Sequence[Image]],
    out: Path,
    *,
    version: str,
    methods: Sequence[str],
    config: DetectorTraining | None = None,
    resume: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
    asked: str = AUTO,
    worker: Worker = ALONE,
    generated: Sequence[GeneratedImage] = (),
) -> dict[str, Any]:
    """The same behind any backbone; one that is not packaged is written into the checkpoint.

    Args:
        eyes: what sees the images.
        worker: this process among those that train together; the first one checks, writes and speaks.
        references, out, version, methods, config, resume, report, cancelled, asked, generated: see
            :func:`train_detector`.
    """
    run = _Run(config or DetectorTraining(), resume, report, cancelled, worker)
    good, held_out, methods, said = _prepared(run, eyes, references, methods, generated)
    trained = [name for name in methods if name in RECIPES]
    parts = []
    for number, name in enumerate(trained):
        part, said["detectors"][name] = _learned(run, name, good, held_out, number, len(trained))
        parts.append(part)
    if worker.first:
        run.go_on(Progress("evaluating", 0.0))
        if PATCHCORE in methods:
            banks = PatchCoreBanks.fitted(
                {product: good.encoded(product) for product in good.images}, seed=run.config.seed
            )
            parts.append(_part(PATCHCORE, PATCHCORE, banks))
        parts += [Part(name, name) for name in _unlearned(eyes)]
        checkpoint = DetectorCheckpoint(
            version, eyes.backbone_id, eyes.long_side, parts, [parts[0].name], backbone=_backbone(eyes)
        )
        write_detector(out, _judged(checkpoint, out, held_out, said, run, asked))
        for name in trained:
            run.forget(name)
        report(Progress("evaluating", 1.0))
    return said


@dataclass(frozen=True)
class _Run:
    """One training: how, where half of it is kept, whom it tells, who may stop it, and which of its processes this is.

    Attributes:
        config, resume, report, cancelled: see :func:`train_detector`.
        worker: see :func:`train_behind`.
    """

    config: DetectorTraining
    resume: Path | None
    report: Callable[[Progress], None]
    cancelled: Callable[[], bool]
    worker: Worker

    def go_on(self, progress: Progress) -> None:
        """Say how far it is.

        Raises:
            Cancelled: somebody wants it to end.
        """
        if self.cancelled():
            raise Cancelled("The training was cancelled.")
        if self.worker.first:
            self.report(progress)

    def state(self, name: str) -> Path | None:
        """The state of the training of one detector; None when half a training is not kept."""
        if self.resume is None:
            return None
        return self.resume.with_name(f"{self.resume.stem}-{name}{self.resume.suffix}")

    def forget(self, name: str) -> None:
        """Delete the state of the training of one detector."""
        if (state := self.state(name)) is not None:
            state.unlink(missing_ok=True)


def _prepared(
    run: _Run,
    eyes: Eyes,
    references: Mapping[str, Sequence[Image]],
    methods: Sequence[str],
    generated: Sequence[GeneratedImage],
) -> tuple[GoodImages, HeldOut, list[str], dict[str, Any]]:
    """The images that are learned from and those that are kept back, for which detectors they are enough, and what is
    said of all that in the checkpoint.
    """
    config, read = run.config, 0

    def reading() -> None:
        nonlocal read
        run.go_on(Progress("preparing", 0.5 * min(1.0, read / total)))
        read += 1

    train, kept_back, notes = split(references, config, reading)
    total = sum(len(train[product]) + len(kept_back[product]) for product in train)
    enough, lacking = _enough(methods, total)
    notes += lacking
    good = GoodImages(eyes, train, Scenes(eyes, train), painted_on(generated, train))
    held_out = HeldOut(
        good.scenes,
        kept_back if run.worker.first else {},
        config.defects,
        config.seed,
        lambda share: run.go_on(Progress("preparing", 0.5 + 0.5 * share)),
    )
    if not held_out.held and run.worker.first:
        notes.append(
            "There is one good image of each product, so that none could be kept back: nothing says how good the "
            "detectors are, or what is usual on good images. Add at least one more."
        )
    said: dict[str, Any] = {
        "settings": asdict(config),
        "images": {product: len(images) for product, images in train.items()},
        "kept_back": {product: len(images) for product, images in kept_back.items()},
        "detectors": {},
        "notes": notes,
    }
    if good.generated:
        said["generated"] = len(good.generated)
    return good, held_out, enough, said


def _learned(
    run: _Run, name: str, good: GoodImages, held_out: HeldOut, number: int, count: int
) -> tuple[Part, dict[str, Any]]:
    """One detector, the ``number``-th of ``count``, and how its training went.

    Raises:
        Cancelled: somebody wanted it to end; its state is kept.
    """
    trainer = _trainer(run, name, good, held_out)

    def training(share: float, loss: float | None, checked: float | None) -> None:
        metrics = {} if checked is None else {name: checked}
        run.go_on(Progress("training", (number + share) / count, loss, metrics))

    if not trainer.run(training, run.cancelled):
        raise Cancelled("The training was cancelled.")
    return _part(name, PRESETS[name].method, trainer.best), {
        "steps": trainer.step,
        "seconds": round(trainer.seconds, 1),
        "loss": trainer.loss,
        "checks": [[step, round(found, 4)] for step, found in trainer.curve],
    }


def _part(name: str, method: str, network: Any) -> Part:
    """A network as a checkpoint holds it."""
    return Part(name, method, asdict(network.config), network.state_dict())


def _unlearned(eyes: Eyes) -> list[str]:
    """The detectors that learn nothing: they compare an image with references as the click network sees both."""
    if not isinstance(eyes, Predictor):
        return []
    networks = packaged_behind(eyes.backbone_id)
    return (
        [RESIDUAL_NAME] if networks is None or not networks.seg.exists() else [RESIDUAL_NAME, PACKAGED_NAME]
    )


def _judged(
    checkpoint: DetectorCheckpoint,
    out: Path,
    held_out: HeldOut,
    said: dict[str, Any],
    run: _Run,
    asked: str,
) -> DetectorCheckpoint:
    """The same with what the images that were kept back say of it: what is usual, how good each part is, which serves.

    The parts are looked at as they are read from a file, at half precision. What the check says is added to ``said``.
    """
    so_far = out.with_name(f"so-far-{out.name}")
    try:
        write_detector(so_far, checkpoint)
        predictor = DetectorPredictor(so_far, str(run.worker.device), asked)
    finally:
        for file in (so_far, manifest_path(so_far)):
            file.unlink(missing_ok=True)
    steps, measures, calibration = len(predictor.detectors) + 1, {}, {}
    for number, (name, detector) in enumerate(predictor.detectors.items(), 1):
        run.go_on(Progress("evaluating", number / steps))
        measures[name] = {key: round(value, 4) for key, value in held_out.measure(detector).items()}
    said["held_out"] = measures
    found = {name: measure.get("pixel_ap", 0.0) for name, measure in measures.items()}
    best = max(found, key=found.__getitem__)
    together = [name for name in found if found[name] >= WORTH_COMBINING * found[best]]
    for product in said["kept_back"]:
        if scenes := held_out.good(product):
            calibration[product] = predictor.calibrate(product, scenes, together)
    return replace(checkpoint, serves=[best], calibration=calibration, training=said)


def _known(methods: Sequence[str], packaged: bool) -> None:
    """Refuse names that are none, and detectors that need another backbone than the packaged one."""
    there = [*(name for name in RECIPES if not (packaged and PRESETS[name].timm)), PATCHCORE]
    unknown = [name for name in methods if name not in there]
    if unknown or not methods:
        named = f"{unknown[0]!r:.60}" if unknown else "none at all"
        raise ValueError(f"There is no detector {named} to be trained here; there are: {', '.join(there)}.")


def _enough(methods: Sequence[str], images: int) -> tuple[list[str], list[str]]:
    """The detectors for which there are images enough, and what is said of the others."""
    if not images:
        raise ValueError(
            "There is nothing to learn from: detectors learn from defect-free images, and there is none. Add at least "
            "one."
        )
    enough = [name for name in methods if name not in RECIPES or RECIPES[name].least <= images]
    lacking = list(
        dict.fromkeys(RECIPES[n].lacking.format(images=images) for n in methods if n not in enough)
    )
    if not enough:
        raise ValueError(" ".join(lacking))
    return enough, lacking


def _trainer(run: _Run, name: str, good: GoodImages, held_out: HeldOut) -> DetectorTrainer:
    """What trains one detector, or goes on with it."""
    config, worker = run.config, run.worker
    preset, recipe, behind = PRESETS[name], RECIPES[name], good.eyes.backbone_id
    method = METHODS[preset.method]
    torch.manual_seed(config.seed)
    network = method.network(preset.config.behind(_channels(good.eyes), behind.name))
    learner = recipe.learner(network, good, config, worker, run.cancelled)

    def judge() -> float:
        detector = method.detector(name, learner.network, behind, good.eyes.long_side, str(worker.device))
        return held_out.measure(detector)["pixel_ap"]

    return DetectorTrainer(
        name,
        learner,
        config,
        config.steps or recipe.steps,
        judge if held_out.held else None,
        run.state(name),
        _identity(name, good, config, worker),
        worker,
    )


def _identity(name: str, good: GoodImages, config: DetectorTraining, worker: Worker) -> str:
    """What an interrupted training must agree in to be gone on with: code, sizes, settings, backbone, images."""
    seen = sha256()
    for product in good.images:
        seen.update(f"{product}\n".encode())
        for encoded in good.encoded(product):
            seen.update(encoded.descriptor.float().cpu().numpy().tobytes())
    sizes = asdict(PRESETS[name].config)
    for image in good.generated:
        seen.update(f"{image.product} {image.host} {image.name}\n".encode())
    parts = [name, sizes, asdict(config), list(good.eyes.backbone_id), worker.count, seen.hexdigest()]
    return json.dumps([fingerprint(("detectors", *SAMPLING)), *parts])


def _channels(eyes: Eyes) -> Mapping[int, int]:
    """Stride -> channels of the backbone."""
    if isinstance(eyes, BackboneEyes):
        return eyes.backbone.channels
    return channels_of(eyes.backbone_id.name)


def _backbone(eyes: Eyes) -> Mapping[str, Tensor]:
    """The state of a backbone that is written into the checkpoint; a click network's is with that."""
    if isinstance(eyes, BackboneEyes):
        return eyes.backbone.state_dict()  # type: ignore[attr-defined, no-any-return]
    return {}
