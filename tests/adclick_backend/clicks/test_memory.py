"""Clicks that Label Studio sends apart and a person means as one object."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adclick_backend.clicks.begun import Begun, unpacked
from adclick_backend.clicks.key_points import ClickObject
from adclick_backend.clicks.memory import ClickMemory
from adclick_backend.clicks.near import Near
from adclick_backend.store import Store
from adclick_backend.store.clicked_objects import MAX_OBJECTS, ClickedInFile
from adclick_backend.store.clicked_shared import ClickedInDatabase
from model.clicks import Click
from tests.helpers.clock import Clock

WIDTH, HEIGHT = 400, 300  # a diagonal of 500 pixels: a lone click reaches 75


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def in_file(tmp_path: Path, clock: Clock) -> ClickMemory:
    return ClickMemory(ClickedInFile(tmp_path / "adclick.db", ttl_s=600, clock=clock), max_clicks=8)


@pytest.fixture
def in_database(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClickMemory]:
    """As several machines keep it; of the databases the one that there is everywhere."""
    store = Store(tmp_path / "data")
    monkeypatch.setattr(store.database, "now", clock)
    yield ClickMemory(ClickedInDatabase(store.database, ttl_s=600), max_clicks=8)
    store.close()


@pytest.fixture(params=["in_file", "in_database"])
def memory(request: pytest.FixtureRequest) -> ClickMemory:
    found: ClickMemory = request.getfixturevalue(request.param)
    return found


def plus(x: float, y: float = 100) -> Click:
    return Click(x, y, True)


def minus(x: float, y: float = 100) -> Click:
    return Click(x, y, False)


def request(first: str, *clicks: Click, label: str = "scratch", width: int = WIDTH) -> ClickObject:
    """A context whose first key point is called ``first``."""
    background = label == "background"
    return ClickObject(f"adclick-{first}", label, clicks, width, HEIGHT, ("a warning",), background)


def test_a_growing_context_stays_one_object(memory: ClickMemory) -> None:
    clicks = [plus(10), plus(20), minus(30)]
    for count in (1, 2, 3):
        sent = request("a", *clicks[:count])
        assert memory.merge("1", "7", sent) == sent


def test_an_undone_click_is_gone(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(10), plus(20)))
    assert memory.merge("1", "7", request("a", plus(10))).clicks == (plus(10),)


def test_a_new_context_of_several_clicks_is_a_new_object(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(10), plus(20)))
    other = memory.merge("1", "7", request("b", plus(11), plus(21)))
    assert (other.region_id, other.clicks) == ("adclick-b", (plus(11), plus(21)))


def test_a_background_click_joins_the_object_being_clicked(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(10), label="dent"))
    memory.merge("1", "7", request("b", plus(300)))
    joined = memory.merge("1", "7", request("n", minus(30), label="background"))
    assert (joined.region_id, joined.label) == ("adclick-b", "scratch")
    assert joined.clicks == (plus(300), minus(30))
    assert not joined.background
    assert joined.warnings == ("a warning",)


def test_background_clicks_outlast_the_next_positive_click(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(10)))
    memory.merge("1", "7", request("n", minus(30), label="background"))
    again = memory.merge("1", "7", request("a", plus(10), plus(20)))
    assert again.clicks == (plus(10), plus(20), minus(30))


def test_background_clicks_are_replaced_as_a_set(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(10)))
    memory.merge("1", "7", request("n", minus(30), label="background"))
    memory.merge("1", "7", request("n", minus(30), minus(40), label="background"))
    moved = memory.merge("1", "7", request("m", minus(50), minus(60), label="background"))
    assert moved.clicks == (plus(10), minus(50), minus(60))


def test_lone_background_clicks_add_up(memory: ClickMemory) -> None:
    """Auto-accept deletes each of them before the next."""
    memory.merge("1", "7", request("a", plus(10)))
    memory.merge("1", "7", request("n", minus(30), label="background"))
    both = memory.merge("1", "7", request("m", minus(40), label="background"))
    assert both.clicks == (plus(10), minus(30), minus(40))


def test_a_background_click_on_nothing_comes_back_as_it_is(memory: ClickMemory) -> None:
    alone = request("n", minus(30), label="background")
    assert memory.merge("1", "7", alone) == alone
    assert memory.merge("1", "7", request("a", plus(10))).clicks == (plus(10),)


def test_lone_positive_clicks_near_the_mask_are_one_object(memory: ClickMemory) -> None:
    """Auto-accept: each click comes alone, and its answer must replace the region."""
    first = memory.merge("1", "7", request("a", plus(100)))
    memory.remember_mask("1", "7", first.region_id, (90, 90, 150, 110))
    inside = memory.merge("1", "7", request("b", plus(120)))
    assert (inside.region_id, inside.clicks) == ("adclick-a", (plus(100), plus(120)))
    near = memory.merge("1", "7", request("c", plus(225)))  # 75 pixels from the mask
    assert (near.region_id, near.clicks) == ("adclick-a", (plus(100), plus(120), plus(225)))
    far = memory.merge("1", "7", request("d", plus(225.1, 186)))
    assert (far.region_id, far.clicks) == ("adclick-d", (plus(225.1, 186),))


def test_a_context_that_began_as_a_lone_click_keeps_its_object(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(100)))
    memory.merge("1", "7", request("b", plus(120)))
    grown = memory.merge("1", "7", request("b", plus(120), minus(140)))
    assert (grown.region_id, grown.clicks) == ("adclick-a", (plus(100), plus(120), minus(140)))


def test_after_a_mask_accepted_by_hand_a_lone_positive_click_is_a_new_object(
    memory: ClickMemory, clock: Clock
) -> None:
    """Its key points were still there long after an answer, so auto-accept is off."""
    memory.merge("1", "7", request("a", plus(100)))
    memory.remember_mask("1", "7", "adclick-a", (90, 90, 150, 110))
    clock.now += 2
    memory.merge("1", "7", request("a", plus(100), minus(160)))
    memory.remember_mask("1", "7", "adclick-a", (90, 90, 120, 110))
    near = memory.merge("1", "7", request("b", plus(160)))
    assert (near.region_id, near.clicks) == ("adclick-b", (plus(160),))
    again = memory.merge("1", "7", request("b", plus(160), plus(170)))
    assert (again.region_id, again.clicks) == ("adclick-b", (plus(160), plus(170)))
    first = memory.merge("1", "7", request("a", plus(100), minus(160), plus(95)))  # an acceptance undone
    assert (first.region_id, len(first.clicks)) == ("adclick-a", 3)


def test_an_accepted_mask_can_still_be_corrected_by_a_negative_click(
    memory: ClickMemory, clock: Clock
) -> None:
    memory.merge("1", "7", request("a", plus(100)))
    memory.remember_mask("1", "7", "adclick-a", (90, 90, 150, 110))
    clock.now += 2
    memory.merge("1", "7", request("a", plus(100), plus(120)))
    corrected = memory.merge("1", "7", request("b", minus(140)))
    assert (corrected.region_id, corrected.clicks) == ("adclick-a", (plus(100), plus(120), minus(140)))


@pytest.mark.parametrize("answered, later", [(True, 1.4), (False, 5.0)])
def test_two_quick_clicks_do_not_end_the_growth_of_auto_accept(
    memory: ClickMemory, clock: Clock, answered: bool, later: float
) -> None:
    """The second is made before the answer to the first has come, so both key points are still there."""
    memory.merge("1", "7", request("a", plus(100)))
    if answered:
        memory.remember_mask("1", "7", "adclick-a", (90, 90, 150, 110))
    clock.now += later
    memory.merge("1", "7", request("a", plus(100), plus(120)))
    memory.remember_mask("1", "7", "adclick-a", (90, 90, 150, 110))
    clock.now += 20
    third = memory.merge("1", "7", request("b", plus(160)))
    assert (third.region_id, third.clicks) == ("adclick-a", (plus(100), plus(120), plus(160)))


def test_clicks_that_wait_for_their_answer_say_nothing_about_auto_accept(
    memory: ClickMemory, clock: Clock
) -> None:
    memory.merge("1", "7", request("a", plus(100)))
    memory.remember_mask("1", "7", "adclick-a", (90, 90, 150, 110))
    clock.now += 20
    memory.merge("1", "7", request("b", plus(120)))  # its answer takes three seconds
    clock.now += 2
    memory.merge("1", "7", request("b", plus(120), plus(140)))
    assert memory.merge("1", "7", request("c", plus(160))).region_id == "adclick-a"


def test_the_same_context_again_is_no_growth(memory: ClickMemory, clock: Clock) -> None:
    """Label Studio repeats a request, or a click was taken back."""
    memory.merge("1", "7", request("a", plus(100), plus(120)))
    memory.remember_mask("1", "7", "adclick-a", (90, 90, 150, 110))
    clock.now += 20
    memory.merge("1", "7", request("a", plus(100), plus(120)))
    assert memory.merge("1", "7", request("b", plus(160))).region_id == "adclick-a"


def test_a_lone_positive_click_joins_the_nearest_object(memory: ClickMemory) -> None:
    for name, x in (("a", 100.0), ("b", 200.0)):
        memory.merge("1", "7", request(name, plus(x), plus(x + 1)))
        memory.remember_mask("1", "7", f"adclick-{name}", (x - 10, 90, x + 10, 110))
    assert memory.merge("1", "7", request("c", plus(140))).region_id == "adclick-a"
    assert memory.merge("1", "7", request("d", plus(160))).region_id == "adclick-b"


def test_of_overlapping_objects_the_newest_is_joined(memory: ClickMemory) -> None:
    for name in ("a", "b"):
        memory.merge("1", "7", request(name, plus(100), plus(110)))
        memory.remember_mask("1", "7", f"adclick-{name}", (50, 50, 150, 150))
    assert memory.merge("1", "7", request("c", plus(140))).region_id == "adclick-b"


def test_before_the_first_answer_the_clicks_say_where_the_object_is(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(100)))
    assert memory.merge("1", "7", request("b", plus(170))).region_id == "adclick-a"


def test_a_lone_negative_click_joins_the_newest_object_of_its_label(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(10)))
    memory.merge("1", "7", request("b", plus(390)))
    memory.merge("1", "7", request("c", plus(200), label="dent"))
    joined = memory.merge("1", "7", request("d", minus(10)))  # however near to the first
    assert (joined.region_id, joined.clicks) == ("adclick-b", (plus(390), minus(10)))


def test_a_lone_negative_click_on_nothing_is_an_object(memory: ClickMemory) -> None:
    assert memory.merge("1", "7", request("a", minus(10))).clicks == (minus(10),)


def test_a_lone_click_of_another_label_is_another_object(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(100)))
    assert memory.merge("1", "7", request("b", plus(101), label="dent")).region_id == "adclick-b"


def test_an_object_renamed_by_its_label_stays_the_object(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(100)))
    renamed = memory.merge("1", "7", request("a", plus(100), plus(110), label="dent"))
    assert (renamed.region_id, renamed.label) == ("adclick-a", "dent")
    negative = memory.merge("1", "7", request("b", minus(120), label="dent"))
    assert negative.region_id == "adclick-a"


def test_the_same_click_twice_counts_once(memory: ClickMemory) -> None:
    """reliability row 12"""
    memory.merge("1", "7", request("a", plus(100)))
    for name in ("b", "c", "b"):
        assert memory.merge("1", "7", request(name, plus(100))).clicks == (plus(100),)


def test_of_many_lone_clicks_the_newest_are_kept(in_file: ClickMemory, tmp_path: Path) -> None:
    """reliability row 12"""
    for i in range(40):
        merged = in_file.merge("1", "7", request(str(i), plus(100 + i)))
    assert merged.region_id == "adclick-0"
    assert merged.clicks == tuple(plus(100 + i) for i in range(32, 40))
    with closing(sqlite3.connect(tmp_path / "adclick.db")) as db:
        assert db.execute("SELECT COUNT(*), MAX(LENGTH(state)) < 1000 FROM clicked_objects").fetchone() == (
            1,
            1,
        )


def test_tasks_and_projects_are_apart(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(100)))
    for project, task in (("1", "8"), ("2", "7")):
        assert memory.merge(project, task, request("b", plus(101))).clicks == (plus(101),)


def test_an_image_of_another_size_is_another_image(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(100)))
    assert memory.merge("1", "7", request("b", plus(101), width=WIDTH + 1)).clicks == (plus(101),)


def test_a_forgotten_task_begins_anew(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(100)))
    memory.merge("1", "8", request("a", plus(100)))
    memory.forget("1", "7")
    assert memory.merge("1", "7", request("b", plus(101))).region_id == "adclick-b"
    assert memory.merge("1", "8", request("b", plus(101))).region_id == "adclick-a"


def test_an_object_that_is_no_longer_clicked_expires(
    in_file: ClickMemory, clock: Clock, tmp_path: Path
) -> None:
    in_file.merge("1", "7", request("a", plus(100)))
    clock.now += 599
    assert in_file.merge("1", "7", request("b", plus(101))).region_id == "adclick-a"
    clock.now += 599  # since the last click, not since the first
    assert in_file.merge("1", "7", request("c", plus(102))).region_id == "adclick-a"
    clock.now += 601
    assert in_file.merge("1", "9", request("d", plus(103))).region_id == "adclick-d"
    with closing(sqlite3.connect(tmp_path / "adclick.db")) as db:
        assert db.execute("SELECT task FROM clicked_objects").fetchall() == [("9",)]


def test_the_time_can_be_said(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(100)), now=0)
    assert memory.merge("1", "7", request("b", plus(101)), now=601).region_id == "adclick-b"


def test_a_task_keeps_a_limited_number_of_objects(in_file: ClickMemory, tmp_path: Path) -> None:
    """reliability row 12"""
    for i in range(MAX_OBJECTS + 5):
        in_file.merge("1", "7", request(f"many {i}", plus(i), plus(i + 1)))
    with closing(sqlite3.connect(tmp_path / "adclick.db")) as db:
        names = [name for (name,) in db.execute("SELECT region_id FROM clicked_objects ORDER BY rowid")]
    assert names == [f"adclick-many {i}" for i in range(5, MAX_OBJECTS + 5)]


def test_a_failed_merge_leaves_nothing_behind(memory: ClickMemory) -> None:
    unwritable = request("a", plus(100), label=b"scratch")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        memory.merge("1", "7", unwritable)
    assert memory.merge("1", "7", request("b", plus(101))).clicks == (plus(101),)


# The table as it was made before the file had a version.
UNVERSIONED = """
CREATE TABLE IF NOT EXISTS clicked_objects (
    project TEXT NOT NULL, task TEXT NOT NULL, region_id TEXT NOT NULL,
    state TEXT NOT NULL, bbox TEXT NOT NULL, touched REAL NOT NULL, answered REAL,
    PRIMARY KEY (project, task, region_id)
)
"""


def test_what_was_clicked_before_the_file_had_a_version_is_gone_on_with(tmp_path: Path, clock: Clock) -> None:
    with closing(sqlite3.connect(tmp_path / "adclick.db")) as db, db:
        db.execute(UNVERSIONED)
        state = '["scratch", 400, 300, false, {"adclick-a": [[100, 100, true]]}, {}]'
        row = ("1", "7", "adclick-a", state, "[90.0, 90.0, 110.0, 110.0]", 999.0, 999.5)
        db.execute("INSERT INTO clicked_objects VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    memory = ClickMemory(ClickedInFile(tmp_path / "adclick.db", ttl_s=600, clock=clock))
    merged = memory.merge("1", "7", request("b", plus(120)))
    assert (merged.region_id, merged.clicks) == ("adclick-a", (plus(100), plus(120)))
    with closing(sqlite3.connect(tmp_path / "adclick.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (4,)


def test_clicks_go_on_when_a_newer_program_was_here(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "adclick.db")) as db, db:
        db.execute("CREATE TABLE clicked_objects (everything BLOB)")
        db.execute("PRAGMA user_version = 99")
    memory = ClickMemory(ClickedInFile(tmp_path / "adclick.db", ttl_s=600))
    memory.merge("1", "7", request("a", plus(100)))
    assert memory.merge("1", "7", request("b", plus(101))).region_id == "adclick-a"


def test_clicks_go_on_when_the_file_is_damaged_meanwhile(in_file: ClickMemory, tmp_path: Path) -> None:
    in_file.merge("1", "7", request("a", plus(100)))
    (tmp_path / "adclick.db").write_bytes(b"no database" * 1000)
    in_file.remember_mask("1", "7", "adclick-a", (0, 0, 1, 1))
    assert in_file.merge("1", "7", request("b", plus(101))).region_id == "adclick-b"
    (tmp_path / "adclick.db").write_bytes(b"no database" * 1000)
    in_file.forget("1", "7")
    assert in_file.merge("1", "7", request("c", plus(102))).region_id == "adclick-c"


def test_two_workers_share_an_object(tmp_path: Path) -> None:
    """Both add lone clicks to it at the same time, and none is lost."""
    workers = [ClickMemory(ClickedInFile(tmp_path / "adclick.db", ttl_s=600)) for _ in range(2)]
    workers[0].merge("1", "7", request("a", plus(100)))
    start = threading.Barrier(len(workers))

    def click(worker: int) -> None:
        start.wait()
        for i in range(25):
            name, x = f"{worker} {i}", 101 + worker + i * 2
            merged = workers[worker].merge("1", "7", request(name, plus(x)))
            workers[worker].remember_mask("1", "7", merged.region_id, (90, 90, 160, 110))

    threads = [threading.Thread(target=click, args=(worker,)) for worker in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    merged = workers[1].merge("1", "7", request("last", minus(10)))
    assert merged.region_id == "adclick-a"
    assert sorted(merged.clicks) == [minus(10), *(plus(x) for x in range(100, 151))]


def test_clicks_that_an_earlier_release_remembered_go_on(tmp_path: Path) -> None:
    """It kept Unix seconds, where the times of now count from the start of the machine."""
    path = tmp_path / "clicks.sqlite3"
    before = ClickMemory(ClickedInFile(path, ttl_s=600, clock=lambda: time.time() - 30))
    first = before.merge("1", "7", request("a", plus(10)))
    after = ClickMemory(ClickedInFile(path, ttl_s=600, clock=lambda: 5000.0))
    joined = after.merge("1", "7", request("b", minus(12)))
    assert (joined.region_id, joined.clicks) == (first.region_id, (plus(10), minus(12)))


def test_an_object_keeps_the_version_that_it_was_begun_with(memory: ClickMemory) -> None:
    first = replace(request("a", plus(100)), version="v3")
    assert memory.merge("1", "7", first).version == "v3"
    assert memory.merge("1", "7", replace(request("a", plus(100), plus(105)), version="v4")).version == "v3"
    memory.forget("1", "7")
    assert memory.merge("1", "7", replace(first, version="v4")).version == "v4"


def test_an_object_keeps_where_its_first_click_was_expected(memory: ClickMemory) -> None:
    """Whoever answers its next click builds on the same answers, whatever was expected since."""
    near = Near("of three references", ((0, 10, 200, 220), (80, 90, 200, 220)))
    first = memory.merge("1", "7", request("a", plus(100)))
    assert first.near is None
    memory.remember_mask("1", "7", first.region_id, (90, 90, 110, 110), near)
    assert memory.merge("1", "7", request("a", plus(100), plus(105))).near == near
    assert memory.merge("1", "7", request("a", plus(100), plus(105), minus(300))).near == near
    assert memory.merge("1", "7", request("other", plus(390, 290))).near is None


def shown(name: str, left: int, right: int, label: str = "scratch") -> Begun:
    """A mask from x = left to right, between y = 90 and 110, that nobody clicked yet."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[90:110, left:right] = True
    return Begun(name, label, mask)


