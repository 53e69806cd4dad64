"""What is usual among references: measured once, and again when their number has doubled."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import NoReturn

import pytest

from adclick_backend.engine.cache import FeatureFiles
from adclick_backend.engine.usual import Usual


def test_usual_energies_are_measured_again_when_the_bank_has_doubled(tmp_path: Path) -> None:
    usual = Usual(tmp_path, "", "float32")
    assert usual.wanted(["a", "b"]) == "a"
    usual.put({"a": {"joint": 4.0}}, 2)
    usual.put({"b": {"joint": 2.0}}, 2)
    assert usual.wanted(["a", "b"]) is None
    assert usual.mean(["a", "b"]) == {"joint": 3.0}
    assert usual.wanted(["a", "b", "c", "d", "e"]) == "a"


def test_only_the_first_references_and_those_that_were_checked_say_what_is_usual(tmp_path: Path) -> None:
    """In whatever order, and for whatever, they were measured: nothing depends on what was opened before."""
    references, means, peaks = ["a", "b", "c", "d"], set(), set()
    levels = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.7}
    for number, order in enumerate(["ab", "ba", "dba", "cdab"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        usual = Usual(folder, "", "float32")
        for sha in order:
            usual.put({sha: {"joint": levels[sha]}}, 4)
        means.add(usual.mean(references)["joint"])
        assert usual.wanted(references, 3) == (None if "c" in order else "c")
        usual.put({"c": {"joint": levels["c"]}}, 4)
        peaks.add(tuple(usual.every(references, "joint", 3)))
    assert means == {(0.1 + 0.2) / 2}
    assert peaks == {(0.1, 0.2, 0.3)}
    usual.put({sha: {"joint": levels[sha]} for sha in reversed(references)}, 4, checked=True)
    assert usual.mean(references)["joint"] == sum(levels.values()) / 4
    assert Usual(tmp_path, "", "bfloat16").wanted(references) == "a"


def test_threads_that_measure_at_once_lose_nothing(tmp_path: Path) -> None:
    names = [f"{i:02d}" for i in range(24)]
    start = threading.Barrier(len(names))

    def measure(name: str) -> None:
        usual = Usual(tmp_path, "", "float32")
        start.wait()
        usual.put({name: {"joint": 1.0}}, len(names))

    threads = [threading.Thread(target=measure, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Usual(tmp_path, "", "float32").every(names, "joint", len(names))) == len(names)


def test_what_is_usual_is_known_though_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 19: else the same would be measured without end."""
    monkeypatch.setattr("adclick_backend.engine.usual.locked", _no_room)
    files = FeatureFiles(tmp_path, "key", 10)
    files.usual("1", "").put({"a": {"joint": 4.0}}, 2)
    files.usual("1", "").put({"b": {"joint": 2.0}}, 2)
    assert files.usual("1", "").wanted(["a", "b"]) is None
    monkeypatch.undo()
    files.usual("1", "").put({"c": {"joint": 2.0}}, 2)
    assert set(FeatureFiles(tmp_path, "key", 10).usual("1", "")._read()) == {"a", "b", "c"}


def _no_room(path: Path, shared: bool = False) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")
