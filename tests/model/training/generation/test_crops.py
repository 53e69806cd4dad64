from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.generation.anogen.examples import STORED, Example
from model.training.generation.crops import DefectCrops, Origin, drawn_windows, real_windows, store
from tests.helpers.tiny_painter import cloth, spot_on, spotted


def real(count: int = 3) -> list[tuple[str, str, Example]]:
    return [("nut/spot", f"nut/spot/{n}", spot_on(n)) for n in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    drawn = drawn_windows([cloth(0)], 4, np.random.default_rng(0))
    store(tmp_path, [*real_windows(real()), *drawn])
    return tmp_path


def test_windows_are_read_as_they_were_written_with_where_they_come_from(folder: Path) -> None:
    crops = DefectCrops(folder)
    assert crops.windows.shape == (len(crops.origins), STORED, STORED, 4)
    assert crops.origins[:3] == [Origin("nut/spot", f"nut/spot/{n}", drawn=False) for n in range(3)]
    assert all(origin.drawn and origin.image.startswith("drawn-") for origin in crops.origins[3:])
    assert [path.name for path in sorted(folder.iterdir())] == ["origins.json", "windows.npy"]


def test_a_batch_has_what_the_network_needs(folder: Path) -> None:
    batch = DefectCrops(folder).draw(16, np.random.default_rng(0))
    shapes = {name: tuple(maps.shape) for name, maps in batch.items()}
    assert shapes == {
        "clean": (16, 4, 64, 64),
        "given": (16, 4, 64, 64),
        "inside": (16, 1, 64, 64),
        "shown": (16, 4, 64, 64),
    }
    for maps in batch.values():
        assert maps.dtype == torch.float32 and maps.abs().max() <= 1 + 1e-5
    outside = batch["inside"].expand(-1, 3, -1, -1) == 0
    assert torch.equal(batch["given"][:, :3][outside], batch["clean"][:, :3][outside])
    assert (batch["given"][:, :3] != batch["clean"][:, :3])[~outside].float().mean() > 0.9
    assert (batch["clean"][:, 3:][batch["inside"] == 0] == -1).all(), "outside of the box is no defect"
    assert (batch["clean"][:, 3] > 0).flatten(1).any(1).all(), "in each box is one"


def test_the_same_numbers_draw_the_same_batch(folder: Path) -> None:
    crops = DefectCrops(folder)
    first, again, other = (crops.draw(4, np.random.default_rng(seed))["clean"] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(("share", "expected"), [(1.0, 0), (0.0, 1)])
def test_real_and_drawn_defects_are_mixed_as_asked(folder: Path, share: float, expected: int) -> None:
    crops = DefectCrops(folder, real=share)
    seen: list[int] = []
    windows = crops.windows

    class Counted:
        def __getitem__(self, place: int) -> np.ndarray:
            seen.append(place)
            return np.asarray(windows[place])

    crops.windows = Counted()  # type: ignore[assignment]
    crops.draw(20, np.random.default_rng(0))
    assert {int(crops.origins[place].drawn) for place in seen} == {expected}


@pytest.mark.parametrize("which", ["real", "drawn"])
def test_there_may_be_only_real_or_only_drawn_ones(tmp_path: Path, which: str) -> None:
    drawn = drawn_windows([cloth(0)], 2, np.random.default_rng(0))
    store(tmp_path, real_windows(real()) if which == "real" else drawn)
    assert len(DefectCrops(tmp_path).draw(3, np.random.default_rng(0))["clean"]) == 3


def test_a_type_is_shown_by_another_image_as_often_as_by_the_crop_itself(tmp_path: Path) -> None:
    """What its vector says must hold for other images of the type; colours change alike in both."""
    colours = [
        ("cloth/spot", str(n), spotted(np.full((120, 160, 3), 30 * n, np.uint8), (80, 60))) for n in (1, 7)
    ]
    store(tmp_path, real_windows(colours))
    batch = DefectCrops(tmp_path).draw(60, np.random.default_rng(0))
    corners = [batch[name][:, :3, 0, 0].mean(1) for name in ("clean", "shown")]
    other = (corners[0] - corners[1]).abs() > 0.3
    assert 0.25 < other.float().mean() < 0.75
