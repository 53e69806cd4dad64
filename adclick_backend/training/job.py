"""A training from its labels to a version that serves: collect, hold out, train, compare, publish, activate."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adclick_backend.answers.loadable import loadable_version
from adclick_backend.jobs.control import JobControl, JobFailed
from adclick_backend.jobs.files import JobFiles
from adclick_backend.labels.since_training import note_learned
from adclick_backend.labels.sync import sync
from adclick_backend.services import Services
from adclick_backend.store.disk import is_full
from adclick_backend.store.proposal_source import (
    AUTOMATIC,
    NOTHING,
    TRAINED,
    ProposalSource,
    parts_of,
    words_of_source,
)
from adclick_backend.store.version import CLICKS, DETECTOR, WEIGHTS, Version
from adclick_backend.training.click_adaptation import ClickAdaptation, describe
from adclick_backend.training.click_verdict import ClickVerdict
from adclick_backend.training.combined_version import serve_clicks_of
from adclick_backend.training.comparison_pictures import (
    draw_click_pictures,
    draw_pictures,
    draw_source_pictures,
)
from adclick_backend.training.detector_fitting import fit_detectors, notes_of
from adclick_backend.training.generated_part import GeneratedPart
from adclick_backend.training.generated_trial import Attempt, Outcome, train_with_generated
from adclick_backend.training.holdout import Split, split, trained_on
from adclick_backend.training.memory import halved, train_within_memory
from adclick_backend.training.promotion import Comparison, Look, compare, measure
from adclick_backend.training.reference_pixels import read_references
from adclick_backend.training.source_trial import Trial
from adclick_backend.training.training_set import TrainingSet, build_training_set, key_of, whole
from adclick_backend.training.trial_images import TrialImages, choose_trial_images
from adclick_backend.training.tried_sources import TriedSources
from model.checkpoint.atomic import write_atomically
from model.checkpoint.backbone_id import start_of_training
from model.checkpoint.manifest import read_manifest
from model.checkpoint.sources import SAMPLING, fingerprint
from model.labels.labelled import DEFECT, LabelledImage

if TYPE_CHECKING:
    from model.training.progress import Progress

log = logging.getLogger(__name__)

Train = Callable[..., Mapping[str, Any]]
Phrases = dict[str, list[str]]  # of each defect type

BEFORE = "before any training"
"""What a first version is compared with."""

JUDGED_IMAGES = 6
"""Held-out images of each sort that a network is judged by while it is trained, for the curve that a person watches."""

ENOUGH_LABELLED = 10
"""Images with a labelled defect beyond which no detectors are trained, minutes that a person waits, unless masks come
from one: the trained network then knows the project's own defects."""

STAGES = {"preparing": (0.3, 0.38), "training": (0.38, 0.6), "evaluating": (0.6, 0.62)}
"""Where the stages of the trainer of segmentation lie in the progress of the job; after them come the detectors, and
then all is judged."""


@dataclass(frozen=True)
class Trainers:
    """What trains the networks of a version.

    Attributes:
        segmentation: ``model.training.segmentation.project.train_segmentation``.
        clicks: ``model.training.interactive.adaptation.adapt_click_network``.
        detectors: ``model.training.detectors.project.train_detector``.
    """

    segmentation: Train
    clicks: Train
    detectors: Train


@dataclass(frozen=True)
class Ending:
    """How a job went well: a sentence for a person, and the version that came out of it, if one did."""

    sentence: str
    version: str = ""


