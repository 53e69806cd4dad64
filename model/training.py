"""Training of the click network: iterative simulated clicks, normalised focal loss, EMA."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from model.adclick import LiteClickNetwork, LiteConfig
from model.checkpoints import load_into
from model.click_network import ClickNetwork
from model.clicks import Click, next_click
from model.evidence import CHANNELS, DISCRIMINANT, LEVELS, Prepared
from model.losses import IGNORE, normalized_focal_loss, overlap_loss
from model.mask_evidence import MASK_CHANNELS
from model.matching import matching_dtype
from model.samples import Sample, read_crop
from model.training_state import follow, load_state, read_ahead, save_state
from model.workers import ALONE, Worker

THRESHOLD = 0.49  # of the prediction whose largest error is clicked next (SimpleClick)


@dataclass(frozen=True)
class ClickTraining:
    """Settings of one training run."""

    steps: int = 5000  # of training; the learning rate falls to zero at its end
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    ema: float = 0.998
    clip: float = 1.0
    focal: bool = True  # the normalised focal loss, or cross-entropy in its place
    cross_entropy: float = 0.2  # beside the focal loss: keeps the 0.5 threshold where it belongs
    overlap: float = 0.5  # beside the focal loss: whole masks after the first click
    max_next_clicks: int = 3  # simulated after the first ones, as in RITM
    jitter: float = 3.0  # standard deviation of simulated clicks, working pixels
    second_looks: float = 0.2  # share of rounds in which the mask comes back without another click
    synthetic_share: float = 0.45
    thinned: float = 0.55  # share of the steps in which samples go without some of the evidence
    seed: int = 0
    # (crop side in stride-2 cells, samples a step, share of steps): small crops for speed, whole images because in
    # use most places are far from any click
    crops: tuple[tuple[int, int, float], ...] = ((96, 8, 0.45), (128, 5, 0.3), (192, 2, 0.25))

    def size(self, rng: np.random.Generator) -> tuple[int, int]:
        """Crop side and number of samples of a step."""
        shares = np.array([share for *_, share in self.crops])
        size, count, _ = self.crops[int(rng.choice(len(shares), p=shares / shares.sum()))]
        return size, count


class _OfProduct(Protocol):
    """What is drawn of a product."""

    @property
    def category(self) -> str: ...
    @property
    def real(self) -> bool: ...


Drawn = TypeVar("Drawn", bound=_OfProduct)


class Sampler(Generic[Drawn]):
    """Draws samples: products equally often, whatever the number of their images."""

    def __init__(self, samples: list[Drawn], synthetic_share: float, weights: dict[str, float] | None = None):
        self.groups: dict[bool, dict[str, list[Drawn]]] = {True: {}, False: {}}
        for sample in samples:
            self.groups[sample.real].setdefault(sample.category, []).append(sample)
        if not self.groups[True] and not self.groups[False]:
            raise ValueError("There are no training samples.")
        self.synthetic_share = synthetic_share
        self.weights = weights or {}

    def draw(self, rng: np.random.Generator) -> Drawn:
        """One sample."""
        real = bool(rng.random() >= self.synthetic_share)
        groups = self.groups[real] or self.groups[not real]
        names = sorted(groups)
        weights = np.array([self.weights.get(n, 1.0) * min(1.0, len(groups[n]) / 40) ** 0.5 for n in names])
        group = groups[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
        return group[int(rng.integers(len(group)))]


@dataclass
class Batch:
    """Crops of one size, stacked.

    Attributes:
        prepared: of B crops.
        mask: (B, 2s, 2s) in {0, 1, -1}.
        kinds: what their defects are called, where that is known.
    """

    prepared: Prepared
    mask: NDArray[np.float32]
    kinds: tuple[str, ...] = ()


class BatchSource(Protocol):
    """Where the batches of a training come from."""

    def batch(self, config: ClickTraining, rng: np.random.Generator) -> Batch:
        """One batch of one of the sizes in ``config.crops``."""


@dataclass(frozen=True)
class SampleFiles:
    """Batches of crops of sample files (:mod:`model.samples`)."""

    sampler: Sampler[Sample]

    def batch(self, config: ClickTraining, rng: np.random.Generator) -> Batch:
        """See :class:`BatchSource`."""
        size, count = config.size(rng)
        return load_batch(self.sampler, size, count, rng)


def load_batch(sampler: Sampler[Sample], size: int, count: int, rng: np.random.Generator) -> Batch:
    """Draw ``count`` crops of ``size`` stride-2 cells, each turned and mirrored at random."""
    crops, kinds = [], []
    for _ in range(count):
        sample = sampler.draw(rng)
        kinds.append(sample.kind)
        crop = read_crop(sample, size, rng, defect_share=0.85)
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        crops.append(
            {name: value if name == "scales" else _turn(value, turns, mirror) for name, value in crop.items()}
        )
    stacked = {name: np.stack([c[name] for c in crops]) for name in crops[0]}
    mask = stacked.pop("mask")
    tensors = {name: torch.from_numpy(value) for name, value in stacked.items()}
    levels = {name: tensors[name] for name in (*LEVELS, DISCRIMINANT)}
    return Batch(
        Prepared(tensors["static"], levels, tensors["scales"], tensors["vectors"], tensors["log_energies"]),
        mask,
        tuple(kinds),
    )


def _turn(value: NDArray[np.float32], turns: int, mirror: bool) -> NDArray[np.float32]:
    value = np.rot90(value, turns, (-2, -1))
    return np.ascontiguousarray(value[..., ::-1] if mirror else value)


class ClickSimulation:
    """The clicks of a batch so far, and the maps they led to."""

    def __init__(self, mask: NDArray[np.float32], rng: np.random.Generator, jitter: float):
        self.target, self.valid, self.rng, self.jitter = mask > 0.5, mask != IGNORE, rng, jitter
        self.clicks: list[list[Click]] = [
            self._first(t, v) for t, v in zip(self.target, self.valid, strict=True)
        ]
        size = mask.shape[-1]
        self.previous = torch.zeros(len(mask), 1, size // 2, size // 2)

    def tensor(self) -> Tensor:
        """(B, N, 3) as :func:`model.evidence.evidence` takes them."""
        longest = max(1, *(len(c) for c in self.clicks))
        out = torch.zeros(len(self.clicks), longest, 3)
        for i, clicks in enumerate(self.clicks):
            for j, click in enumerate(clicks):
                out[i, j] = torch.tensor([click.x / 2, click.y / 2, 1.0 if click.positive else -1.0])
        return out

    def advance(self, rows: list[int], probability: Tensor, second_looks: float = 0.0) -> None:
        """One more click for the samples in ``rows``, whose maps (len(rows), 1, 2s, 2s) are given.

        With the probability ``second_looks`` a sample gets its map back without another click.
        """
        self.previous[rows] = F.avg_pool2d(probability, 2)
        for i, mask in zip(rows, probability[:, 0].numpy() > THRESHOLD, strict=True):
            if self.rng.random() < second_looks:
                continue
            prediction = np.where(self.valid[i], mask, False)
            click = next_click(self.target[i], prediction, self.clicks[i], self.rng, self.jitter)
            if click is not None:
                self.clicks[i].append(click)

    def _first(self, target: NDArray[np.bool_], valid: NDArray[np.bool_]) -> list[Click]:
        clicks: list[Click] = []
        positives = 1 + int(self.rng.random() < 0.15)
        for _ in range(positives if target.any() else 0):
            spread = self.jitter if self.rng.random() < 0.7 else self.jitter * 8
            click = next_click(target, np.zeros_like(target), clicks, self.rng, spread)
            clicks += [click] if click else []
        if self.rng.random() < 0.2 or not clicks:
            rows, columns = np.nonzero(valid & ~target)
            for i in self.rng.integers(len(rows), size=int(self.rng.integers(1, 3))) if len(rows) else ():
                clicks.append(Click(float(columns[i]) + 0.5, float(rows[i]) + 0.5, False))
        return clicks


def take(prepared: Prepared, rows: list[int]) -> Prepared:
    """The samples ``rows`` of a batch."""
    levels = {name: m[rows] for name, m in prepared.levels.items()}
    return Prepared(
        prepared.static[rows],
        levels,
        prepared.scales[rows],
        prepared.vectors[rows],
        prepared.log_energies[rows],
    )


class ClickTrainer:
    """Trains a click network; can be stopped and resumed at any step.

    Args:
        network: any of :mod:`model.networks`.
        source: of the batches.
        config: settings.
        folder: where the state and the curve lie.
        worker: this process among those that train together, each on batches of its own.
    """

    def __init__(
        self,
        network: ClickNetwork,
        source: BatchSource,
        config: ClickTraining,
        folder: Path,
        worker: Worker = ALONE,
    ):
        self.network = network.to(worker.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(network).requires_grad_(False).eval()
        self.shared = worker.share(network)
        self.source, self.config, self.folder, self.worker = source, config, folder, worker
        self.rng = np.random.default_rng([config.seed, worker.rank])
        self.optimiser = torch.optim.AdamW(
            network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.step, self.seconds = 0, 0.0
        self.bfloat16 = matching_dtype(worker.device) != torch.float32
        folder.mkdir(parents=True, exist_ok=True)

    def run(self) -> None:
        """Train to the last step, writing ``curve.jsonl`` and ``last.safetensors`` on the way."""
        losses: list[float] = []
        saved = self.seconds
        started = time.monotonic() - self.seconds
        for batch in self._batches():
            losses.append(self.train_step(batch))
            self.seconds = time.monotonic() - started
            if self.step % 100 == 0:
                self._log(float(np.mean(losses)))
                losses.clear()
            if self.seconds - saved > 120:
                self.save()
                saved = self.seconds
            if self.progress() >= 1:
                break
        self.save()

    def progress(self) -> float:
        """Share of the steps that is over, in [0, 1]."""
        return min(1.0, self.step / self.config.steps)

    def train_step(self, batch: Batch) -> float:
        """One step on one batch; returns its loss."""
        if self.progress() >= self.config.thinned:
            self.network.dropout = 0.0
        simulation = ClickSimulation(batch.mask, self.rng, self.config.jitter)
        rounds = self.rng.integers(self.config.max_next_clicks + 1, size=len(batch.mask))
        for done in range(int(rounds.max())):
            rows = [int(i) for i in np.nonzero(rounds > done)[0]]
            self.network.eval()
            with torch.inference_mode():
                logits = self._logits(self.network, take(batch.prepared, rows), simulation, rows)
                simulation.advance(rows, logits.sigmoid().cpu(), self.config.second_looks)
        self.network.train()
        logits = self._logits(self.shared, batch.prepared, simulation, list(range(len(batch.mask))))
        labels = torch.from_numpy(batch.mask)[:, None].to(logits.device)
        whole = overlap_loss(logits, labels).mean()
        valid = (labels != IGNORE).float()
        plain = (
            F.binary_cross_entropy_with_logits(logits, labels.clamp_min(0), valid, reduction="sum")
            / valid.sum()
        )
        focal = normalized_focal_loss(logits, labels).mean() if self.config.focal else plain
        total = focal + self.config.cross_entropy * plain + self.config.overlap * whole
        self._update(total)
        return float(total.detach())

    def _update(self, loss: Tensor) -> None:
        rate = (
            self.config.learning_rate
            * min(1.0, (self.step + 1) / min(200, 1 + self.config.steps // 5))
            * 0.5
            * (1 + math.cos(math.pi * self.progress()))
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"The loss became {float(loss.detach())} at step {self.step}.")
        self.optimiser.step()
        self.step += 1
        follow(self.ema, self.network, self.config.ema, self.step)

    def _logits(
        self, network: nn.Module, prepared: Prepared, simulation: ClickSimulation, rows: list[int]
    ) -> Tensor:
        """(len(rows), 1, 2s, 2s) for the samples ``rows`` of a batch, of which ``prepared`` is."""
        device = self.worker.device
        clicks, previous = simulation.tensor()[rows].to(device), simulation.previous[rows].to(device)
        shown = self.network.show(prepared, clicks, previous)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            return network(*shown).float()  # type: ignore[no-any-return]

    def _batches(self) -> Iterator[Batch]:
        """Batches, loaded by a second thread while the network works on the one before."""
        rng = np.random.default_rng([self.config.seed, self.step, self.worker.rank])
        return read_ahead(lambda: self.source.batch(self.config, rng))

    def save(self) -> None:
        """Write everything needed to go on: network, EMA, optimiser, clock. One of the processes does it for all."""
        if not self.worker.first:
            return
        clock = {
            "step": str(self.step),
            "seconds": str(self.seconds),
            "config": json.dumps(asdict(self.config)),
        }
        save_state(self._state, self.network, self.ema, self.optimiser, clock)

    def resume(self) -> bool:
        """Go on from ``last.safetensors`` if there is one; tells whether there was."""
        if not self._state.exists():
            return False
        clock = load_state(self._state, self.network, self.ema, self.optimiser)
        self.step, self.seconds = int(clock["step"]), float(clock["seconds"])
        return True

    @property
    def _state(self) -> Path:
        return self.folder / "last.safetensors"

    def _log(self, loss: float) -> None:
        if not self.worker.first:
            return
        entry = {"step": self.step, "minutes": round(self.seconds / 60, 2), "loss": round(loss, 5)}
        with (self.folder / "curve.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")


def new_network(seed: int, trained: dict[str, Tensor] | None = None, told: bool = False) -> LiteClickNetwork:
    """A ``lite`` network, untrained (the same for the same seed) or going on from trained weights.

    Args:
        seed: of the initial weights.
        told: whether it is told the mask so far (:mod:`model.mask_evidence`).
        trained: tensors of a click network. Evidence that it did not know yet starts without any influence; one that
            was told the mask so far goes on being told.
    """
    torch.manual_seed(seed)
    if trained is not None:
        told = told or trained["stem.weight"].shape[1] == CHANNELS + MASK_CHANNELS
    network = LiteClickNetwork(LiteConfig(previous=told))
    if trained:
        known, stem = dict(trained), network.stem.weight
        widened = torch.zeros_like(stem)
        widened[:, : known["stem.weight"].shape[1]] = known["stem.weight"]
        load_into(network, {**known, "stem.weight": widened}, "The checkpoint to start from")
    return network
