from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from draw_samples import draw, save_image
from numpy.typing import NDArray

from adclick_backend.benchmark.peers import PEERS
from adclick_backend.benchmark.protocol import click_through
from adclick_backend.benchmark.report import Row, table
from adclick_backend.cli import main
from adclick_backend.clicks import Click

Mask = NDArray[np.bool_]


def square(x: int = 20, side: int = 20) -> Mask:
    mask = np.zeros((64, 64), bool)
    mask[20 : 20 + side, x : x + side] = True
    return mask


def run(segment: object, target: Mask, clicks: int = 20) -> list[float]:
    return click_through(segment, target, clicks, np.random.default_rng(0), 0.0)  # type: ignore[arg-type]


def test_a_perfect_segmenter_needs_one_click() -> None:
    row = Row("a/b", "i", "m", run(lambda clicks: square(), square()))
    assert row.ious == [1.0] * 5
    assert [row.clicks_to(t) for t in (0.8, 0.9)] == [1, 1]


def test_a_blind_segmenter_never_gets_there() -> None:
    row = Row("a/b", "i", "m", run(lambda clicks: np.zeros((64, 64), bool), square()))
    assert len(row.ious) == 20
    assert row.clicks_to(0.8) == 20
    assert row.figures() == [0, 0, 0, 0, 20, 20, 20]


def test_every_click_is_aimed_at_the_mask_before() -> None:
    seen: list[list[Click]] = []

    def segment(clicks: list[Click]) -> Mask:
        seen.append(list(clicks))
        return square(x=20 + 6 * max(0, 3 - len(clicks)))  # creeps towards the target

    run(segment, square())
    assert [len(clicks) for clicks in seen[:3]] == [1, 2, 3]
    assert seen[0][0].positive
    assert not square(x=20)[int(seen[1][1].y), int(seen[1][1].x)] or seen[1][1].positive


def test_the_table_has_the_mean_over_categories_not_over_images() -> None:
    rows = [Row("s/a", str(i), "ADClick", [1.0] * 5) for i in range(3)] + [
        Row("s/b", "0", "ADClick", [0.5] * 20)
    ]
    assert "| **ADClick** | **mean** | 4 | 75.0 | 75.0 | 75.0 | 75.0 | 10.5 |" in table(rows)


@pytest.mark.parametrize("name", list(PEERS))
def test_peers_find_a_plain_square(name: str) -> None:
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal(80, 4, (256, 256, 3)), 0, 255).astype(np.uint8)
    target = np.zeros((256, 256), bool)
    target[100:150, 110:160] = True
    image[target] = (200, 60, 60)
    found = PEERS[name](image, [Click(135, 125, True), Click(30, 30, False), Click(220, 200, False)])
    assert (found & target).sum() / (found | target).sum() > 0.8


def test_the_benchmark_clicks_through_the_real_server_and_can_be_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data/set/flange"
    for seed in (1, 2):
        save_image(root / f"train/good/{seed}.png", draw("flange", seed=seed, size=256).image)
    sample = draw("flange", "stain", seed=8, size=256)
    save_image(root / "test/stain/0.png", sample.image)
    save_image(root / "ground_truth/stain/0_mask.png", sample.mask.astype(np.uint8) * 255)
    command = ["benchmark", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--clicks", "5"]
    assert main(command) == 0
    assert "| ADClick | set/flange | 1 |" in capsys.readouterr().out
    lines = (tmp_path / "out/images.jsonl").read_text().splitlines()
    row = Row(**json.loads(lines[0]))
    assert len(row.ious) == 5
    assert max(row.ious) > 0.4
    assert main(command) == 0
    assert (tmp_path / "out/images.jsonl").read_text().splitlines() == lines


def test_a_folder_without_products_is_said_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "No product in MVTec layout" in capsys.readouterr().out
