from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model.training.segmentation.calibration import best_cut


def timid(mask: NDArray[np.bool_], level: float) -> NDArray[np.float32]:
    """Logits that rank every pixel right, and are zero nowhere near the mask's border."""
    return np.where(mask, level + 1.5, level - 1.5).astype(np.float32)


def square(size: int) -> NDArray[np.bool_]:
    mask = np.zeros((64, 64), bool)
    mask[10 : 10 + size, 20 : 20 + size] = True
    return mask


def test_masks_are_cut_where_they_fit_the_labels() -> None:
    labelled = [(timid(square(size), -2.0), square(size)) for size in (8, 12, 16, 20)]
    normals = [np.full((64, 64), -5.0, np.float32)]
    cut = best_cut(labelled, normals)
    assert -3.5 < cut < -0.5
    assert all(((logits > cut) == mask).all() for logits, mask in labelled)


def test_normal_images_stay_without_masks() -> None:
    labelled = [(timid(square(size), -2.0), square(size)) for size in (8, 12, 16, 20)]
    normals = [np.full((64, 64), -0.25, np.float32)]
    assert best_cut(labelled, normals) == pytest.approx(-0.25)


def test_a_few_labels_do_not_decide() -> None:
    assert best_cut([(timid(square(8), -2.0), square(8))] * 3, []) == 0.0
