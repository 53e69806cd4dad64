from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import cv2
import pytest

from adclick_backend.latency import while_training
from adclick_backend.latency.bench import draw, growth, latency, parts, tiny_defects
from adclick_backend.latency.memory import resident_mb
from adclick_backend.latency.session import BackendSession, SessionError
from adclick_backend.store import Store
from model.clicks import Click


@pytest.mark.usefixtures("without_transformer")
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
    assert [(c[2], int(c[5])) for c in cells] == [
        ("proposal", 2),
        ("open", 2),
        ("first click", 2),
        ("click", 10),
    ]
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


class Trainable:
    """Answers clicks, and trains for a second when it is told to."""

    def __init__(self, folder: Path, trains: bool = True) -> None:
        self.folder, self.trains = folder, trains
        self.labelled: list[int] = []

    def open(self, project: str, image: Path, task_id: int) -> None:
        pass

    def regions(self, *of: Any) -> list[dict[str, Any]]:
        return [{"id": "r"}]

    def label(self, project: str, image: Path, task_id: int, result: list[dict[str, Any]]) -> None:
        assert result
        self.labelled.append(task_id)

    def start_training(self, project: str) -> None:
        store = Store(self.folder)
        if not self.trains:
            return
        job = store.jobs.enqueue(project, "train", "test", "waits")
        store.jobs.begin(job.id, "runs")
        store.jobs.set_process(job.id, os.getpid())
        threading.Timer(1.0, store.jobs.end, (job.id, "done", "v1 serves.")).start()


def test_clicks_are_timed_before_and_while_a_training_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(while_training, "PAUSE_S", 0.05)
    session, images = Trainable(tmp_path), [tmp_path / f"{i}.png" for i in range(3)]
    cost = while_training.train(session, "1", images, (100, 100), Click(25, 33, True))  # type: ignore[arg-type]
    assert session.labelled == [1, 2, 3]
    assert len(cost.idle) == while_training.CLICKS
    assert len(cost.during) >= 5
    assert 0.5 < cost.seconds < 5
    assert cost.peak_mb > 50
    assert "| how it ended | done: v1 serves. |" in cost.rows(3)
    assert "3 labelled images" in cost.rows(3)[0]


def test_a_training_that_does_not_begin_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(while_training, "PAUSE_S", 0.01)
    session = Trainable(tmp_path, trains=False)
    with pytest.raises(SessionError, match="Start Training"):
        while_training.train(session, "1", [tmp_path / "a.png"], (9, 9), Click(1, 1, True))  # type: ignore[arg-type]
