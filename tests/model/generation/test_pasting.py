from __future__ import annotations

import numpy as np

from model.generation.pasting import cut_defect, paste
from model.labels.labelled import LabelledImage, WeakLabel
from tests.helpers.plates import labelled, plate


def test_a_pasted_defect_changes_the_host_where_its_mask_says_so() -> None:
    cut = cut_defect(labelled(3, "clicked"))
    assert cut is not None
    assert cut.type == "stain"
    host = plate(40)
    image, mask = paste(cut, host, np.random.default_rng(0))
    assert image.shape == host.shape
    assert 0.4 * cut.mask.sum() < mask.sum() < 1.6 * cut.mask.sum()
    change = np.abs(image.astype(int) - host).max(2)
    assert change[mask].mean() > 40
    far = ~mask
    rows, columns = np.nonzero(mask)
    far[max(0, rows.min() - 12) : rows.max() + 12, max(0, columns.min() - 12) : columns.max() + 12] = False
    assert (change[far] == 0).all()


def test_the_largest_of_several_defects_is_cut() -> None:
    image = plate(1)
    target = np.zeros(image.shape[:2], np.float32)
    target[10:14, 10:14] = 1
    target[40:70, 60:90] = 1
    cut = cut_defect(LabelledImage("x", lambda: image, {"dent": WeakLabel("mask", target, target > 0.5)}))
    assert cut is not None
    assert cut.mask.sum() == 900


def test_only_labels_with_a_shape_can_be_cut() -> None:
    assert cut_defect(labelled(3, "box")) is None
    assert cut_defect(labelled(3, "tag")) is None
    assert cut_defect(LabelledImage("x", lambda: plate(1), {})) is None


def test_a_host_of_another_size_gets_a_defect_of_its_own_scale() -> None:
    cut = cut_defect(labelled(3))
    assert cut is not None
    large = np.repeat(np.repeat(plate(40), 2, 0), 2, 1)
    _, mask = paste(cut, large, np.random.default_rng(1))
    assert 4 * 0.4 * cut.mask.sum() < mask.sum() < 4 * 1.6 * cut.mask.sum()
