"""Objects that several backends answer clicks on, also while the database that they share is away."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from adclick_backend.store import DiskError, Store
from adclick_backend.store.clicked_objects import MAX_OBJECTS, ClickedRow
from adclick_backend.store.clicked_shared import ClickedInDatabase


class Backend:
    """One of several: what it knows of the objects of task 7, the one clicked last first."""

    def __init__(self, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = Store(folder)
        self.objects = ClickedInDatabase(self.store.database, ttl_s=600, host=name)
        self._patch = monkeypatch

    def known(self) -> list[ClickedRow]:
        found: list[ClickedRow] = []
        self.objects.change("1", "7", lambda rows, now: found.extend(rows))
        return found

    def click(self, name: str, state: str) -> None:
        self.objects.change("1", "7", lambda rows, now: ClickedRow(name, state, "null"))

    def lose_database(self) -> None:
        def away() -> None:
            raise self.store.disk.failed(OSError(5, "cut off"))

        self._patch.setattr(self.store.database, "write", away)

    def find_database(self) -> None:
        self._patch.undo()
        self.store.disk._recovered()


@pytest.fixture
def backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Backend]]:
    made = [Backend(tmp_path, name, monkeypatch) for name in ("one", "two")]
    made[0].store.disk.on_recovery.append(made[0].objects.give_back)
    yield made
    for backend in made:
        backend.store.close()


def names(rows: list[ClickedRow]) -> list[str]:
    return [row.region_id for row in rows]


def test_each_knows_what_came_to_the_other(backends: list[Backend]) -> None:
    one, two = backends
    one.click("a", "first")
    two.objects.answer("1", "7", "a", "[0, 0, 1, 1]")
    (row,) = one.known()
    assert (row.state, row.bbox, row.answered is not None) == ("first", "[0, 0, 1, 1]", True)
    two.click("b", "second")
    one.click("a", "third")
    assert names(two.known()) == ["a", "b"]
    assert two.known()[0].answered is None
    assert one.objects.since_last() < 60 and two.objects.since_last() < 60
    two.objects.forget("1", "7")
    assert one.known() == []


def test_clicks_go_on_while_the_database_is_away_and_nothing_is_lost(backends: list[Backend]) -> None:
    one, two = backends
    one.click("a", "before")
    one.objects.answer("1", "7", "a", "[0, 0, 1, 1]")
    one.lose_database()
    assert one.known()[0].bbox == "[0, 0, 1, 1]"
    one.click("b", "meanwhile")
    one.objects.answer("1", "7", "b", "[2, 2, 3, 3]")
    one.click("a", "meanwhile")
    assert names(one.known()) == ["a", "b"]
    one.find_database()
    assert [(row.region_id, row.state, row.bbox) for row in two.known()] == [
        ("a", "meanwhile", "null"),
        ("b", "meanwhile", "[2, 2, 3, 3]"),
    ]


def test_what_was_forgotten_meanwhile_does_not_come_back(backends: list[Backend]) -> None:
    one, two = backends
    one.click("a", "before")
    one.lose_database()
    one.objects.forget("1", "7")
    one.click("b", "meanwhile")
    one.find_database()
    assert names(two.known()) == ["b"]
    one.objects.forget("1")
    assert two.known() == []


def test_what_was_forgotten_before_is_not_known_meanwhile(backends: list[Backend]) -> None:
    one, _ = backends
    one.click("a", "before")
    one.objects.forget("1", "7")
    one.lose_database()
    assert one.known() == []


def test_many_objects_of_a_task_are_as_few_meanwhile(backends: list[Backend]) -> None:
    one, two = backends
    for number in range(MAX_OBJECTS + 3):
        one.click(str(number), "before")
    assert len(two.known()) == MAX_OBJECTS
    one.lose_database()
    for number in range(5):
        one.click(f"new {number}", "meanwhile")
    assert len(one.known()) == MAX_OBJECTS
    one.find_database()
    two.click("last", "after")
    assert names(one.known())[:3] == ["last", "new 4", "new 3"]
    assert len(one.known()) == MAX_OBJECTS


def test_a_machine_counts_the_clicks_that_came_to_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    here, there = (ClickedInDatabase(store.database, ttl_s=600, host=name) for name in ("here", "there"))
    there.change("1", "7", lambda rows, now: ClickedRow("a", "", "null"))
    assert here.since_last() == math.inf
    assert there.since_last() < 60
    store.close()


def test_whoever_asks_for_it_is_told_that_the_database_is_away(backends: list[Backend]) -> None:
    one, _ = backends
    one.lose_database()
    one.click("a", "meanwhile")
    with pytest.raises(DiskError, match="cannot be written"):
        one.objects.give_back()
