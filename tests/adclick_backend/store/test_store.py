"""The database: shared by threads and processes, surviving restarts and forks."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adclick_backend.store import ProjectIdError, Store, StoreError, project_id
from adclick_backend.store.database import KEPT_S
from adclick_backend.store.labelled_task import Annotated, LabelledTask, Summary
from adclick_backend.store.ladder import MIGRATIONS
from adclick_backend.store.sqlite import SqliteDatabase, driver
from adclick_backend.store.tables import SCHEMA


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def sqlite(store: Store) -> SqliteDatabase:
    assert isinstance(store.database, SqliteDatabase)
    return store.database


def put(store: Store, annotation: int = 1, task: int = 1, url: str | None = "/a.png") -> bool:
    """What an annotation makes of its image."""
    image = {"url": url, "product": "", "name": "a.png", "task_id": task}
    return store.references.follow("1", {} if url is None else {annotation: [image]}, [task])


@pytest.mark.parametrize(
    ("value", "expected"), [("1.1795338618", "1"), ("17", "17"), (5, "5"), ("0", "0"), ("00012", "00012")]
)
def test_a_project_id_is_the_number_before_the_dot(value: object, expected: str) -> None:
    assert project_id(value) == expected


@pytest.mark.parametrize(
    "value",
    ["", ".", "1.", ".1", "../x", "1/2", "x", "-1", "1 ", "1\n", "²", "1" * 40, None, True, 1.0, b"1", ["1"]],
)
def test_everything_else_is_no_project_id(value: object) -> None:
    """Reliability row 24: ids are validated before they become paths."""
    with pytest.raises(ProjectIdError, match="A project id is a number"):
        project_id(value)


def test_what_is_written_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path)
    first.projects.save("1", hostname="http://ls", token="secret")
    first.values.set("1", "key", "value")
    put(first)
    first.close()
    second = Store(tmp_path)
    assert second.projects.get("1").hostname == "http://ls"
    assert second.values.get("1", "key") == "value"
    assert len(second.references.of_project("1")) == 1
    second.close()


def test_a_token_is_not_in_the_text_of_a_project(store: Store) -> None:
    store.projects.save("1", token="secret")
    assert "secret" not in repr(store.projects.get("1"))


def test_saying_the_same_again_writes_nothing(store: Store) -> None:
    store.projects.save("1", hostname="http://ls")
    before = store.projects.get("1")
    assert store.projects.save("1", hostname="http://ls") == before
    assert store.projects.get("1").updated == before.updated
    assert store.projects.save("1", hostname="http://other").hostname == "http://ls"
    assert [project.id for project in store.projects.all()] == ["1"]


def test_values_belong_to_one_project(store: Store) -> None:
    """Reliability row 24."""
    store.values.set("1", "key", "one")
    store.values.set("2", "key", "two")
    assert (store.values.get("1", "key"), store.values.get("2", "key")) == ("one", "two")
    assert store.values.get("3", "key") is None
    assert store.values.get_or_add("3", "key", "three") == "three"
    assert store.values.get_or_add("3", "key", "four") == "three"


def test_threads_can_write_at_the_same_time(store: Store) -> None:
    def write(number: int) -> None:
        for round_ in range(20):
            store.values.set("1", f"{number}-{round_}", "x")
            store.problems.add("1", f"problem {number}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(store.values.get("1", f"{number}-19") for number in range(8))
    assert {problem.times for problem in store.problems.latest("1")} == {20}


def test_a_failed_transaction_leaves_nothing_behind(store: Store) -> None:
    with pytest.raises(RuntimeError), store.database.write() as connection:
        connection.exec_driver_sql("INSERT INTO key_values VALUES ('1', 'key', 'half')")
        raise RuntimeError
    assert store.values.get("1", "key") is None


def test_a_connection_is_not_carried_through_a_fork(store: Store) -> None:
    store.values.set("1", "key", "parent")
    child = os.fork()
    if child == 0:
        known = store.values.get("1", "key")
        store.values.set("1", "child", f"{known} {len(sqlite(store)._inherited)}")
        os._exit(0)
    os.waitpid(child, 0)
    assert store.values.get("1", "child") == "parent 2"


def test_workers_that_start_at_once_create_the_tables_once(tmp_path: Path) -> None:
    start = threading.Barrier(6)
    errors: list[BaseException] = []

    def open_() -> None:
        start.wait()
        try:
            Store(tmp_path).close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=open_) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_labels_and_references_from_before_there_were_several_images_stay(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "adclick.sqlite3")
    for statement in (statement for statements in MIGRATIONS[:4] for statement in statements):
        connection.execute(statement)
    connection.execute("PRAGMA user_version = 4")
    connection.execute(
        "INSERT INTO labelled_tasks (project, task_id, data, annotations, kinds, url, sha, file, updated, flag) "
        'VALUES (\'1\', 7, \'{}\', \'[{"id": 3, "result": [], "was_cancelled": false, "changed_at": 5.0}]\', '
        "'{}', '/a.png', 'aa', 'aa.png', 9.0, 'unaccepted')"
    )
    connection.execute(
        "INSERT INTO reference_images (project, source, annotation_id, state, added) "
        "VALUES ('1', 'annotation', 3, 'ready', 1.0)"
    )
    connection.commit()
    connection.close()
    store = Store(tmp_path)
    (row,) = store.labels.of_project("1")
    assert (row.task_id, row.image, row.url, row.sha, row.file) == (7, "", "/a.png", "aa", "aa.png")
    assert (row.updated, row.flag, row.annotations[0]["changed_at"]) == (9.0, "unaccepted", 5.0)
    assert store.labels.kinds("1") == [{}]
    assert [reference.product for reference in store.references.of_project("1")] == [""]


def test_a_newer_database_is_not_touched(tmp_path: Path) -> None:
    SqliteDatabase(tmp_path / "adclick.sqlite3").close()
    connection = sqlite3.connect(tmp_path / "adclick.sqlite3")
    connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer ADClick"):
        Store(tmp_path)


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="ADCLICK_DATA_DIR"):
        Store(tmp_path / "file" / "data")


def test_problems_are_counted_and_the_oldest_given_up(store: Store) -> None:
    for number in range(store.problems.KEPT + 10):
        store.problems.add("1", f"problem {number}", number)
    store.problems.add("1", "problem 59", 59)
    store.problems.add("", "about all of them")
    store.problems.add("2", "of another project")
    latest = store.problems.latest("1", limit=100)
    assert len(latest) == store.problems.KEPT + 1
    assert [(problem.sentence, problem.times) for problem in latest[:2]] == [
        ("about all of them", 1),
        ("problem 59", 2),
    ]
    store.problems.clear("1")
    assert store.problems.latest("1") == []
    assert len(store.problems.latest("2")) == 1


# --- references


def test_an_annotation_makes_one_reference_however_often_it_is_told(store: Store) -> None:
    """Reliability row 17: idempotent."""
    assert put(store)
    assert not put(store)
    assert len(store.references.of_project("1")) == 1
    assert put(store, url="/b.png")
    assert [row.url for row in store.references.of_project("1")] == ["/b.png"]
    assert put(store, url=None)
    assert store.references.of_project("1") == []


def test_following_some_tasks_leaves_the_references_of_others(store: Store) -> None:
    put(store, annotation=1, task=1)
    put(store, annotation=2, task=2)
    assert len(store.references.of_project("1")) == 2
    assert store.references.follow("1", {})
    assert store.references.of_project("1") == []


def told(store: Store, annotation: int, at: float, task: int = 1, asked: float | None = None) -> bool:
    kept: Annotated = {"id": annotation, "result": [], "was_cancelled": False, "changed_at": at}
    row = LabelledTask("1", task, {}, [], "/a.png")
    return store.labels.put([row], kept, lambda task: Summary({}), asked)


def test_what_is_told_late_does_not_count(store: Store) -> None:
    """Reliability row 17: reordered webhooks."""
    assert told(store, 1, 5.0)
    assert not told(store, 1, 4.0)
    store.labels.delete_annotations("1", [2], lambda task: Summary({}))
    assert not told(store, 2, 9.0)
    store.labels.delete_tasks("1", [7])
    assert not told(store, 3, 9.0, task=7)


def test_what_label_studio_says_now_outranks_every_mark(store: Store) -> None:
    """Ids announced as deleted before they exist; a Label Studio restored from a backup; a message that was too old."""
    store.labels.delete_annotations("1", [2], lambda task: Summary({}))
    store.labels.delete_tasks("1", [7])
    told(store, 4, 50.0)
    asked = time.time() + 1
    assert told(store, 2, 9.0, task=2, asked=asked)
    assert told(store, 3, 9.0, task=7, asked=asked)
    assert told(store, 4, 40.0, asked=asked)
    assert {row.task_id for row in store.labels.of_project("1")} == {1, 2, 7}


def test_a_deletion_heard_after_label_studio_was_asked_stays(store: Store) -> None:
    asked = time.time()
    store.labels.delete_tasks("1", [7])
    assert not told(store, 3, 9.0, task=7, asked=asked)


def test_deleted_labels_can_be_brought_back_for_a_month(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(store, 1, 5.0)
    told(store, 2, 5.0, task=2)
    store.labels.delete_tasks("1", [1])
    store.labels.delete_annotations("1", [2], lambda task: Summary({}))
    assert store.labels.of_project("1") == []
    assert [task for task, _ in store.labels.deleted("1")] == [2, 1]
    assert store.labels.restore("1", 1, lambda task: Summary({}))
    assert store.labels.restore("1", 2, lambda task: Summary({}))
    assert not store.labels.restore("1", 2, lambda task: Summary({}))
    assert [[one["id"] for one in row.live] for row in store.labels.of_project("1")] == [[1], [2]]
    assert told(store, 1, 6.0)  # and goes on as if nothing had happened
    store.labels.delete_tasks("1", [1])
    now = store.database.now()
    monkeypatch.setattr(store.database, "now", lambda: now + KEPT_S + 10)
    assert store.labels.deleted("1") == []
    assert store.labels.purge() == 1


def test_a_file_that_is_handed_in_twice_is_one_reference(store: Store) -> None:
    given = {"sha": "a" * 64, "source": "folder", "name": "a.png", "file": "a.png"}
    first = store.references.add("1", product="", **given)
    store.references.settle(first, "failed", reason="no")
    again = store.references.add("1", product="", **given)
    assert (again.id, again.state, again.reason) == (first.id, "pending", "")
    store.references.remove("1", first.id)
    assert (
        store.references.add("1", product="", **given).state == "pending"
    )  # handed in once more: wanted again
    assert store.references.add("1", product="nut", **given).id != first.id
    assert store.references.add("2", product="", **given).id != first.id


def test_a_bank_holds_each_ready_image_once(store: Store) -> None:
    given = {"sha": "a" * 64, "source": "folder", "name": "a.png", "file": "a.png"}
    store.references.settle(store.references.add("1", product="", **given), "ready", model_version="1")
    put(store)
    (_, row) = store.references.of_project("1")
    store.references.fetched(row, "a" * 64, "a.png")
    store.references.settle(row, "ready", model_version="1")
    assert store.references.bank("1", "") == ("a" * 64,)
    assert store.references.bank("1", "nut") == ()
    assert store.references.bank("2", "") == ()
    assert store.references.counts() == [("1", "", "ready", 2)]


def test_a_reference_that_was_removed_meanwhile_stays_removed(store: Store) -> None:
    put(store)
    (row,) = store.references.of_project("1")
    put(store, url=None)
    assert store.references.fetched(row, "a" * 64, "a.png") is False
    store.references.settle(row, "ready", model_version="1")
    assert store.references.of_project("1") == []


def test_another_model_version_encodes_again(store: Store) -> None:
    given = {"sha": "a" * 64, "source": "folder", "name": "a.png", "file": "a.png"}
    store.references.settle(store.references.add("1", product="", **given), "ready", model_version="one")
    assert store.references.encode_again("one") == 0
    assert store.references.encode_again("two") == 1
    assert store.references.next_pending() is not None


def test_a_check_that_was_asked_for_again_is_still_to_do(store: Store) -> None:
    store.annotations.ask_checks("1", [3], most=1)
    checks = store.annotations.next_checks()
    store.annotations.ask_checks("1", [3], most=1)
    store.annotations.end_checks(checks)
    (again,) = store.annotations.next_checks()
    assert again.asked > checks[0].asked
    store.annotations.end_checks([again], retry_at=time.time() + 600)
    assert store.annotations.next_checks() == []


def test_too_many_checks_are_none_and_say_so(store: Store) -> None:
    """Bounded checks: beyond that the whole project is read."""
    assert store.annotations.ask_checks("2", [1], most=50)
    assert store.annotations.ask_checks("1", range(50), most=50)
    assert not store.annotations.ask_checks("1", [50], most=50)
    assert [check.project for check in store.annotations.next_checks()] == ["2"]


def test_a_thousand_annotations_are_deleted_in_one_transaction(store: Store) -> None:
    """Reliability row 33: each transaction waits for the disk."""
    for number in range(1, 1001):
        assert told(store, number, 5.0, task=number // 2)
    begun = []
    connection = sqlite(store)._take()
    driver(connection).set_trace_callback(lambda statement: begun.append(statement.startswith("BEGIN")))
    sqlite(store)._give(connection)
    assert store.labels.delete_annotations("1", range(1, 1001), lambda task: Summary({}))
    assert sum(begun) == 1
    assert store.labels.of_project("1") == []
    assert len(store.labels.deleted("1")) == 501


def test_deleting_many_says_the_same_as_deleting_one_by_one(tmp_path: Path) -> None:
    found = []
    for name, groups in (("at once", [[1, 3, 4, 9]]), ("one by one", [[1], [3], [4], [9]])):
        store = Store(tmp_path / name)
        for number in (1, 2, 3, 4):
            told(store, number, 5.0, task=number // 2)
        changed = [store.labels.delete_annotations("1", ids, lambda task: Summary({})) for ids in groups]
        left = [(row.task_id, [one["id"] for one in row.live]) for row in store.labels.of_project("1")]
        found.append((any(changed), left, [task for task, _ in store.labels.deleted("1")]))
        store.close()
    assert found[0][:2] == found[1][:2]
    assert sorted(found[0][2]) == sorted(found[1][2])