@pytest.mark.parametrize("click", [minus(120), plus(155), minus(180)])
def test_a_first_click_in_or_near_a_mask_goes_on_with_it(memory: ClickMemory, click: Click) -> None:
    there = shown("proposal-1", 100, 150)
    begun = memory.merge("1", "7", request("a", click), shown=[there, shown("proposal-2", 300, 320)])
    assert (begun.region_id, begun.label, begun.clicks) == ("proposal-1", "scratch", (click,))
    mask = unpacked(begun.begun, HEIGHT, WIDTH)
    assert mask is not None and np.array_equal(mask, there.mask)


def test_a_positive_click_in_a_mask_takes_its_place_and_owes_it_nothing(memory: ClickMemory) -> None:
    """A person may have deleted it just before."""
    new = memory.merge("1", "7", request("a", plus(120)), shown=[shown("proposal-1", 100, 150)])
    assert (new.region_id, new.clicks, new.begun) == ("proposal-1", (plus(120),), b"")


def test_later_clicks_keep_the_mask_that_the_object_began_with(memory: ClickMemory) -> None:
    there = shown("proposal-1", 100, 150)
    first = memory.merge("1", "7", request("a", minus(110)), shown=[there])
    memory.remember_mask("1", "7", "proposal-1", (110, 90, 150, 110))
    # By then Label Studio's draft has the corrected mask; with auto-accept each click comes alone.
    other = Begun("proposal-1", "scratch", ~there.mask)
    second = memory.merge("1", "7", request("b", plus(152)), shown=[other])
    third = memory.merge("1", "7", request("b", plus(152), minus(148)))
    assert second.region_id == third.region_id == "proposal-1"
    assert third.clicks == (minus(110), plus(152), minus(148))
    assert first.begun == second.begun == third.begun != b""


