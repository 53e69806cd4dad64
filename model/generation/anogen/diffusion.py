"""The diffusion of crops: a cosine schedule, the loss that learns it, and deterministic sampling inside a box.

Time runs from 0, the clean crop, to 1, noise alone. The network predicts the velocity, from which the clean crop and
the noise follow, so that what the paper writes with the noise can be written here.

What is painted is not the colours but their residual: how they differ from the smooth continuation of what is round
the box. So the tone of the product is known from the first step on, and what is left to paint is detail and defect.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from model.generation.anogen.network import Denoiser

LATEST = 0.999  # of the times: noise alone has no velocity worth predicting

RESIDUAL = 2.0
"""Times the residual of the colours is taken, so that it is as strong as the noise."""


def residual(clean: Tensor, given: Tensor) -> Tensor:
    """Crops (B, 4, S, S) in [-1, 1], as the network sees them beside what it is given, (B, 4, S, S)."""
    return torch.cat([RESIDUAL * (clean[:, :3] - given[:, :3]), clean[:, 3:]], 1)


def restored(seen: Tensor, given: Tensor) -> Tensor:
    """The crops of which :func:`residual` makes ``seen``, kept in [-1, 1]."""
    return torch.cat([given[:, :3] + seen[:, :3] / RESIDUAL, seen[:, 3:]], 1).clamp(-1, 1)


def levels(time: Tensor) -> tuple[Tensor, Tensor]:
    """The shares of crop and noise at a time, each of the shape (B, 1, 1, 1) (Nichol and Dhariwal 2021, s = 0)."""
    angle = time[:, None, None, None] * (math.pi / 2)
    return angle.cos(), angle.sin()


def noised(clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """The crops (B, C, H, W) at the times (B,)."""
    signal, share = levels(time)
    return signal * clean + share * noise


def velocity(clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """What the network is to predict."""
    signal, share = levels(time)
    return signal * noise - share * clean


def separated(noisy: Tensor, predicted: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """The clean crop and the noise that a predicted velocity stands for."""
    signal, share = levels(time)
    return signal * noisy - share * predicted, share * noisy + signal * predicted


def noise_loss(predicted: Tensor, noisy: Tensor, noise: Tensor, time: Tensor, inside: Tensor) -> Tensor:
    """The squared error of the noise, its mean over ``inside``, so that small defects count (AnoGen, section 3.1).

    Args:
        predicted: (B, C, H, W), the velocity.
        noisy: what it was predicted from.
        noise: that is in it.
        time: (B,).
        inside: (B, C or 1, H, W) in [0, 1], a weight of each value.

    Returns:
        (B,) >= 0.
    """
    return masked_mean((separated(noisy, predicted, time)[1] - noise).square(), inside)


def masked_mean(error: Tensor, inside: Tensor) -> Tensor:
    """The mean of each sample (B, C, H, W) where ``inside``, (B, C or 1, H, W) in [0, 1], is; (B,)."""
    weight = inside.expand_as(error)
    return (error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1.0)


def sample(
    denoiser: Denoiser,
    given: Tensor,
    known: Tensor,
    inside: Tensor,
    vector: Tensor,
    noise: Tensor,
    *,
    steps: int,
    guidance: float,
    go_on: Callable[[], None] = lambda: None,
) -> Tensor:
    """Paint crops by DDIM with eta 0 (Song et al. 2021), guided without a classifier (Ho and Salimans 2022).

    What is known is imposed at every step: outside of the box the noisy crop is the known one with the same noise.

    Args:
        denoiser: in evaluation mode.
        given: (B, 4, S, S), see :class:`model.generation.anogen.network.Denoiser`.
        known: (B, 4, S, S) in [-1, 1], the normal crop, whose fourth channel is -1: no defect.
        inside: (B, 1, S, S) in {0, 1}: where is painted.
        vector: (B, V), of the type.
        noise: (B, 4, S, S), decides what comes out.
        steps: of the sampling, >= 1.
        guidance: how far the type is followed; 1 is what was learned, more exaggerates it.
        go_on: called before each step; may raise, to end it.

    Returns:
        (B, 4, S, S) in [-1, 1]; outside of the box it is ``known``.
    """
    times = torch.linspace(LATEST, 0.0, steps + 1, device=noise.device)
    x, clean, around = noise, known, residual(known, given)
    both = torch.cat([vector, denoiser.any_type.expand_as(vector)]) if guidance != 1 else vector
    for now, then in pairwise(times):
        go_on()
        time = now.expand(len(x))
        x = torch.where(inside > 0, x, noised(around, noise, time))
        if guidance == 1:
            predicted = denoiser(x, given, time, vector)
        else:
            twice = denoiser(torch.cat([x, x]), torch.cat([given, given]), time.repeat(2), both)
            with_type, without = twice.chunk(2)
            predicted = without + guidance * (with_type - without)
        clean = restored(separated(x, predicted, time)[0], given)
        seen, (signal, share) = residual(clean, given), levels(time)
        left = (x - signal * seen) / share  # the noise that belongs to the clipped crop
        x = noised(seen, left, then.expand(len(x)))
    return torch.where(inside > 0, clean, known)
