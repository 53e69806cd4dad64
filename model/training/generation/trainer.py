"""The training of the small diffusion model; it can be stopped and gone on with at any step."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from model.checkpoint.ranges import COUNT, POSITIVE, SEED, SHARE, check
from model.generation.anogen.diffusion import LATEST, masked_mean, noised, residual, velocity
from model.generation.anogen.network import DenoiserConfig, Painter
from model.training.generation.crops import DefectCrops
from model.training.state import follow, load_state, read_ahead, save_state

DECAY = 0.9995  # of the running average


@dataclass(frozen=True)
class GeneratorTraining:
    """Settings of the training."""

    steps: int = 12_000
    batch: int = 32
    learning_rate: float = 6e-4
    seed: int = 0
    untold: float = (
        0.12  # share of crops that are painted without being told their type: what guidance leads away from
    )
    falling: float = 0.3  # share of the steps, the last ones, over which the learning rate falls to zero
    save_seconds: float = 120.0

    def __post_init__(self) -> None:
        check(
            self,
            {
                "steps": COUNT,
                "batch": COUNT,
                "learning_rate": POSITIVE,
                "seed": SEED,
                "untold": SHARE,
                "falling": SHARE,
                "save_seconds": POSITIVE,
            },
        )


class GeneratorTrainer:
    """Trains a denoiser and an encoder of types.

    Args:
        crops: to learn from.
        config: settings.
        resume: file for the state.
        device: where it learns.
        sizes: of the network.
    """

    def __init__(
        self,
        crops: DefectCrops,
        config: GeneratorTraining,
        resume: Path,
        device: str = "cpu",
        sizes: DenoiserConfig | None = None,
    ):
        torch.manual_seed(config.seed)
        self.crops, self.config, self.file, self.device = crops, config, resume, device
        self.live = Painter(sizes).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.live).eval()
        self.optimiser = torch.optim.AdamW(
            self.live.parameters(), config.learning_rate, betas=(0.9, 0.99), weight_decay=0.01
        )
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []
        if resume.exists():
            try:
                clock = load_state(resume, self.live, self.average, self.optimiser)
                self.step, self.seconds = int(clock["step"]), float(clock["seconds"])
            except (OSError, SafetensorError):
                pass  # damaged by a crash: from the beginning

    def run(
        self, report: Callable[[int, float], None], cancelled: Callable[[], bool] = lambda: False
    ) -> bool:
        """Train to the last step; False when it was cancelled."""
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        batches = read_ahead(self._load())
        while self.step < self.config.steps:
            self._train_step(next(batches))
            self.seconds = time.monotonic() - started
            report(self.step, float(np.mean(self.losses[-100:])))
            stop = cancelled()
            if stop or time.monotonic() - saved > self.config.save_seconds:
                self.save()
                saved = time.monotonic()
            if stop:
                return False
        self.save()
        return True

    def _load(self) -> Callable[[], dict[str, Tensor]]:
        """Batches from this step on, each from a seed of its own: a training goes on as if it had never stopped."""
        steps = count(self.step)
        return lambda: self.crops.draw(
            self.config.batch, np.random.default_rng([self.config.seed, next(steps)])
        )

    def rate(self) -> float:
        """The factor on the learning rate at this step."""
        left = (self.config.steps - self.step) / max(1.0, self.config.falling * self.config.steps)
        return min(1.0, (self.step + 1) / 200, left)

    def _train_step(self, batch: dict[str, Tensor]) -> None:
        batch = {
            name: maps.to(self.device, memory_format=torch.channels_last) for name, maps in batch.items()
        }
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * self.rate()
        loss = self.loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.live.parameters(), 1.0)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"The loss became {float(loss.detach())} at step {self.step}; nothing more was kept."
            )
        self.optimiser.step()
        self.step += 1
        follow(self.average, self.live, DECAY, self.step)
        self.losses = [*self.losses[-99:], float(loss.detach())]

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """The squared error of the velocity: half of it over the box, half over the defect."""
        clean, given, inside = batch["clean"], batch["given"], batch["inside"]
        seen = residual(clean, given)
        source = torch.Generator(clean.device).manual_seed(((self.config.seed << 31) + self.step) % 2**63)
        noise = torch.randn(clean.shape, generator=source, device=clean.device)
        time_ = torch.rand(len(clean), generator=source, device=clean.device) * LATEST
        noisy = noised(seen, noise, time_)
        vector = self.live.encoder(batch["shown"])
        untold = torch.rand(len(clean), 1, generator=source, device=clean.device) < self.config.untold
        vector = torch.where(untold, self.live.denoiser.any_type, vector)
        predicted = self.live.denoiser(noisy, given, time_, vector)
        error = (predicted - velocity(seen, noise, time_)).square().mean(1, keepdim=True)
        defect = inside * (clean[:, 3:] > 0)
        return torch.stack([masked_mean(error, where) for where in (inside, defect)]).mean()

    def save(self) -> None:
        """Write the state, atomically."""
        save_state(
            self.file,
            self.live,
            self.average,
            self.optimiser,
            {"step": str(self.step), "seconds": str(self.seconds)},
        )
