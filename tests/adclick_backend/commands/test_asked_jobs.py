"""``adclick prepare-images`` and ``adclick find-alike``: jobs that the command line asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from adclick_backend.cli import main
from adclick_backend.labels.alike_wish import AlikeWish
from adclick_backend.store import Store


def jobs(folder: Path) -> list[tuple[str, str, str]]:
    store = Store(folder)
    found = [(job.kind, job.state, job.trigger) for job in store.jobs.of_project("3")]
    store.close()
    return found


def ask(folder: Path, *words: str) -> int:
    return main([*words, "--project", "3", "--data-dir", str(folder)])


def test_a_preparation_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(tmp_path, "prepare-images") == 0
    assert "A serving backend starts it at once" in capsys.readouterr().out
    assert jobs(tmp_path) == [("prepare", "queued", "command line")]


def test_a_search_is_asked_for_once_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        ask(tmp_path, "find-alike", "--label", "scratch", "--task", "4", "--task", "7", "--everywhere") == 0
    )
    assert ask(tmp_path, "find-alike", "--label", "dent") == 1
    assert "under way already" in capsys.readouterr().out
    assert jobs(tmp_path) == [("alike", "queued", "command line")]
    store = Store(tmp_path)
    assert AlikeWish.read(store, "3") == AlikeWish("scratch", (4, 7), everywhere=True)
    store.close()
