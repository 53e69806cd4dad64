"""Which images operating points are judged by."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adclick_backend.training import point_images
from adclick_backend.training.point_images import choose_point_images
from adclick_backend.training.training_set import TrainingSet
from model.labels.labelled import LabelledImage, WeakLabel, painted

MASK = painted(np.ones((4, 4), bool))
BOX = WeakLabel("box", np.ones((4, 4), np.float32), np.zeros((4, 4), bool))
UNTRAINED = SimpleNamespace(version=None, source=SimpleNamespace(learned=False))


def image(name: str, *types: str, label: WeakLabel = MASK) -> LabelledImage:
    return LabelledImage(name, lambda: np.zeros((4, 4, 3), np.uint8), dict.fromkeys(types, label))


def chosen(images: list[LabelledImage], references: list[str] = []) -> Any:  # noqa: B006
    data = TrainingSet(images, {"": [SimpleNamespace(sha=sha) for sha in references]}, [], "")  # type: ignore[list-item]
    return choose_point_images("1", SimpleNamespace(), data, UNTRAINED)  # type: ignore[arg-type]


def test_a_rare_type_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_images, "MOST", 4)
    many = [image(f"{number:02d}", "dent") for number in range(30)]
    found = chosen([*many, image("a", "scratch"), image("b", "scratch")])
    assert sorted(one for i in found.labelled for one in i.labels) == ["dent", "dent", "scratch", "scratch"]
    assert found.notes == ["Of 32 labelled images 4 were looked at."]
    again = chosen([image("b", "scratch"), *reversed(many), image("a", "scratch")])
    assert [one.name for one in again.labelled] == [one.name for one in found.labelled]


def test_a_box_says_nothing_about_what_is_found() -> None:
    assert [one.name for one in chosen([image("a", "dent", label=BOX), image("b", "dent")]).labelled] == ["b"]


def test_a_reference_in_which_a_defect_is_labelled_is_no_good_image() -> None:
    found = chosen([image("a", "dent"), image("n")], ["a", "c"])
    assert sorted(one.name for one in found.good) == ["c", "n"]
