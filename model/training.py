"""Training of the click network: iterative simulated clicks, normalised focal loss, EMA."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from model.adclick import LiteClickNetwork
from model.checkpoints import load_into
from model.clicks import Click, next_click
from model.evidence import LEVELS, Prepared, evidence
from model.losses import IGNORE, normalized_focal_loss, overlap_loss
from model.residual import matching_dtype
from model.samples import Sample, read_crop
from model.training_state import follow, load_state, read_ahead, save_state

THRESHOLD = 0.49  # of the prediction whose largest error is clicked next (SimpleClick)


@dataclass(frozen=True)
class ClickTraining:
    """Settings of one training run."""

    minutes: float = 60.0  # of training; the learning rate falls to zero at its end
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    ema: float = 0.998
    clip: float = 1.0
    cross_entropy: float = 0.2  # beside the focal loss: keeps the 0.5 threshold where it belongs
    overlap: float = 0.5  # beside the focal loss: whole masks after the first click
    max_next_clicks: int = 3  # simulated after the first ones, as in RITM
    jitter: float = 3.0  # standard deviation of simulated clicks, working pixels
    second_looks: float = 0.2  # share of rounds in which the mask comes back without another click
    synthetic_share: float = 0.45
    seed: int = 0
    # (crop side in stride-2 cells, samples a step, share of steps): small crops for speed, whole images because in
    # use most places are far from any click
    crops: tuple[tuple[int, int, float], ...] = ((96, 8, 0.45), (128, 5, 0.3), (192, 2, 0.25))


class Sampler:
    """Draws samples: products equally often, whatever the number of their images."""

    def __init__(
        self, samples: list[Sample], synthetic_share: float, weights: dict[str, float] | None = None
    ):
        self.groups: dict[bool, dict[str, list[Sample]]] = {True: {}, False: {}}
        for sample in samples:
            self.groups[sample.real].setdefault(sample.category, []).append(sample)
        if not self.groups[True] and not self.groups[False]:
            raise ValueError("There are no training samples.")
        self.synthetic_share = synthetic_share
        self.weights = weights or {}

    def draw(self, rng: np.random.Generator) -> Sample:
        """One sample."""
        real = bool(rng.random() >= self.synthetic_share)
        groups = self.groups[real] or self.groups[not real]
        names = sorted(groups)
        weights = np.array([self.weights.get(n, 1.0) * min(1.0, len(groups[n]) / 40) ** 0.5 for n in names])
        group = groups[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
        return group[int(rng.integers(len(group)))]


@dataclass
class Batch:
    """Crops of one size, stacked."""

    prepared: Prepared
    mask: NDArray[np.float32]  # (B, 2s, 2s) in {0, 1, -1}


def load_batch(sampler: Sampler, size: int, count: int, rng: np.random.Generator) -> Batch:
    """Draw ``count`` crops of ``size`` stride-2 cells, each turned and mirrored at random."""
    crops = []
    for _ in range(count):
        crop = read_crop(sampler.draw(rng), size, rng, defect_share=0.85)
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        crops.append(
            {name: value if name == "scales" else _turn(value, turns, mirror) for name, value in crop.items()}
        )
    stacked = {name: np.stack([c[name] for c in crops]) for name in crops[0]}
    mask = stacked.pop("mask")
    tensors = {name: torch.from_numpy(value) for name, value in stacked.items()}
    levels = {name: tensors[name] for name in LEVELS}
    return Batch(
        Prepared(tensors["static"], levels, tensors["scales"], tensors["vectors"], tensors["log_energies"]),
        mask,
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
    """Trains a click network on cached samples; can be stopped and resumed at any step."""

    def __init__(self, network: nn.Module, sampler: Sampler, config: ClickTraining, folder: Path):
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(network).requires_grad_(False)
        self.sampler, self.config, self.folder = sampler, config, folder
        self.rng = np.random.default_rng(config.seed)
        self.optimiser = torch.optim.AdamW(
            network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.step, self.seconds = 0, 0.0
        self.bfloat16 = matching_dtype(torch.device("cpu")) == torch.bfloat16
        folder.mkdir(parents=True, exist_ok=True)

    def run(self) -> None:
        """Train until the time is up, writing ``curve.jsonl`` and ``last.safetensors`` on the way."""
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
        """Share of the training time that is over, in [0, 1]."""
        return min(1.0, self.seconds / (60 * self.config.minutes))

    def train_step(self, batch: Batch) -> float:
        """One step on one batch; returns its loss."""
        simulation = ClickSimulation(batch.mask, self.rng, self.config.jitter)
        rounds = self.rng.integers(self.config.max_next_clicks + 1, size=len(batch.mask))
        for done in range(int(rounds.max())):
            rows = [int(i) for i in np.nonzero(rounds > done)[0]]
            with torch.inference_mode():
                shown = evidence(
                    take(batch.prepared, rows), simulation.tensor()[rows], simulation.previous[rows]
                )
                simulation.advance(rows, self._forward(shown).sigmoid(), self.config.second_looks)
        logits = self._forward(evidence(batch.prepared, simulation.tensor(), simulation.previous.clone()))
        labels = torch.from_numpy(batch.mask)[:, None]
        loss = normalized_focal_loss(logits, labels).mean()
        whole = overlap_loss(logits, labels).mean()
        valid = (labels != IGNORE).float()
        plain = (
            F.binary_cross_entropy_with_logits(logits, labels.clamp_min(0), valid, reduction="sum")
            / valid.sum()
        )
        total = loss + self.config.cross_entropy * plain + self.config.overlap * whole
        self._update(total)
        return float(total.detach())

    def _update(self, loss: Tensor) -> None:
        rate = (
            self.config.learning_rate
            * min(1.0, (self.step + 1) / 200)
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

    def _forward(self, shown: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            return self.network(shown).float()  # type: ignore[no-any-return]

    def _batches(self) -> Iterator[Batch]:
        """Batches, loaded by a second thread while the network works on the one before."""
        shares = np.array([share for *_, share in self.config.crops])
        rng = np.random.default_rng([self.config.seed, self.step])

        def load() -> Batch:
            size, count, _ = self.config.crops[int(rng.choice(len(shares), p=shares / shares.sum()))]
            return load_batch(self.sampler, size, count, rng)

        return read_ahead(load)

    def save(self) -> None:
        """Write everything needed to go on: network, EMA, optimiser, clock."""
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
        entry = {"step": self.step, "minutes": round(self.seconds / 60, 2), "loss": round(loss, 5)}
        with (self.folder / "curve.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")


def new_network(seed: int, trained: dict[str, Tensor] | None = None) -> LiteClickNetwork:
    """A ``lite`` network, untrained (the same for the same seed) or going on from trained weights.

    Args:
        seed: of the initial weights.
        trained: tensors of a click network. Evidence that it did not know yet starts without any influence.
    """
    torch.manual_seed(seed)
    network = LiteClickNetwork()
    if trained:
        known, stem = dict(trained), network.stem.weight
        widened = torch.zeros_like(stem)
        widened[:, : known["stem.weight"].shape[1]] = known["stem.weight"]
        load_into(network, {**known, "stem.weight": widened}, "The checkpoint to start from")
    return network
