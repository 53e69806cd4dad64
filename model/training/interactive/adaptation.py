"""A click network that learns a product: a little training on its labelled images and on defects drawn on it.

The network that ships knows many products and few images of each. From its weights a few hundred steps lead to one that
knows this product; of the way there only a part is gone (WiSE-FT: Wortsman et al., CVPR 2022), which keeps what was
known before. Whether the result may answer clicks is for the caller to judge, by images that it was not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError

from model.checkpoint.files import export
from model.checkpoint.manifest import read_manifest
from model.checkpoint.ranges import NONE_OR_MORE, NOT_NEGATIVE, SHARE, check
from model.features.number_format import AUTO
from model.interactive.encoded_references import Image, fingerprint
from model.interactive.predictor import Predictor
from model.labels.labelled import LabelledImage
from model.training.interactive.adaptation_samples import (
    CLICKED,
    PAINTED,
    SYNTHETIC,
    AdaptationSamples,
    exact,
    is_painted,
)
from model.training.interactive.batches import ClickTraining, SampleFiles, Sampler
from model.training.interactive.samples import Sample
from model.training.interactive.trainer import ClickTrainer
from model.training.progress import Cancelled, Progress

KEPT = ("preset", "backbone", "network", "long_side", "temperature", "previous")
"""What the manifest of an adapted network has from that of the network it started from."""


@dataclass(frozen=True)
class Adaptation:
    """Settings of one adaptation."""

    training: ClickTraining = field(
        default_factory=lambda: ClickTraining(
            steps=200,
            learning_rate=3e-4,
            ema=0.98,
            synthetic_share=0.25,
            thinned=0.0,
            save_seconds=30.0,
            crops=((96, 4, 0.6), (160, 2, 0.4)),
        )
    )
    moved: float = 0.5  # part of the way from the weights at the start to those that were learned
    painted: float = 3.0  # how often an image corrected by hand is drawn, one that was only clicked being 1
    synthetic: int = 16  # references with a drawn defect at most, over all products
    most_labelled: int = 60  # labelled images at most, those corrected by hand first
    windows: int = 60  # of labelled images, over all of them; at least one and at most two of each

    def __post_init__(self) -> None:
        ranges = {"moved": SHARE, "painted": NOT_NEGATIVE}
        check(
            self,
            {**ranges, "synthetic": NONE_OR_MORE, "most_labelled": NONE_OR_MORE, "windows": NONE_OR_MORE},
        )


def adapt_click_network(
    images: Sequence[LabelledImage],
    references: Mapping[str, Sequence[Image]],
    out: Path,
    *,
    version: str,
    start: Path,
    config: Adaptation | None = None,
    resume: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
    asked: str = AUTO,
) -> dict[str, Any]:
    """Adapt a click network to the products of one project and write its checkpoint, without the backbone.

    Args:
        images: labelled images; those with a known mask are learned from.
        references: product -> its defect-free images, (H, W, 3) uint8 RGB.
        out: ``.safetensors`` to write, its manifest beside it.
        version: name of the checkpoint.
        start: checkpoint of the click network to start from, of the preset ``lite``.
        config: settings.
        resume: folder for the samples and the state of an interrupted training; None: neither is kept.
        report: told where the training stands.
        cancelled: asked often whether to stop.
        asked: the number format that is asked for (:mod:`model.features.number_format`).

    Returns:
        What the manifest says of the training: settings, steps, and how many samples there were of each sort.

    Raises:
        ValueError: there is neither a known mask nor a product with two references.
        CheckpointError: the checkpoint to start from cannot be used.
        FloatingPointError: the loss is not a number any more.
        Cancelled: ``cancelled`` said so.
    """
    config = config or Adaptation()
    masked = [image for image in images if exact(image)]
    if not masked and max((len(r) for r in references.values()), default=0) < 2:
        raise ValueError(
            "There is nothing that clicks could be adapted to: no image has an accepted mask, and no product has two "
            "references. Accept a mask, or add at least two defect-free references."
        )

    def go_on(progress: Progress) -> None:
        if cancelled():
            raise Cancelled("The training was cancelled.")
        report(progress)

    with ExitStack() as stack:
        folder = resume or Path(stack.enter_context(TemporaryDirectory(prefix="adclick-clicks-")))
        predictor = Predictor(start, asked=asked)
        samples = _prepare(predictor, masked, references, folder / "samples", config, go_on)
        torch.manual_seed(config.training.seed)  # of what samples go without
        before = {name: weight.clone() for name, weight in predictor.network.state_dict().items()}
        trainer = ClickTrainer(
            predictor.network.requires_grad_(True),
            SampleFiles(Sampler(samples, config.training.synthetic_share, _weights(samples, config))),
            config.training,
            folder,
            asked=asked,
        )
        if resume is not None:
            with suppress(OSError, SafetensorError):  # damaged by a crash: the training starts afresh
                trainer.resume()
        if not trainer.run(lambda share, loss: report(Progress("training", share, loss)), cancelled):
            raise Cancelled("The training was cancelled.")
    learned = trainer.ema.state_dict()
    part_way = {name: weight.lerp(learned[name], config.moved) for name, weight in before.items()}
    trainer.ema.load_state_dict(part_way)
    about = {
        "settings": asdict(config),
        "number_format": trainer.format.name,
        "steps": trainer.step,
        "seconds": round(trainer.seconds, 1),
        "images": len(masked),
        "samples": {group: sum(s.kind == group for s in samples) for group in (PAINTED, CLICKED, SYNTHETIC)},
    }
    export(None, trainer.ema, out, _manifest(start, predictor.backbone_id.sha256, version, about))
    return about


def _manifest(start: Path, backbone: str, version: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """What the checkpoint says of itself: all that the one it started from says of how it looks, and the training."""
    manifest = read_manifest(start)
    kept = {name: manifest[name] for name in KEPT if name in manifest}
    return {
        **kept,
        "version": version,
        "backbone_sha256": backbone,
        "base": manifest["version"],
        "training": about,
    }


def _prepare(
    predictor: Predictor,
    masked: Sequence[LabelledImage],
    references: Mapping[str, Sequence[Image]],
    folder: Path,
    config: Adaptation,
    go_on: Callable[[Progress], None],
) -> list[Sample]:
    """Write the sample files of all products; those that are there already are kept."""
    names = sorted({i.product for i in masked} | {name for name, own in references.items() if len(own)})
    chosen = sorted(masked, key=lambda image: not is_painted(image))[: config.most_labelled]
    windows = min(2, max(1, config.windows // max(1, len(chosen))))
    samples: list[Sample] = []
    for p, product in enumerate(names):
        go_on(Progress("preparing", p / len(names)))
        own = list(references.get(product, ()))
        place = folder / f"product-{p}-{fingerprint(own)}"
        writer = AdaptationSamples(place, predictor, own, config.training.seed, windows)
        plan = [partial(writer.labelled, image) for image in chosen if image.product == product]
        if len(own) > 1:  # a reference alone has nothing to be compared with
            drawn = max(1, config.synthetic // len(names)) if config.synthetic else 0
            plan += [partial(writer.synthetic, n % len(own), n // len(own)) for n in range(drawn)]
        for done, make in enumerate(plan):
            go_on(Progress("preparing", (p + done / len(plan)) / len(names)))
            samples += make()
    if not samples:
        raise ValueError("There is nothing that clicks could be adapted to: every mask is empty.")
    return samples


def _weights(samples: Sequence[Sample], config: Adaptation) -> dict[str, float]:
    """How often groups of samples are drawn: what a person corrected counts most."""
    return {sample.category: config.painted for sample in samples if sample.kind == PAINTED}
