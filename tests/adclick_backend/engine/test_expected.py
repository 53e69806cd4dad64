"""Where first clicks are expected, in this process and in those of other backends."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from adclick_backend.clicks.near import Near
from adclick_backend.engine.bank import ImageKey
from adclick_backend.engine.expected import ExpectedWindows
from adclick_backend.store import DiskError, Store
from adclick_backend.store.expected_clicks import KEPT_S, ExpectedClicks

KEY, BANK = ImageKey("1", "a" * 64, 4095), "b" * 32
NEAR = Near(BANK, ((0, 10, 200, 220), (5, 5, 100, 100)))


def test_another_backend_expects_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    one, two, alone = ExpectedWindows(), ExpectedWindows(), ExpectedWindows()
    one.shared = two.shared = ExpectedClicks(store.database)
    one.put(KEY, NEAR)
    assert two.get(KEY, BANK) == NEAR
    assert two.get(KEY, "c" * 32) == Near("c" * 32)
    assert two.get(KEY._replace(project="2"), BANK) == alone.get(KEY, BANK) == Near(BANK)
    later = Near(BANK, ((1, 2, 3, 4),))
    two.put(KEY, later)
    assert one.get(KEY, BANK) == later
    now = store.database.now()
    monkeypatch.setattr(store.database, "now", lambda: now + KEPT_S + 1)
    one.put(KEY._replace(project="2"), NEAR)
    assert two.get(KEY, BANK) == Near(BANK)
    store.close()


def test_without_the_database_each_expects_what_it_found_itself() -> None:
    expected = ExpectedWindows()
    expected.shared = Mock(get=Mock(side_effect=DiskError("away")), put=Mock(side_effect=DiskError("away")))
    expected.put(KEY, NEAR)
    assert expected.get(KEY, BANK) == NEAR
