"""The temperature of a click network: what its logits are divided by, so that the IoU to expect is the IoU.

The focal loss leaves a network far too modest. One number mends that (temperature scaling: Guo et al., ICML 2017); it
changes no mask, which is cut where the logit is zero.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adclick_runtime.expected import expected_iou, sigmoid
from model.interactive.network import ClickNetwork
from model.metrics.masks import iou
from model.training.interactive.batches import Batch, Sampler, load_batch
from model.training.interactive.samples import Sample
from model.training.losses import IGNORE
from model.training.simulation import ClickSimulation

CELLS = 192
"""Side of the crops that are looked at, in stride-2 cells: whole images."""

CLICKS = 4
JITTER = 3.0
TRIED = np.geomspace(0.15, 1.5, 60)


@torch.inference_mode()
def fit_temperature(
    network: ClickNetwork, draw: Callable[[np.random.Generator], Batch], count: int = 120, seed: int = 0
) -> float:
    """The temperature at which the expected IoU of masks lies nearest to their true IoU, on average.

    Args:
        network: trained.
        draw: one image as a batch, of products that it was not trained on.
        count: how many are clicked through, ``CLICKS`` clicks each.
        seed: of their choice and of the clicks.
    """
    rng, device = np.random.default_rng(seed), next(network.parameters()).device
    looks: list[tuple[NDArray[np.float32], float]] = []
    for _ in range(count):
        batch = draw(rng)
        simulation = ClickSimulation(batch.mask, rng, JITTER)
        words = None if batch.words is None else batch.words.to(device)
        valid = batch.mask[0] != IGNORE
        for _ in range(CLICKS):
            clicks, previous = simulation.tensor().to(device), simulation.previous.to(device)
            shown = network.inputs(batch.prepared, clicks, previous, words)
            logits: Tensor = network(*shown).float().cpu()
            seen = logits[0, 0].numpy()[valid]
            looks.append((seen, iou(seen > 0, batch.mask[0][valid] > 0.5)))
            simulation.advance([0], logits.sigmoid())
    distances = [
        np.mean([abs(expected_iou(sigmoid(seen / t)) - true) for seen, true in looks]) for t in TRIED
    ]
    return round(float(TRIED[int(np.argmin(distances))]), 2)


def whole_images(samples: list[Sample]) -> Callable[[np.random.Generator], Batch]:
    """Draws single whole images of sample files."""
    sampler = Sampler(samples, synthetic_share=1.0)
    return lambda rng: load_batch(sampler, CELLS, 1, rng)
