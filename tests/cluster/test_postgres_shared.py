"""Several processes, as on several machines, over one PostgreSQL database, which goes away and comes back."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adclick_backend.cli import main
from adclick_backend.store import DiskError, Store, StoreError
from adclick_backend.store.labelled_task import Annotated, LabelledTask, Summary
from adclick_backend.store.tables import SCHEMA
from tests.helpers.postgres import PASSWORD, PostgresServer

pytestmark = pytest.mark.cluster

PROCESSES = 5


@pytest.fixture
def store(tmp_path: Path, postgres: str) -> Iterator[Store]:
    store = Store(tmp_path, postgres)
    yield store
    store.close()


def _work(url: str, folder: Path, work: Callable[[Store, int], object], number: int, start: float) -> None:
    store = Store(folder, url)
    time.sleep(max(0.0, start - time.time()))
    work(store, number)
    store.close()


def in_processes(url: str, folder: Path, work: Callable[[Store, int], object], many: int = PROCESSES) -> None:
    """Let processes do something to one database at the same moment, each with its own folder."""
    start = time.time() + 1.5
    processes = []
    for number in range(many):
        own = folder / f"machine {number}"
        own.mkdir()
        args = (url, own, work, number, start)
        processes.append(multiprocessing.get_context("fork").Process(target=_work, args=args))
        processes[-1].start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- several writers


def test_backends_that_start_at_once_make_the_tables_once(tmp_path: Path, postgres: str) -> None:
    in_processes(postgres, tmp_path, lambda store, number: store.values.set("1", f"{number}", "here"))
    store = Store(tmp_path, postgres)
    assert [store.values.get("1", f"{number}") for number in range(PROCESSES)] == ["here"] * PROCESSES
    store.close()


def test_one_job_runs_and_one_waits(tmp_path: Path, postgres: str, store: Store) -> None:
    def ask_and_begin(store: Store, number: int) -> None:
        for _ in range(10):
            store.jobs.enqueue("1", "train", f"machine {number}", "Waits.", again=True)
            job = store.jobs.next_queued("train")
            if job is None or store.jobs.running():
                continue
            try:
                begun = store.jobs.begin(job.id, f"machine {number}")
            except Exception as error:  # another one began what was asked for meanwhile
                assert "one_running_job" in str(error)
                continue
            if begun:
                store.values.add("1", "begun", 1)

    in_processes(postgres, tmp_path, ask_and_begin)
    states = sorted(job.state for job in store.jobs.of_project("1"))
    assert states == ["preparing", "queued"]
    assert store.values.get("1", "begun") == "1"


def test_a_sum_of_several_machines_misses_nothing(tmp_path: Path, postgres: str, store: Store) -> None:
    def count(store: Store, number: int) -> None:
        for _ in range(20):
            store.values.add("1", "counted", 1)
        store.values.get_or_add("1", "secret", f"of machine {number}")

    in_processes(postgres, tmp_path, count)
    assert store.values.get("1", "counted") == str(20 * PROCESSES)
    assert str(store.values.get("1", "secret")).startswith("of machine ")


def test_messages_that_come_twice_to_any_backend_count_once_and_the_newest_wins(
    tmp_path: Path, postgres: str, store: Store
) -> None:
    """Reliability row 17: each machine hears all of them, in an order of its own."""

    def hear(store: Store, number: int) -> None:
        for at in [3.0, 9.0, 1.0, 7.0, 5.0][number:] + [3.0, 9.0, 1.0, 7.0, 5.0][:number]:
            said: Annotated = {"id": 4, "result": [{"at": at}], "was_cancelled": False, "changed_at": at}
            store.labels.put([LabelledTask("1", 2, {}, [], "/a.png")], said, lambda _: Summary({}))
            image = {"url": "/a.png", "product": "", "name": "a.png", "task_id": 2}
            store.references.follow("1", {4: [image]}, [2])

    in_processes(postgres, tmp_path, hear)
    (row,) = store.labels.of_project("1")
    assert [(one["changed_at"], one["result"]) for one in row.annotations] == [(9.0, [{"at": 9.0}])]
    assert len(store.references.of_project("1")) == 1


def test_a_connection_is_not_carried_through_a_fork(postgres: str, store: Store) -> None:
    store.values.set("1", "key", "parent")
    child = os.fork()
    if child == 0:
        known = store.values.get("1", "key")
        store.values.set("1", "child", f"{known}'s child")
        os._exit(0)
    os.waitpid(child, 0)
    assert store.values.get("1", "child") == "parent's child"
    store.values.set("1", "key", "parent goes on")


def test_clocks_of_machines_do_not_count(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    right = time.time()
    monkeypatch.setattr(time, "time", lambda: right - 600)
    assert abs(store.database.now() - right) < 5
    store.problems.add("1", "A sentence.")
    assert abs(store.problems.latest("1")[0].last - right) < 5


# --- a server that is away


def test_a_server_that_is_killed_and_comes_back_has_everything_that_was_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept: list[int] = []
    refused: list[str] = []
    over = threading.Event()

    def write(store: Store) -> None:
        while not over.is_set():
            number = len(kept) + len(refused)
            try:
                store.values.set("1", f"{threading.get_ident()} {number}", "kept")
            except DiskError as error:
                refused.append(str(error))
                time.sleep(0.05)
            else:
                kept.append(number)

    with PostgresServer() as server:
        store = Store(tmp_path, server.database())
        threads = [threading.Thread(target=write, args=(store,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: len(kept) > 20)
            server.kill()
            wait_for(lambda: len(refused) > 3)
            assert store.disk.problem.startswith("The database that ADCLICK_DATABASE_URL names cannot be ")
            store.problems.add("1", "Said while the server is away.")
            before = len(kept)
            server.start()
            wait_for(lambda: len(kept) > before + 20)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        with store.database.read() as connection:
            there = connection.exec_driver_sql(
                "SELECT count(*) FROM key_values WHERE value = 'kept'"
            ).scalar_one()
        assert there >= len(kept)  # one that was committed may have lost its answer
        wait_for(lambda: not store.disk.look())
        assert [row.sentence for row in store.problems.latest("1")] == ["Said while the server is away."]
        store.close()
    assert all("The database that ADCLICK_DATABASE_URL names cannot be reached" in one for one in refused)
    assert PASSWORD not in caplog.text and PASSWORD not in "".join(refused)


def test_a_database_that_is_for_reading_only_says_so(
    postgres_server: PostgresServer, tmp_path: Path, postgres: str
) -> None:
    Store(tmp_path, postgres).close()
    name = postgres.rsplit("/", 1)[1]
    postgres_server.psql(f"ALTER DATABASE {name} SET default_transaction_read_only = on", "postgres")
    store = Store(tmp_path, postgres)
    assert store.values.get("1", "key") is None
    with pytest.raises(DiskError, match="is for reading only"):
        store.values.set("1", "key", "value")
    postgres_server.psql(f"ALTER DATABASE {name} RESET default_transaction_read_only", "postgres")
    store.disk.look()
    store.database.refresh()
    store.values.set("1", "key", "value")
    store.close()


# --- what cannot work is said at the start


def test_a_database_of_a_newer_program_is_refused(
    postgres_server: PostgresServer, tmp_path: Path, postgres: str
) -> None:
    Store(tmp_path, postgres).close()
    name = postgres.rsplit("/", 1)[1]
    postgres_server.psql(f"UPDATE alembic_version SET version_num = '{SCHEMA + 1:04}'", name)
    with pytest.raises(
        StoreError, match=f"newer ADClick \\(schema {SCHEMA + 1:04}, this one knows {SCHEMA}\\)"
    ):
        Store(tmp_path, postgres)


def test_a_user_who_may_not_make_tables_is_told(
    postgres_server: PostgresServer, tmp_path: Path, postgres: str
) -> None:
    postgres_server.psql("CREATE ROLE guest LOGIN PASSWORD 'guest'", "postgres")
    with pytest.raises(StoreError, match=r"permission denied for schema public.*may make tables"):
        Store(tmp_path, postgres_server.url(postgres.rsplit("/", 1)[1], "guest", "guest"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("p%40ss", "wrong"), "password authentication failed"),
        (("/test_", "/no_such_"), "does not exist"),
        (("127.0.0.1", "no-such-host.invalid"), "resolve"),
        (("127.0.0.1:", "127.0.0.1:1"), "invalid port|failed"),
    ],
)
def test_a_url_that_leads_nowhere_is_explained_without_the_password(
    tmp_path: Path, postgres: str, change: tuple[str, str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StoreError, match=reason) as refused:
        Store(tmp_path, postgres.replace(*change))
    assert "ADCLICK_DATABASE_URL" in str(refused.value)
    for secret in (PASSWORD, "p%40ss", "wrong%3Aword"):
        assert secret not in str(refused.value) and secret not in caplog.text


def test_a_command_ends_with_the_sentence(
    tmp_path: Path,
    postgres_server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ADCLICK_DATABASE_URL", postgres_server.url("nowhere"))
    assert main(["prompts", "list", "--project", "1", "--data-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("The database that ADCLICK_DATABASE_URL names (127.0.0.1:")


def test_a_value_can_be_looked_at_beside_a_running_backend(
    tmp_path: Path, postgres: str, store: Store
) -> None:
    store.values.set("", "webhook_secret", "a secret")
    assert Store.peek(tmp_path, "webhook_secret", postgres) == "a secret"
    assert Store.peek(tmp_path, "another", postgres) == ""
    assert Store.peek(tmp_path, "webhook_secret", postgres.replace("/test_", "/no_such_")) == ""
