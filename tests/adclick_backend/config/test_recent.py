"""What was computed last, within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from adclick_backend.config import labeling_config
from adclick_backend.config.labeling_config import KEPT_BYTES, LabelingConfig, parse_labeling_config
from adclick_backend.config.recent import Recent, size_of
from adclick_backend.config.statement_controls import StatementControl
from tests.helpers.backend import Backend


def test_the_least_recently_used_gives_way() -> None:
    recent: Recent[str] = Recent(10)
    recent.put("a", "A", 4)
    recent.put("b", "B", 4)
    assert recent.get("a") == "A"
    recent.put("c", "C", 4)
    assert [recent.get(key) for key in "abc"] == ["A", None, "C"]


def test_what_is_too_large_is_not_kept_and_drives_nothing_out() -> None:
    recent: Recent[str] = Recent(10)
    recent.put("a", "A", 10)
    recent.put("b", "B", 11)
    assert (recent.get("a"), recent.get("b")) == ("A", None)


def test_a_value_that_is_put_again_counts_once() -> None:
    recent: Recent[str] = Recent(10)
    for _ in range(5):
        recent.put("a", "A", 4)
    recent.put("b", "B", 6)
    assert (recent.get("a"), recent.get("b")) == ("A", "B")


def test_the_size_of_a_value_is_that_of_all_it_holds() -> None:
    """Reliability row 33: thousands of short names take more memory than their letters."""
    names = tuple(f"label {number}" for number in range(1000))
    assert size_of(names) > sum(map(len, names)) + 1000 * 49
    assert size_of((names, names)) < 1.1 * size_of(names)
    assert size_of({"a": "x" * 1000}) > 1000
    assert size_of(StatementControl("c", names)) > size_of(names)


def test_labeling_configs_are_kept_within_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability row 33: whoever sends ever new ones fills no memory; one as large as is read at all is not kept."""
    kept: Recent[LabelingConfig] = Recent(KEPT_BYTES // 10)
    monkeypatch.setattr(labeling_config, "_kept", kept)
    labels = "".join(f'<Label value="{number:x}"/>' for number in range(300))
    for number in range(60):
        parse_labeling_config(f'<View><BrushLabels name="b{number}">{labels}</BrushLabels></View>')
    assert size_of(dict(kept._kept)) < 1.5 * KEPT_BYTES // 10
    assert 1 < len(kept._kept) < 60


def test_a_config_that_is_too_long_is_said_and_not_kept_whole(tmp_path: Path) -> None:
    """Reliability row 33."""
    backend = Backend(tmp_path)
    answer = backend.setup(config="<View>" + "x" * 5_000_000 + "</View>").json
    assert "The labeling config is longer than 1000000 characters and is not read" in answer["message"]
    assert len(backend.services.store.projects.get("1").label_config) == 1_000_001
    backend.close()
