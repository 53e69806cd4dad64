"""From labelled images and references to an ADClick-Seg checkpoint: what "Start Training" does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint.backbone_id import backbone_of
from model.checkpoint.described import SEG_PRESET
from model.checkpoint.files import part_of, read_weights
from model.checkpoint.manifest import PACKAGED, PACKAGED_SEG, manifest_path, read_manifest
from model.features.number_format import AUTO, number_format
from model.interactive.encoded_references import fingerprint
from model.interactive.predictor import Predictor
from model.labels.generated import GeneratedImage
from model.labels.labelled import DEFECT, LabelledImage
from model.language.encoders import text_encoder
from model.language.prompts import builtin_prompts
from model.language.vocabulary import Vocabulary
from model.segmentation.checkpoint import write_seg
from model.segmentation.inputs import views_behind
from model.segmentation.network import ADClickSeg, SegConfig, start_from_clicks
from model.segmentation.predictor import smooth, type_logits
from model.segmentation.type_head import TypeHead, examples, given, learn_types
from model.training.progress import Cancelled, Progress
from model.training.segmentation.batches import GENERATED, SegSampler, read_inputs, read_targets
from model.training.segmentation.calibration import calibrate
from model.training.segmentation.samples import SampleWriter, SegSample
from model.training.segmentation.trainer import SegTrainer, SegTraining

JUDGED = (0.0, 0.25, 0.5, 0.75)  # shares of the training at which the network is judged


def train_segmentation(
    images: Sequence[LabelledImage],
    references: Mapping[str, Sequence[NDArray[np.uint8]]],
    out: Path,
    *,
    version: str,
    config: SegTraining | None = None,
    prompts: Mapping[str, Sequence[str]] | None = None,
    words: Path | None = None,
    click: Path = PACKAGED,
    start: Path = PACKAGED_SEG,
    resume: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
    judge: Callable[[Path], Mapping[str, float]] | None = None,
    asked: str = AUTO,
    generated: Sequence[GeneratedImage] = (),
) -> dict[str, Any]:
    """Train ADClick-Seg for one project and write its checkpoint.

    Args:
        images: labelled images, and images known to be free of defects.
        references: product -> its defect-free images, (H, W, 3) uint8 RGB.
        out: ``.safetensors`` to write, its manifest beside it.
        version: name of the checkpoint.
        config: settings.
        prompts: defect type -> phrases that describe it; default: built-in ones.
        words: folder in which encoded phrases are kept from one training to the next; None: they are not.
        click: checkpoint of a click network; what is trained sees with its backbone.
        start: weights to start from, of a segmentation network or of a click network behind the same backbone.
        resume: file for the state of an interrupted training; the samples are kept in a folder beside it.
        report: told where the training stands.
        cancelled: asked often whether to stop.
        judge: asked at each of `JUDGED` how good the network is, given the checkpoint that it would be if the training
            ended there; its measures are reported.
        asked: the number format that is asked for (:mod:`model.features.number_format`).
        generated: images with generated defects. They train, and nothing else: masks are cut and types are named by
            what is real. With fewer than two references of a product there is nothing to compare them with, and they
            are left out.

    Returns:
        What the manifest says of the training: settings, counts, loss, and ``notes``, sentences for a person.

    Raises:
        ValueError: too little to train from; the message says what is missing.
        FloatingPointError: the loss is not a number any more.
        Cancelled: ``cancelled`` said so.
    """
    config, behind = config or SegTraining(), backbone_of(click, read_manifest(click))
    _check(images, references, generated)

    def go_on(progress: Progress) -> None:
        if cancelled():
            raise Cancelled("The training was cancelled.")
        report(progress)

    with _sample_folder(resume) as folder:
        samples = prepare_samples(images, references, folder, config, go_on, asked, click, generated)
        types = sorted({t for s in samples for t in s.kinds} - {DEFECT}) or [DEFECT]
        phrases = {t: list((prompts or {}).get(t, ())) or builtin_prompts(t) for t in {*types, DEFECT}}
        vocabulary = Vocabulary(text_encoder(words), phrases)
        network = new_network(vocabulary, config, start)
        sampler = SegSampler(samples, dict(config.shares), config.others, config.generated_share)
        trainer = SegTrainer(network, sampler, vocabulary, config, resume)
        marks = list(JUDGED)

        def go_on_training(share: float, loss: float) -> None:
            measures: Mapping[str, float] = {}
            if judge is not None and marks and share >= marks[0]:
                marks[:] = [mark for mark in marks if mark > share]
                so_far = out.with_name(f"so-far-{trainer.step}.safetensors")
                shifts = calibrate(trainer.ema, vocabulary, types, samples)
                write_seg(so_far, trainer.ema, vocabulary, types, shifts, version, {}, behind=behind)
                with torch.random.fork_rng(devices=[]):  # who is watched learns the same
                    measures = judge(so_far)
                for file in (so_far, manifest_path(so_far)):
                    file.unlink()
            report(Progress("training", share, loss, measures))

        finished = trainer.run(go_on_training, cancelled)
        if not finished:
            raise Cancelled("The training was cancelled.")
        go_on(Progress("evaluating", 0.0))
        shifts = calibrate(trainer.ema, vocabulary, types, samples)
        go_on(Progress("evaluating", 0.5))
        head = new_head(trainer.ema, vocabulary, types, samples)
        about = {
            "settings": asdict(config),
            "number_format": number_format(asked).name,
            "steps": trainer.step,
            "seconds": round(trainer.seconds, 1),
            "ignored": round(trainer.ignored, 4),
            "samples": {source: sum(s.source == source for s in samples) for source in sampler.sources},
            "notes": notes(images, references),
        }
        write_seg(out, trainer.ema, vocabulary, types, shifts, version, about, head, behind=behind)
    if resume is not None:
        resume.unlink(missing_ok=True)
    report(Progress("evaluating", 1.0))
    return about


def _check(
    images: Sequence[LabelledImage],
    references: Mapping[str, Sequence[NDArray[np.uint8]]],
    generated: Sequence[GeneratedImage],
) -> None:
    """Refuse what cannot be learned from, in a sentence."""
    defects = sum(bool(image.labels) for image in images)
    most = max((len(r) for r in references.values()), default=0)
    if not defects and most < 2:
        raise ValueError(
            f"There is nothing to learn from: {defects} images with a labelled defect and {most} references. "
            "Label at least one defect, or add at least two defect-free references."
        )
    if most < 2 and all("tag" in {label.kind for label in image.labels.values()} for image in images):
        raise ValueError(
            f"Nothing says where a defect is: in each of the {len(images)} labelled images a choice names one that may "
            f"be anywhere, and of no product there are two references (at most: {most}). Accept the mask of a clicked "
            "defect, or add at least two defect-free references."
        )
    for image in generated:
        there = len(references.get(image.product, ()))
        if image.host is not None and not 0 <= image.host < there:
            raise ValueError(
                f"The generated image {image.name} says that it was painted on reference {image.host}, and there are "
                f"{there} of its product. Generate it again."
            )


@contextmanager
def _sample_folder(resume: Path | None) -> Iterator[Path]:
    """Where the samples are kept: beside the resume file, or only while training."""
    if resume is not None:
        yield resume.with_name("samples")
        return
    with TemporaryDirectory(prefix="adclick-samples-") as folder:
        yield Path(folder)


def prepare_samples(
    images: Sequence[LabelledImage],
    references: Mapping[str, Sequence[NDArray[np.uint8]]],
    folder: Path,
    config: SegTraining,
    go_on: Callable[[Progress], None],
    asked: str = AUTO,
    click: Path = PACKAGED,
    generated: Sequence[GeneratedImage] = (),
) -> list[SegSample]:
    """Write the sample files of all products; those that are there already are kept.

    Args:
        images: see :func:`train_segmentation`.
        references: see :func:`train_segmentation`.
        folder: one folder a product is made in it.
        config: how many samples of each source.
        go_on: told the progress before each sample; may raise.
        asked: the number format that is asked for.
        click: see :func:`train_segmentation`.
        generated: see :func:`train_segmentation`; of more than the settings allow, some of each type.
    """
    predictor = Predictor(click, asked=asked)
    names = sorted({i.product for i in images} | {n for n, r in references.items() if len(r)})
    samples: list[SegSample] = []
    some = _some_of_each(generated, config.generated)
    for p, product in enumerate(names):
        own = list(references.get(product, ()))
        mine = [i for i in images if i.product == product]
        go_on(Progress("preparing", p / len(names)))
        place = folder / f"product-{p}-{fingerprint(own)}"
        writer = SampleWriter(place, predictor, product, own, config.seed)
        painted = [i for i in some if i.product == product]
        plan = _plan(writer, mine, painted, len(own), config, len(names))
        for done, make in enumerate(plan):
            go_on(Progress("preparing", (p + done / len(plan)) / len(names)))
            sample = make()
            samples += [sample] if sample else []
    return samples


def _some_of_each(generated: Sequence[GeneratedImage], most: int) -> list[GeneratedImage]:
    """The first images of each type of each product, as many of one as of the other, at most ``most`` together."""
    seen: Counter[tuple[str, str]] = Counter()
    turns = []
    for image in generated:
        kind = (image.product, image.type)
        turns.append(seen[kind])
        seen[kind] += 1
    order = sorted(range(len(generated)), key=lambda i: turns[i])
    return [generated[i] for i in sorted(order[:most])]


def _plan(
    writer: SampleWriter,
    images: Sequence[LabelledImage],
    generated: Sequence[GeneratedImage],
    references: int,
    config: SegTraining,
    products: int,
) -> list[Callable[[], SegSample | None]]:
    """The samples of one product, each as the call that makes it."""
    rng = np.random.default_rng(config.seed)
    plan: list[Callable[[], SegSample | None]] = [lambda i=i: writer.labelled(i) for i in images]  # type: ignore[misc]
    if references < 2:  # a reference alone has nothing to be compared with
        return plan
    for i in rng.permutation(references)[: max(1, config.normal // products)]:
        plan.append(lambda i=int(i): writer.normal(i))  # type: ignore[misc]
    if sum(image.has_mask for image in images) < config.enough:
        for n in range(max(min(1, config.synthetic), config.synthetic // products)):
            plan.append(lambda n=n: writer.synthetic(n % references, n // references))  # type: ignore[misc]
        donors = [i for i in images if i.labels]
        for n in range(min(config.pasted // products, 6 * len(donors))):
            host = int(rng.integers(references))
            plan.append(lambda n=n, h=host: writer.pasted(donors[n % len(donors)], h, n // len(donors)))  # type: ignore[misc]
    return plan + [lambda i=i: writer.generated(i) for i in generated]


def new_network(vocabulary: Vocabulary, config: SegTraining, start: Path = PACKAGED_SEG) -> ADClickSeg:
    """The network that training starts from: pre-trained across products, or the click network's U-Net, or random."""
    torch.manual_seed(config.seed)
    manifest = read_manifest(start)
    views = views_behind(manifest["backbone"])
    network = ADClickSeg(SegConfig(words=vocabulary.width, views=views))
    if not config.pretrained:
        return network
    state = read_weights(start)
    if manifest["preset"] == SEG_PRESET:
        # The words of another encoder would mean nothing. What is not loaded stays silent: its gate is closed.
        if not config.words or manifest["encoder"] != vocabulary.encoder:
            state = {k: v for k, v in state.items() if not k.startswith("language.")}
        network.load_state_dict({k: v for k, v in state.items() if not k.startswith("words.")}, strict=False)
    else:
        start_from_clicks(network, part_of(state, "network"))
    return network


