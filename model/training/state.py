"""What both trainings share: a running average of the weights, batches read ahead, and a state to go on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model.checkpoint.atomic import replacing, sweep_leftovers
from model.checkpoint.files import part_of

Batch = TypeVar("Batch")


def read_ahead(load: Callable[[], Batch]) -> Iterator[Batch]:
    """Batches without end, loaded by a second thread while the network works on the one before."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(load)
        while True:
            batch, coming = coming.result(), pool.submit(load)
            yield batch


@torch.no_grad()
def follow(average: nn.Module, live: nn.Module, decay: float, step: int) -> None:
    """Move the running average (EMA) of the weights after a step; early on it forgets faster than ``decay``."""
    decay = min(decay, (1 + step) / (10 + step))
    for kept, weight in zip(average.parameters(), live.parameters(), strict=True):
        kept.lerp_(weight, 1 - decay)


def save_state(
    path: Path,
    network: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    clock: Mapping[str, str],
) -> None:
    """Write everything needed to go on, so that a crash leaves the state before; ``clock`` says how far it is."""
    state = {f"network.{k}": v for k, v in network.state_dict().items()}
    state |= {f"ema.{k}": v for k, v in average.state_dict().items()}
    for i, slot in optimiser.state_dict()["state"].items():
        state |= {f"optimiser.{i}.{k}": v for k, v in slot.items()}
    with replacing(path) as half:
        save_file({k: v.contiguous() for k, v in state.items()}, half, metadata=dict(clock))
    sweep_leftovers(path.parent)


def read_clock(path: Path) -> dict[str, str]:
    """The ``clock`` of a state; raises OSError or SafetensorError when it cannot be read."""
    with safe_open(path, "pt") as file:
        return dict(file.metadata())


def load_state(
    path: Path, network: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> dict[str, str]:
    """Go on from a state that :func:`save_state` wrote; its ``clock``.

    Raises:
        OSError, SafetensorError: the file cannot be read; nothing was changed.
    """
    clock, tensors = read_clock(path), load_file(path)
    network.load_state_dict(part_of(tensors, "network"))
    average.load_state_dict(part_of(tensors, "ema"))
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, index, name = key.split(".", 2)
            slots.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": slots})
    return clock
