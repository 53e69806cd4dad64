"""Evidence of images that never were."""

from __future__ import annotations

import torch

from model.evidence.prepared import STATIC_CHANNELS, Prepared


def prepared(batch: int = 1, h: int = 32, w: int = 48) -> Prepared:
    """Images of random numbers, compared with random references."""
    torch.manual_seed(0)
    shapes = {
        "colour": (3, 1),
        "stride2": (16, 1),
        "stride4": (24, 2),
        "stride8": (40, 4),
        "stride16": (112, 8),
        "texture": (38, 4),
        "discriminant": (96, 4),
    }
    levels = {name: torch.randn(batch, c, h // r, w // r) for name, (c, r) in shapes.items()}
    static, vectors = torch.randn(batch, STATIC_CHANNELS, h, w), torch.randn(batch, 64, h // 4, w // 4)
    return Prepared(static, levels, torch.full((batch, 6), 3.0), vectors, torch.randn(batch, 2, h, w))
