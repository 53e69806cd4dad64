from __future__ import annotations

import numpy as np
import pytest

from adclick_runtime.expected import expected_iou, sigmoid


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


def test_a_logit_beyond_the_bound_counts_as_the_bound() -> None:
    logits = np.array([-40.0, -30.0, 0.0, 40.0], np.float32)
    bounded, free = sigmoid(logits), sigmoid(logits, np.inf)
    assert bounded.dtype == free.dtype == np.float32
    assert bounded[0] == bounded[1] > free[0] > 0
    assert bounded[2] == free[2] == 0.5
    assert bounded[3] == free[3] == 1.0