class TrainingJob:
    """One training of one project. See `run`.

    Args:
        project: project id.
        services: of this process.
        control: of the job.
        trainers: those of the model by default.
    """

    def __init__(
        self, project: str, services: Services, control: JobControl, trainers: Trainers | None = None
    ) -> None:
        self._project = project
        self._services = services
        self._control = control
        self._trainers = trainers or _trainers()
        self._files = JobFiles(services.settings.data_dir)
        self._candidate = self._files.candidate(project, control.job.id)
        self._name = services.registry.new_name(project)
        self._read_at = 0.0  # when the labels were read, Unix seconds

    def run(self) -> Ending:
        """Train; answer how it went.

        Raises:
            JobFailed: too few labels, the trainer refuses, or the training could only fail.
            JobCancelled: somebody cancelled the job.
            FloatingPointError: the loss is not a number any more.
            OSError: a file cannot be written; the disk is full, say.
        """
        if refusal := self._services.engine.untrainable:
            raise JobFailed(refusal)
        data = self._collect()
        phrases = self._phrases(data)
        serving = loadable_version(self._project, self._services.registry, self._services.engine)
        part = GeneratedPart.of_project(self._project, self._services, data)
        chosen = split(data.images, trained_on(serving) | part.learned_from)
        trial_images = choose_trial_images(data, chosen)
        if (known := self._trained_before(data, phrases, trial_images, part)) is not None:
            note_learned(self._services.store, self._project, self._read_at)
            return Ending(known)
        clicks = ClickAdaptation(
            self._project, self._services, self._control, serving, chosen, self._trainers.clicks
        )
        generated, no_detectors = self._fit(data, chosen, phrases, clicks, trial_images, part)
        sources = TriedSources(self._project, self._services, self._candidate, trial_images)
        trial = self._try(sources, data)
        comparison = self._compare(chosen, serving, sources, trial)
        verdict = clicks.judge(self._candidate)
        clicks.settle(verdict, self._candidate)
        made_from = snapshot(data, chosen, phrases, trial_images, part)
        self._describe(made_from, comparison, verdict, serving, trial, generated)
        version = self._services.registry.publish(self._project, self._candidate, self._name)
        parts = [f"Version {version.name} was trained. {comparison.reason}", generated.reason, trial.reason]
        if (choice := self._services.registry.choice(self._project)) not in (AUTOMATIC, trial.serves):
            words = words_of_source(trial.proposes(choice))
            parts.append(f"Masks come from {words}, as somebody chose on the page Versions.")
        cut_before = self._services.registry.shared_source(self._project).by_hand
        if cut_before and comparison.promoted:
            parts.append(
                "Its thresholds are as calibrated: those that somebody set belong to what served before."
            )
        said = " ".join(filter(None, (*parts, no_detectors, verdict.reason)))
        if comparison.promoted:
            self._services.registry.activate(self._project, version.name)
            if self._services.settings.push_after_training:
                self._services.jobs.enqueue(self._project, "push", f"training of {version.name}", again=True)
        elif verdict.adopted:
            said += " " + serve_clicks_of(
                version,
                serving,
                verdict,
                self._services.registry,
                self._project,
                self._candidate.with_name("combined"),
            )
        note_learned(self._services.store, self._project, self._read_at)
        return Ending(said, version.name)

    def _collect(self) -> TrainingSet:
        """The labels as they are now; what Label Studio does not give is taken from the kept copy."""
        words = "Fetching labels and images from Label Studio."
        self._control.report(words, 0.0, "preparing")
        said = sync(
            self._project,
            self._services.labels,
            self._services.store,
            self._services.connections,
            lambda share: self._control.report(words, 0.08 * share, "preparing"),
        )
        self._services.references.follow(self._project, self._services.labels)
        log.info(said)
        self._control.report("Reading the labels.", 0.08, "preparing")
        self._read_at = self._services.store.database.now()
        data = build_training_set(self._project, self._services)
        for sentence in data.skipped:
            log.warning(sentence)
        return data

    def _phrases(self, data: TrainingSet) -> Phrases:
        """What the defect types are described with, and what any defect is."""
        types = {type_ for image in data.images for type_ in image.labels}
        return self._services.prompts.for_labels(self._project, sorted({*types, DEFECT}))

    def _trained_before(
        self, data: TrainingSet, phrases: Phrases, trial: TrialImages, part: GeneratedPart
    ) -> str | None:
        """A sentence when a version was trained on exactly this; many asking for a training cost only one."""
        wanted = {"fingerprint": data.fingerprint, "phrases": phrases, "tried_on": sorted(trial.unseen)}
        for version in self._services.registry.list(self._project):
            known = version.manifest.get("data", {})
            same = {key: known.get(key) for key in wanted} == wanted
            if not version.damage and same and known.get("generated", {}) == part.snapshot:
                state = "serves" if version.serving else "is there to be activated"
                return (
                    f"Nothing has changed since {version.name} was trained, so nothing was done; it {state}."
                )
        return None

    def _fit(
        self,
        data: TrainingSet,
        chosen: Split,
        phrases: Phrases,
        clicks: ClickAdaptation,
        trial: TrialImages,
        part: GeneratedPart,
    ) -> tuple[Outcome, str]:
        """Train all networks; answer what became of generated pictures, and why there are no detectors."""
        named = read_references(data, {image.name for image in chosen.normal} | trial.unseen)
        references = {product: list(images.values()) for product, images in named.items()}
        self._candidate.mkdir(parents=True, exist_ok=True)

        # Half a training goes on with the code and the weights that it was begun with, or it begins again.
        click = self._services.engine.weights
        start = start_of_training(click)
        made_by = {
            "code": fingerprint(SAMPLING),
            "weights": [read_manifest(w)["sha256"] for w in (click, start)],
            "clicks": sorted(image.name for image in clicks.training),
        }
        state = self._files.resume(
            self._project, _digest({**snapshot(data, chosen, phrases, trial, part), **made_by})
        )

        version = self._services.registry.full_name(self._project, self._name)

        def train(attempt: Attempt) -> None:
            judged = [*attempt.split.labelled[:JUDGED_IMAGES], *attempt.split.normal[:JUDGED_IMAGES]]

            def judge(weights: Path) -> Mapping[str, float]:
                return measure(self._look_of(weights), judged) if attempt.split.held_out else {}

            def once(**more: Any) -> None:
                self._trainers.segmentation(
                    attempt.split.training,
                    references,
                    attempt.out,
                    version=version,
                    prompts=phrases,
                    words=self._services.settings.data_dir / "words",
                    click=click,
                    start=start,
                    report=lambda progress: self._report(progress, attempt),
                    cancelled=self._control.cancelled,
                    judge=judge,
                    resume=attempt.resume,
                    asked=self._services.settings.number_format,
                    generated=attempt.generated,
                    **more,
                )

            train_within_memory(once, lambda: once(config=_with_smaller_batches()))

        try:
            clicks.fit(references, self._candidate / CLICKS, version, state.parent / "clicks")
            generated = train_with_generated(
                part,
                chosen,
                named,
                train,
                self._look_of,
                self._candidate / WEIGHTS,
                state,
                lambda sentence: self._control.report(sentence, STAGES["evaluating"][1]),
            )
            no_detectors = self._leaves_out_detectors(data) or fit_detectors(
                self._trainers.detectors,
                references,
                self._candidate / DETECTOR,
                version,
                self._services,
                self._control,
                state.with_name("detectors.safetensors"),
            )
        except Exception as error:
            # What diverged would diverge again; and on a full disk labels need the room of samples.
            if isinstance(error, ArithmeticError) or is_full(error):
                shutil.rmtree(state.parent, ignore_errors=True)
            if isinstance(error, ValueError):
                raise JobFailed(str(error)) from error
            raise
        shutil.rmtree(state.parent, ignore_errors=True)
        return generated, no_detectors

    def _leaves_out_detectors(self, data: TrainingSet) -> str:
        """Why nothing is learned from good images alone, as a sentence; "" when it is."""
        defects = sum(bool(image.labels) for image in data.images)
        registry = self._services.registry
        proposing = registry.proposing(self._project)
        asked = {registry.choice(self._project), proposing.name if proposing else ""} - {AUTOMATIC}
        if defects <= ENOUGH_LABELLED or any(parts_of(name) for name in asked):
            return ""
        return (
            f"Detectors that learn from good images alone were left out, for there are labels enough: {defects} images "
            "with a defect."
        )

    def _report(self, progress: Progress, attempt: Attempt) -> None:
        """Hand on what the trainer reports."""
        first, last = STAGES[progress.stage]
        words = {"preparing": "Preparing images", "training": "Training", "evaluating": "Calibrating"}
        begin, end = STAGES["preparing"][0], STAGES["evaluating"][1]
        done = (first + (last - first) * progress.share - begin) / (end - begin)
        beside = f", {attempt.words} ({attempt.number + 1} of {attempt.of})" if attempt.words else ""
        self._control.report(
            f"{words[progress.stage]}{beside}.",
            begin + (end - begin) * (attempt.number + done) / attempt.of,
            progress.stage,
            loss=progress.loss,
            metrics=progress.metrics,
        )

    def _try(self, sources: TriedSources, data: TrainingSet) -> Trial:
        """Choose what masks of the candidate come from, and draw what each source sees."""
        looks, types = sources.looks(), {type_ for image in data.images for type_ in image.labels}
        trial = sources.decide(
            looks,
            len(types),
            lambda share: self._control.report(
                "Trying the sources of masks.", 0.8 + 0.08 * share, "evaluating"
            ),
        )
        if parts_of(trial.serves):
            describe(self._candidate / DETECTOR, serves=list(parts_of(trial.serves)))
        if len(looks) > 1:
            draw_source_pictures(self._candidate / "pictures", trial, looks)
        return trial

    def _compare(
        self, chosen: Split, serving: Version | None, sources: TriedSources, trial: Trial
    ) -> Comparison:
        """Judge the candidate, and draw where it differs from what serves."""
        registry = self._services.registry
        asked = sources.proposing(trial.proposes(registry.choice(self._project)))
        proposing = None if serving is None else registry.proposing(self._project)
        if (
            proposing is not None
        ):  # networks are compared as they are calibrated, not where a person cuts them
            proposing = proposing.calibrated
        if chosen.labelled:
            judged, look = chosen, self._look
            before = self._look(proposing) if proposing else self._look_before_training(chosen)
        else:  # nobody labelled a defect
            judged, look = sources.split, sources.look
            beside = sources.sources(proposing)
            tried = serving is None and beside <= {
                one.name for one in trial.tried
            }  # the trial has compared them
            before = None if tried or NOTHING in beside else look(proposing)
        candidate = look(asked)
        words = "Comparing the new version with the one that serves."
        comparison = compare(
            candidate,
            before,
            judged,
            lambda share: self._control.report(words, 0.88 + 0.06 * share, "evaluating"),
        )
        scores = {name: value for name, value in comparison.candidate.items() if math.isfinite(value)}
        self._control.report("Drawing the comparison.", 0.94, "evaluating", metrics=scores)
        draw_pictures(self._candidate / "pictures", comparison.images, candidate, before)
        return comparison

    def _look(self, asked: ProposalSource | None) -> Look:
        services = self._services

        def look(image: LabelledImage) -> Mapping[str, NDArray[np.float32]]:
            bank = services.references.bank(self._project, image.product)
            return services.engine.maps(key_of(self._project, image), bank, whole(image), asked)

        return look

    def _look_of(self, weights: Path) -> Look:
        return self._look(ProposalSource(TRAINED, weights))

    def _look_before_training(self, chosen: Split) -> Look | None:
        """What proposes masks before any training, if there are references enough for that."""
        products = {image.product for image in (*chosen.labelled, *chosen.normal)}
        banks = [self._services.references.bank(self._project, product) for product in products]
        fewest = [bank.without(bank.references[0]) if bank.references else bank for bank in banks]
        enough = all(self._services.engine.source(bank, None) != NOTHING for bank in fewest)
        return self._look(None) if enough else None

    def _describe(
        self,
        data: dict[str, Any],
        comparison: Comparison,
        verdict: ClickVerdict,
        serving: Version | None,
        trial: Trial,
        generated: Outcome,
    ) -> None:
        """Write into the candidate's folder what it was made from and how it did."""
        told = comparison.as_json()
        told["candidate"] |= verdict.candidate if verdict.adopted else verdict.serving
        if comparison.serving:
            told["serving"] |= verdict.serving
        describe(
            self._candidate / WEIGHTS,
            created=time.time(),
            base=self._services.engine.version,
            metrics={k: v for k, v in told["candidate"].items() if v is not None},
            data=data,
            source=trial.serves,
        )
        draw_click_pictures(self._candidate / "pictures", verdict.images)
        names = {"version": self._name, "against": serving.name if serving else BEFORE}
        if not comparison.serving:
            names["against"] = ""
        sources = {**trial.as_json(), "notes": notes_of(self._candidate / DETECTOR)}
        told |= {"clicks": verdict.as_json(), "sources": sources, "generated": generated.as_json()}
        write_atomically(self._candidate / "comparison.json", _json({**names, **told}))


def snapshot(
    data: TrainingSet, chosen: Split, phrases: Phrases, trial: TrialImages, part: GeneratedPart
) -> dict[str, Any]:
    """The snapshot that a version was trained on, by content: the same for the same data, wherever and whenever."""
    return {
        "fingerprint": data.fingerprint,
        "images": sorted(image.name for image in chosen.training),
        "held_out": sorted(
            {i.name for i in (*chosen.labelled, *chosen.normal)} - {i.name for i in chosen.training}
        ),
        "references": {product: len(images) for product, images in sorted(data.references.items())},
        "phrases": phrases,
        "tried_on": sorted(trial.unseen),
        "skipped": data.skipped,
        "generated": part.snapshot,
    }


def _trainers() -> Trainers:
    from model.training.detectors.project import train_detector
    from model.training.interactive.adaptation import adapt_click_network
    from model.training.segmentation.project import train_segmentation

    return Trainers(train_segmentation, adapt_click_network, train_detector)


def _with_smaller_batches() -> Any:
    """The default settings of the trainer with half as many crops in a step."""
    from dataclasses import replace

    from model.training.segmentation.trainer import SegTraining

    usual = SegTraining()
    return replace(usual, crops=halved(usual.crops))


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
