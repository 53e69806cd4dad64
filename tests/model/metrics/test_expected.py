from __future__ import annotations

import numpy as np
import pytest

from model.metrics.expected import expected_iou


def test_the_score_is_the_iou_to_expect() -> None:
    found = np.zeros((128, 192), np.float32)
    found[20:60, 30:70] = 0.8
    assert expected_iou(found) == pytest.approx(0.8)
    assert expected_iou(np.zeros_like(found)) == 0.0
    rng = np.random.default_rng(0)
    found = rng.beta(0.3, 0.6, (400, 400)).astype(np.float32)
    true = rng.random(found.shape) < found
    mask = found > 0.5
    assert expected_iou(found) == pytest.approx((mask & true).sum() / (mask | true).sum(), abs=0.01)