@torch.no_grad()
def new_head(
    network: ADClickSeg, vocabulary: Vocabulary, types: Sequence[str], samples: Sequence[SegSample]
) -> TypeHead | None:
    """What names the type of a region, learned from the labelled regions; None where there is but one type to name."""
    if len(types) < 2:
        return None
    states, present = vocabulary.averages([DEFECT])
    named: list[str] = []
    described: list[list[NDArray[np.float32]]] = []
    for sample in samples:
        if not sample.kinds or DEFECT in sample.kinds or sample.source == GENERATED:
            continue
        seen, targets = read_inputs(sample), read_targets(sample)
        found = np.zeros_like(next(iter(targets.values()))[1])
        if sample.source == "labelled":
            found = smooth(type_logits(network, seen, states, present)[0]) > 0
        for name, description in examples(given(seen), targets, found):
            named.append(name)
            described.append(description)
    if not named:
        return None
    with torch.enable_grad():
        return learn_types(described, torch.tensor([types.index(name) for name in named]), len(types))


def notes(
    images: Sequence[LabelledImage], references: Mapping[str, Sequence[NDArray[np.uint8]]]
) -> list[str]:
    """What a training of this size cannot do, in sentences for a person."""
    found = []
    counts: dict[str, int] = {}
    for image in images:
        for name in image.labels:
            counts[name] = counts.get(name, 0) + 1
    lone = sorted(name for name, count in counts.items() if count == 1)
    if lone:
        found.append(
            f"Only one image shows {', '.join(lone)}: its look is learned, but not how much it varies. "
            "Expect misses on defects that look different, and label at least five."
        )
    if not counts:
        found.append(
            "No defect is labelled yet: the model knows drawn defects only, and its one type is 'defect'."
        )
    if max((len(r) for r in references.values()), default=0) < 2:
        found.append(
            "There are fewer than two references of every product: nothing says what is normal, so the model cannot be "
            "calibrated and may see defects everywhere. Add at least eight defect-free images."
        )
    if counts and not any(image.has_mask for image in images):
        found.append(
            "All labels are boxes or tags: where a defect ends is a guess. Accept a few masks by clicking."
        )
    return found
