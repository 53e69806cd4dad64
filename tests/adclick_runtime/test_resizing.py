from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from adclick_runtime.resizing import aligned, antialiased, cubic, linear, pooled, resized

MAPS = np.random.default_rng(0).standard_normal((3, 48, 64)).astype(np.float32)


@pytest.mark.parametrize(
    "made, size, how",
    [
        (antialiased, (42, 56), {"mode": "bilinear", "align_corners": False, "antialias": True}),
        (antialiased, (96, 70), {"mode": "bilinear", "align_corners": False, "antialias": True}),
        (cubic, (30, 85), {"mode": "bicubic", "align_corners": False}),
        (linear, (96, 31), {"mode": "bilinear", "align_corners": False}),
        (aligned, (96, 31), {"mode": "bilinear", "align_corners": True}),
    ],
)
def test_maps_become_what_torch_makes_of_them(made, size, how) -> None:  # type: ignore[no-untyped-def]
    found = resized(MAPS, made(48, size[0]), made(64, size[1]))
    wanted = F.interpolate(torch.from_numpy(MAPS)[None], size=size, **how)[0].numpy()
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() < 1e-4


def test_pooling_takes_the_bins_that_adaptive_pooling_takes() -> None:
    wanted = F.adaptive_avg_pool2d(torch.from_numpy(MAPS)[None], (6, 7))[0].numpy()
    assert np.abs(resized(MAPS, pooled(48, 6), pooled(64, 7)) - wanted).max() < 1e-6
