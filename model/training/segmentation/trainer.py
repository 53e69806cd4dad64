"""The training loop of ADClick-Seg: interactive simulation, weak labels, EMA; it can be stopped and resumed."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from model.checkpoint.ranges import (
    BELOW_ONE,
    COUNT,
    NONE_OR_MORE,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SHARE,
    Range,
    check,
    check_names,
    check_value,
    refused,
)
from model.language.vocabulary import Vocabulary
from model.segmentation.network import ADClickSeg, click_maps
from model.training.crops import check_crops
from model.training.losses import IGNORE
from model.training.segmentation.batches import GENERATED, SegBatch, SegSampler, load_batch
from model.training.segmentation.losses import weak_loss
from model.training.segmentation.samples import Source
from model.training.simulation import ClickSimulation
from model.training.state import follow, load_state, read_ahead, read_clock, save_state

SHARED = tuple(source for source in get_args(Source) if source != GENERATED)

BAND = Range(lambda n: 0 <= n <= 0.5, "is no half width of the abandon band, which goes from 0 to 0.5")


@dataclass(frozen=True)
class SegTraining:
    """Settings of one training of ADClick-Seg."""

    steps: int = 240  # the learning rate falls to zero at their end; a busy machine only takes longer
    seed: int = 0
    learning_rate: float = 1e-3
    fresh: float = (
        4.0  # how many times as fast the views and the attention to words learn: they start at zero
    )
    trust: float = 60.0  # the same of the one number that says how far the residual itself is trusted
    weight_decay: float = 0.01
    ema: float = 0.99
    clip: float = 1.0
    cross_entropy: float = 0.5  # beside the focal loss: keeps the 0.5 threshold where it belongs
    band: tuple[float, float] = (0.0, 0.3)  # ε of Eq. 9 is drawn from here at each step; (0, 0): no band
    clicked_share: float = 0.25  # of steps that simulate clicks; in use there are none
    jitter: float = 3.0  # of simulated clicks, working pixels
    others: float = 0.2  # share of labelled samples in which a type is looked for that is not there
    # how often a step draws from each source, generated defects apart
    shares: tuple[tuple[str, float], ...] = (
        ("labelled", 0.4),
        ("pasted", 0.2),
        ("synthetic", 0.2),
        ("normal", 0.2),
    )
    generated_share: float = 0.5  # of the defects, where some are generated
    # (crop side in stride-2 cells, samples a step, share of steps)
    crops: tuple[tuple[int, int, float], ...] = ((96, 6, 0.7), (256, 1, 0.3))
    # Each takes longer to prepare than to learn, and real ones that show where they end are worth more alone.
    enough: int = 8  # images of a product with such labels beside which no defect is drawn or pasted
    synthetic: int = 24  # drawn defects at most, over all products
    pasted: int = 48  # pasted defects at most
    generated: int = 96  # generated defects at most, over all products
    normal: int = 32  # references that train as normal images, at most
    words: bool = True  # pixel-word attention
    views: bool = True  # reduced views of features and residual vectors
    pretrained: bool = True  # start from the packaged weights, else from random ones
    patience: float = 0.5  # share of the training without a lower loss after which it ends
    save_seconds: float = 30.0  # between two writings of the resume file

    def __post_init__(self) -> None:
        check(
            self,
            {
                **dict.fromkeys(("learning_rate", "clip"), POSITIVE),
                **dict.fromkeys(("fresh", "trust", "weight_decay", "cross_entropy", "jitter"), NOT_NEGATIVE),
                **dict.fromkeys(("clicked_share", "others", "patience", "generated_share"), SHARE),
                **dict.fromkeys(("synthetic", "pasted", "generated", "normal"), NONE_OR_MORE),
                "steps": COUNT,
                "enough": COUNT,
                "seed": SEED,
                "ema": BELOW_ONE,
                "band": BAND,
                "save_seconds": NOT_NEGATIVE,
            },
        )
        low, high = self.band
        if low > high:
            raise refused(self, "band", f"{low:g} to {high:g} is empty, the lower end comes first")
        check_names(self, "shares", [source for source, _ in self.shares], SHARED)
        for _, share in self.shares:
            check_value(self, "shares", share, NOT_NEGATIVE)
        if not any(share > 0 for _, share in self.shares):
            raise refused(self, "shares", "they add up to 0, at least one has to be above 0")
        check_crops(self, self.crops)


class SegTrainer:
    """Trains a network on cached samples.

    Args:
        network: changed in place.
        sampler: of the samples.
        vocabulary: the words of the types.
        config: settings.
        resume: file from which an interrupted training goes on, and into which this one writes its state.
    """

    def __init__(
        self,
        network: ADClickSeg,
        sampler: SegSampler,
        vocabulary: Vocabulary,
        config: SegTraining,
        resume: Path | None = None,
    ):
        self.network = network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.language.requires_grad_(config.words)
        self.network.views.requires_grad_(config.views)
        self.ema = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.sampler, self.vocabulary, self.config, self.file = sampler, vocabulary, config, resume
        self.rng = np.random.default_rng(config.seed)
        torch.manual_seed(config.seed)
        self.optimiser = torch.optim.AdamW(self._groups(), weight_decay=config.weight_decay)
        self.step, self.seconds = 0, 0.0
        self.ignored = 0.0  # share of pixels in the abandon band, a running mean
        self._resume()

    def _groups(self) -> list[dict[str, Any]]:
        """The parameters that learn, and how fast."""
        paces = {"views": self.config.fresh, "language": self.config.fresh, "skip": self.config.trust}
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(paces.get(name.split(".")[0], 1.0), []).append(parameter)
        return [{"params": found, "pace": pace} for pace, found in groups.items() if found]

    def run(self, report: Callable[[float, float], None], cancelled: Callable[[], bool]) -> bool:
        """Train until all steps are done or the loss no longer falls.

        Args:
            report: told (share of the steps, mean loss) every few steps.
            cancelled: asked after each step.

        Returns:
            False when it was cancelled; its state is kept then.

        Raises:
            FloatingPointError: the loss is not a number any more.
        """
        losses: list[float] = []
        plateau = Plateau(self.config.patience)
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        for batch in self._batches():
            losses.append(self.train_step(batch))
            self.seconds = time.monotonic() - started
            if cancelled():
                self.save()
                return False
            if len(losses) == 10:
                report(self.progress(), float(np.mean(losses)))
                if plateau.reached(self.progress(), float(np.mean(losses))):
                    break
                losses.clear()
            if time.monotonic() - saved > self.config.save_seconds:
                self.save()
                saved = time.monotonic()
            if self.progress() >= 1:
                break
        return True

    def progress(self) -> float:
        """Share of the training that is over, in [0, 1]."""
        return min(1.0, self.step / max(1, self.config.steps))

    def train_step(self, batch: SegBatch) -> float:
        """One step on one batch; returns its loss."""
        words, present = self.vocabulary.drawn(batch.types, self.rng)
        clicks = None
        if self.rng.random() < self.config.clicked_share:
            clicks = self._simulate(batch, words, present)
        logits = self.network(batch.inputs, words, present, clicks)
        losses = weak_loss(logits, batch.labels, batch.somewhere, self.config.cross_entropy)
        self._update(losses.mean())
        share = float((batch.labels == IGNORE).float().mean())
        self.ignored += (share - self.ignored) / (self.step or 1)
        return float(losses.detach().mean())

    def _simulate(self, batch: SegBatch, words: Tensor, present: Tensor) -> Tensor:
        """Click maps after a first click, and sometimes after one more, on the network's own error."""
        simulation = ClickSimulation(batch.labels[:, 0].numpy(), self.rng, self.config.jitter)
        if self.rng.random() < 0.5:
            with torch.no_grad():
                maps = click_maps(simulation.tensor(), simulation.previous)
                probability = self.network(batch.inputs, words, present, maps).sigmoid()
            simulation.advance(list(range(len(probability))), probability)
        return click_maps(simulation.tensor(), simulation.previous)

    def _update(self, loss: Tensor) -> None:
        warm = min(1.0, (self.step + 1) / 10)
        rate = self.config.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * self.progress()))
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["pace"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"The loss became {float(loss.detach())} at step {self.step}; the training was given up and nothing "
                "was kept. Lower the learning rate, or look for damaged labels."
            )
        self.optimiser.step()
        self.step += 1
        follow(self.ema, self.network, self.config.ema, self.step)

    def _batches(self) -> Iterator[SegBatch]:
        """Batches, loaded by a second thread while the network works on the one before."""
        sizes = self.config.crops
        shares = np.array([share for *_, share in sizes])
        rng = np.random.default_rng([self.config.seed, self.step])

        def load() -> SegBatch:
            size, count, _ = sizes[int(rng.choice(len(sizes), p=shares / shares.sum()))]
            return load_batch(self.sampler, size, count, float(rng.uniform(*self.config.band)), rng)

        return read_ahead(load)

    # --- going on after an interruption

    def _identity(self) -> str:
        """What an interrupted training must agree in to be gone on with."""
        return json.dumps([sorted(self.vocabulary.words), self.vocabulary.encoder, self.config.seed])

    def save(self) -> None:
        """Write everything needed to go on: network, EMA, optimiser, clock. Atomic; nothing without a resume file."""
        if self.file is None:
            return
        clock = {"step": str(self.step), "seconds": str(self.seconds), "identity": self._identity()}
        save_state(self.file, self.network, self.ema, self.optimiser, clock)

    def _resume(self) -> None:
        """Go on from the resume file, if there is one of the same training."""
        if self.file is None or not self.file.exists():
            return
        try:
            if read_clock(self.file)["identity"] != self._identity():
                return
            clock = load_state(self.file, self.network, self.ema, self.optimiser)
        except (OSError, SafetensorError):
            return  # damaged by the crash: the training starts afresh
        self.step, self.seconds = int(clock["step"]), float(clock["seconds"])


class Plateau:
    """Tells when a loss has stopped falling."""

    def __init__(self, patience: float):
        self.patience, self.best, self.since, self.smooth = patience, math.inf, 0.0, math.nan

    def reached(self, progress: float, loss: float) -> bool:
        """Whether the smoothed loss has not fallen by 1 % for ``patience`` of the training."""
        self.smooth = loss if math.isnan(self.smooth) else 0.8 * self.smooth + 0.2 * loss
        if self.smooth < 0.99 * self.best:
            self.best, self.since = self.smooth, progress
        return progress - self.since > self.patience
