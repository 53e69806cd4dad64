"""Training of the click network: iterative simulated clicks, normalised focal loss, EMA."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.checkpoint.files import load_into
from model.evidence.prepared import CHANNELS, Prepared
from model.evidence.previous_mask import MASK_CHANNELS
from model.features.number_format import AUTO, number_format
from model.interactive.lite import LiteClickNetwork, LiteConfig
from model.interactive.network import ClickNetwork
from model.training.distributed import ALONE, Worker
from model.training.interactive.batches import Batch, BatchSource, ClickTraining
from model.training.losses import IGNORE, normalized_focal_loss, overlap_loss
from model.training.simulation import ClickSimulation
from model.training.state import follow, load_state, read_ahead, save_state


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
        network: any of :mod:`model.interactive.presets`.
        source: of the batches.
        config: settings.
        folder: where the state and the curve lie.
        worker: this process among those that train together, each on batches of its own.
        asked: the number format that is asked for (:mod:`model.features.number_format`).

    Attributes:
        format: in which it computes.
    """

    def __init__(
        self,
        network: ClickNetwork,
        source: BatchSource,
        config: ClickTraining,
        folder: Path,
        worker: Worker = ALONE,
        asked: str = AUTO,
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
        self.format = number_format(asked, str(worker.device))
        folder.mkdir(parents=True, exist_ok=True)

    def run(
        self,
        report: Callable[[float, float], None] = lambda share, loss: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train to the last step, writing ``curve.jsonl`` and ``last.safetensors`` on the way.

        Args:
            report: told (share of the steps, mean loss) every few steps.
            cancelled: asked after each step.

        Returns:
            False when it was cancelled; its state is kept then.
        """
        if self.progress() >= 1:  # it was interrupted after its last step
            return True
        losses: list[float] = []
        saved = self.seconds
        started = time.monotonic() - self.seconds
        for batch in self._batches():
            losses.append(self.train_step(batch))
            self.seconds = time.monotonic() - started
            if self.step % 10 == 0:
                report(self.progress(), float(np.mean(losses[-10:])))
            if self.step % 100 == 0:
                self._log(float(np.mean(losses)))
                losses.clear()
            if self.seconds - saved > self.config.save_seconds:
                self.save()
                saved = self.seconds
            if cancelled():
                self.save()
                return False
            if self.progress() >= 1:
                break
        self.save()
        return True

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
                logits = self._logits(self.network, batch, simulation, rows)
                simulation.advance(rows, logits.sigmoid().cpu(), self.config.second_looks)
        self.network.train()
        logits = self._logits(self.shared, batch, simulation, list(range(len(batch.mask))))
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
        self, network: nn.Module, batch: Batch, simulation: ClickSimulation, rows: list[int]
    ) -> Tensor:
        """(len(rows), 1, 2s, 2s) for the samples ``rows`` of a batch."""
        device = self.worker.device
        clicks, previous = simulation.tensor()[rows].to(device), simulation.previous[rows].to(device)
        words = None if batch.words is None else batch.words.of(rows).to(device)
        prepared = batch.prepared if len(rows) == len(batch.mask) else take(batch.prepared, rows)
        shown = self.network.inputs(prepared, clicks, previous, words)
        with self.format.autocast(device):
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


def new_network(
    seed: int, trained: dict[str, Tensor] | None = None, previous: bool = False
) -> LiteClickNetwork:
    """A ``lite`` network, untrained (the same for the same seed) or going on from trained weights.

    Args:
        seed: of the initial weights.
        previous: whether it sees the previous mask (:mod:`model.evidence.previous_mask`).
        trained: tensors of a click network. Evidence that it did not know yet starts without any influence; one that
            saw the previous mask goes on seeing it.
    """
    torch.manual_seed(seed)
    if trained is not None:
        previous = previous or trained["stem.weight"].shape[1] == CHANNELS + MASK_CHANNELS
    network = LiteClickNetwork(LiteConfig(previous=previous))
    if trained:
        known, stem = dict(trained), network.stem.weight
        widened = torch.zeros_like(stem)
        widened[:, : known["stem.weight"].shape[1]] = known["stem.weight"]
        load_into(network, {**known, "stem.weight": widened}, "The checkpoint to start from")
    return network