def test_a_click_far_from_every_mask_begins_an_object(memory: ClickMemory) -> None:
    new = memory.merge("1", "7", request("a", plus(200)), shown=[shown("proposal-1", 100, 150)])
    assert (new.region_id, new.begun) == ("adclick-a", b"")


def test_a_click_beside_a_mask_of_another_label_begins_an_object(memory: ClickMemory) -> None:
    new = memory.merge("1", "7", request("a", plus(155)), shown=[shown("proposal-1", 100, 150, "dent")])
    assert (new.region_id, new.label, new.begun) == ("adclick-a", "scratch", b"")


def test_a_click_into_a_mask_gives_it_the_label_that_was_clicked(memory: ClickMemory) -> None:
    begun = memory.merge("1", "7", request("a", plus(120)), shown=[shown("proposal-1", 100, 150, "dent")])
    assert (begun.region_id, begun.label) == ("proposal-1", "scratch")


def test_a_negative_click_leaves_a_mask_its_label(memory: ClickMemory) -> None:
    begun = memory.merge("1", "7", request("a", minus(120)), shown=[shown("proposal-1", 100, 150, "dent")])
    assert (begun.region_id, begun.label) == ("proposal-1", "dent")
    memory.remember_mask("1", "7", "proposal-1", (100, 90, 150, 110))
    again = memory.merge("1", "7", request("b", minus(140)))
    assert (again.region_id, again.label, again.clicks) == ("proposal-1", "dent", (minus(120), minus(140)))


def test_of_a_clicked_object_and_a_mask_the_nearer_one_is_meant(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(60)))
    memory.remember_mask("1", "7", "adclick-a", (50, 90, 70, 110))
    there = [shown("proposal-1", 100, 150)]
    assert memory.merge("1", "7", request("b", plus(72)), shown=there).region_id == "adclick-a"
    assert memory.merge("1", "7", request("c", plus(95)), shown=there).region_id == "proposal-1"


def test_a_background_click_into_a_mask_corrects_it(memory: ClickMemory) -> None:
    memory.merge("1", "7", request("a", plus(300)))
    begun = memory.merge(
        "1", "7", request("n", minus(120), label="background"), shown=[shown("proposal-1", 100, 150)]
    )
    assert (begun.region_id, begun.label, begun.background) == ("proposal-1", "scratch", False)
    assert begun.begun
