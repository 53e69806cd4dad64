from __future__ import annotations

from pathlib import Path

from model.studies.results import append, read


def test_a_result_behind_a_line_that_a_crash_cut_off_is_not_lost(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    assert read(results) == []
    append(results, {"product": "a", "ap": 0.5})
    with results.open("a") as file:
        file.write('{"product": "b", "a')
    append(results, {"product": "c", "ap": 0.7})
    append(results, {"product": "d", "ap": 0.8})
    assert [row["product"] for row in read(results)] == ["a", "c", "d"]
