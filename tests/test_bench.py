from __future__ import annotations

import os
from pathlib import Path

import cv2

from adclick_backend.bench import draw, growth, latency, parts, resident_mb, tiny_defects
from adclick_backend.benchmark.session import BackendSession


def test_the_bench_measures_a_running_backend(tmp_path: Path) -> None:
    """Opening, clicks of two annotators at once, banks that grow; every click must have given a mask."""
    images = tmp_path / "images"
    images.mkdir()
    with BackendSession(tmp_path / "data", images) as session:
        session.set_up("1")
        rows = latency(session, images, "1 MP", count=2, rounds=1)
        grown = growth(session, images, counts=(0, 40), rounds=1)
        small = tiny_defects(session, images, "1", rounds=1)
        spent = parts(session)
        assert session.process is not None
        assert resident_mb(session.process.pid) > 100
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [(c[2], int(c[5])) for c in cells] == [("open", 2), ("first click", 2), ("click", 10)]
    assert all(0 < float(c[3]) <= float(c[4]) for c in cells)
    assert [row.split("|")[1].strip() for row in grown] == ["0", "40"]
    assert float(small[1].split("|")[2]) > 0.5  # 20 px in 12 megapixels, after two clicks
    assert {"fetch", "decode", "network"} <= spent.keys()
    assert all(seconds > 0 and times > 0 for seconds, times in spent.values())


def test_drawn_images_have_the_size_they_are_named_by(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg", 400, 300, seed=1, defect=True)
    draw(tmp_path / "b.jpg", 400, 300, seed=1, defect=False)
    a, b = (cv2.imread(str(tmp_path / name)) for name in ("a.jpg", "b.jpg"))
    assert a is not None
    assert b is not None
    assert a.shape == (300, 400, 3)
    assert a[100, 100].mean() < b[100, 100].mean() - 40


def test_memory_of_this_process_is_seen() -> None:
    assert resident_mb(os.getpid()) > 20
