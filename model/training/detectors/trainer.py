"""The training loop of detectors: it can be stopped and resumed, and keeps what does best on held-out images."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from model.training.detectors.learner import Learner
from model.training.detectors.settings import DetectorTraining
from model.training.distributed import ALONE, Worker
from model.training.state import load_state, read_clock, save_state


class DetectorTrainer:
    """Trains what a learner has; can be stopped and resumed at any step.

    Args:
        name: of the detector, for messages.
        learner: whose network learns.
        config: settings.
        steps: how many there are.
        judge: the held-out check, the higher the better; None: there is nothing to check with; the last state stays.
        resume: file from which an interrupted training goes on, and into which this one writes its state.
        identity: what an interrupted training must agree in to be gone on with.
        worker: this process among those that train together; the first one checks and writes.

    Attributes:
        best: the network at its best state so far.
        curve: (step, held-out check) pairs.
        step: how many are done.
        seconds: that they took.
        losses: of the last steps.
    """

    def __init__(
        self,
        name: str,
        learner: Learner,
        config: DetectorTraining,
        steps: int,
        judge: Callable[[], float] | None = None,
        resume: Path | None = None,
        identity: str = "",
        worker: Worker = ALONE,
    ):
        self.name, self.learner, self.config, self.steps, self.judge = (
            name,
            learner,
            config,
            steps,
            judge,
        )
        self.file, self.identity, self.worker = resume, identity, worker
        self.best: nn.Module = copy.deepcopy(learner.network).eval()
        self.curve: list[tuple[int, float]] = []
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []
        self._rates = [float(group["lr"]) for group in learner.optimiser.param_groups]
        self._resume()

    def run(
        self,
        report: Callable[[float, float | None, float | None], None] = lambda share, loss, checked: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train to the last step.

        Args:
            report: told (share of the steps, mean loss of the last ones, the last held-out check) after each step.
            cancelled: asked after each step.

        Returns:
            False when it was cancelled; its state is kept then.

        Raises:
            FloatingPointError: the loss, or a map of the held-out check, is not a number any more.
        """
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        while self.step < self.steps:
            self._train_step()
            if self._due():
                self._check()
            self.seconds = time.monotonic() - started
            report(self.progress(), self.loss, self.curve[-1][1] if self.curve else None)
            if cancelled():
                self.save()
                return False
            if time.monotonic() - saved > self.config.save_seconds:
                self.save()
                saved = time.monotonic()
        self.save()
        return True

    @property
    def loss(self) -> float | None:
        """Mean of the last ten steps."""
        return float(np.mean(self.losses[-10:])) if self.losses else None

    def progress(self) -> float:
        """Share of the steps that is over, in [0, 1]."""
        return min(1.0, self.step / self.steps)

    def _train_step(self) -> None:
        learner, seed = self.learner, (self.config.seed, self.step, self.worker.rank)
        rng = np.random.default_rng(seed)
        torch.manual_seed(int(rng.integers(2**62)))
        for group, rate in zip(learner.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * learner.rate(self.progress())
        learner.optimiser.zero_grad(set_to_none=True)
        loss = learner.loss(rng)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(learner.network.parameters(), learner.clip)
        if not torch.isfinite(norm + loss.detach()):
            raise FloatingPointError(
                f"The loss of {self.name} became {float(loss.detach())} at step {self.step}; the training was given up "
                "and nothing was kept. Lower the learning rate, or look for damaged images."
            )
        learner.optimiser.step()
        self.step += 1
        self.losses = [*self.losses[-9:], float(loss.detach())]

    def _due(self) -> bool:
        """Whether the held-out check comes now: evenly spaced, and after the last step."""
        marks = self.step * self.config.checks // self.steps
        return marks > (self.step - 1) * self.config.checks // self.steps

    def _check(self) -> None:
        if not self.worker.first:
            return
        if self.judge is not None:
            found = self.judge()
            self.learner.network.train()
            liked = not self.curve or found > max(checked for _, checked in self.curve)
            self.curve.append((self.step, found))
            if not liked:
                return
        self.best.load_state_dict(self.learner.network.state_dict())

    # --- going on after an interruption

    def save(self) -> None:
        """Write everything needed to go on, the best state too. Atomic; nothing without a resume file."""
        if self.file is None or not self.worker.first:
            return
        clock = {
            "step": str(self.step),
            "seconds": str(self.seconds),
            "curve": json.dumps(self.curve),
            "losses": json.dumps(self.losses),
            "identity": self.identity,
        }
        save_state(self.file, self.learner.network, self.best, self.learner.optimiser, clock)

    def _resume(self) -> None:
        """Go on from the resume file, if there is one of the same training."""
        if self.file is None or not self.file.exists():
            return
        try:
            if read_clock(self.file)["identity"] != self.identity:
                return
            clock = load_state(self.file, self.learner.network, self.best, self.learner.optimiser)
        except (OSError, SafetensorError):
            return  # damaged by the crash: the training starts afresh
        self.step, self.seconds = int(clock["step"]), float(clock["seconds"])
        self.curve = [(int(step), float(found)) for step, found in json.loads(clock["curve"])]
        self.losses = json.loads(clock["losses"])
