"""A database of every earlier schema, opened by today's program. The dumps in `fixtures` are never written anew."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adclick_backend.brush.rle import encode_rle
from adclick_backend.store import Project, Reference, Store, StoreError, TaskCheck, WhitePoint, migrate
from adclick_backend.store.answers import Answer, pack_map, pack_mask
from adclick_backend.store.labelled_task import Annotated, LabelledTask, Summary
from adclick_backend.store.ladder import MIGRATIONS
from adclick_backend.store.tables import SCHEMA

FIXTURES = Path(__file__).parents[2] / "fixtures"
FILE = "adclick.sqlite3"
DUMPS = sorted(path.stem for path in FIXTURES.glob("schema_*.sql"))
LATEST = SCHEMA

# SHA-256 of the statements of each migration.
DIGESTS = (
    "7373b56d4f12e40647460cb3f550efcbac1f7e73c2f632672292aa13a975d242",
    "9309f9e8dee0be4c6226657a5d956de667b9dcf8c5ffa6ff16f37a396cd167d5",
    "47a0d552103cfb1250d77543fda56f451a9f838a785d00d7bfcc36ec357766f2",
    "7cb15f2218ff5d260166a4e4090a88eeb74f50f2588ef640cc36235f1374d1d4",
    "4d2c081a16c185ec74995e4d72d8dba2bc7e0de920f6676deab5e270031147ed",
    "5eebb6ce9a4e845dcb0fb2a52b75a304061aa49faef6ce8788257ca2c335a46b",
    "87ac78815d47c2d2dda77b6f52b9ab61edc484051c65c727551627a103c7275a",
    "15637d5d78f947853f878ead0abf47aadab48d1e534d25771abd9a87dad0ab73",
    "1802f6b809520fa2ce6f618a4b6b0a45129a818f2bf8aa9aa63b2ce094e159f3",
)
A, B = "a" * 64, "b" * 64
LINE = np.zeros((4, 6), bool)
LINE[1:3, 2:5] = True
ANSWER = Answer(
    project="9",
    task_id=90,
    region="adclick-r9",
    label="dent",
    clicks=((2.0, 1.0, True),),
    sha=A,
    model_version="adclick-lite-2",
    references=(B,),
    size=LINE.shape,
    mask_rle=pack_mask(encode_rle(LINE)),
    map_size=LINE.shape,
    map_bytes=pack_map(LINE.astype(np.float32)),
    answered=1764000200.0,
)


def make(folder: Path, dump: str, *further: str) -> None:
    """A database file as the program of that time left it."""
    with closing(sqlite3.connect(folder / FILE)) as connection:
        connection.executescript((FIXTURES / f"{dump}.sql").read_text())
        for statement in further:
            connection.execute(statement)
        connection.commit()
        connection.execute("PRAGMA journal_mode = WAL")


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    store = Store(folder)
    try:
        yield store
    finally:
        store.close()


def layout(folder: Path) -> dict[tuple[str, str], str]:
    """(type, name) -> the statement that makes it, of everything in the file; white space does not count."""
    with closing(sqlite3.connect(folder / FILE)) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {(kind, name): " ".join(sql.split()) for kind, name, sql in rows}


def version(folder: Path) -> int:
    with closing(sqlite3.connect(folder / FILE)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_finished_migrations_are_never_edited() -> None:
    for number, (statements, digest) in enumerate(zip(MIGRATIONS, DIGESTS, strict=False), 1):
        found = hashlib.sha256("\n".join(statements).encode()).hexdigest()
        assert found == digest, (
            f"Migration {number} was edited (its digest is {found} now). Files that it made exist and do not run it "
            "again: bring back what it was, and add a new migration at the end for what should change."
        )
    assert len(MIGRATIONS) == len(DIGESTS), (
        f"There are {len(MIGRATIONS)} migrations and {len(DIGESTS)} digests. A migration is never taken out; of a new "
        "one, write the digest down here and put a dump of a database, real rows in it, into tests/fixtures."
    )


def test_there_is_a_database_of_every_schema() -> None:
    for number in range(1, LATEST + 1):
        dump = FIXTURES / f"schema_{number}.sql"
        assert dump.is_file(), f"{dump} is missing: a dump of a database of schema {number}, real rows in it."
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(dump.read_text())
            assert connection.execute("PRAGMA user_version").fetchone() == (number,)
            tables = [
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            empty = [name for name in tables if not connection.execute(f"SELECT 1 FROM {name}").fetchone()]
            assert empty == []


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    with opened(tmp_path) as store:
        assert store.projects.all() == []
        check_it_works(store)
    assert version(tmp_path) == LATEST


@pytest.mark.parametrize(
    "dump",
    [
        "schema_1",
        "schema_2_draft",
        "schema_2",
        "schema_3",
        "schema_4",
        "schema_5",
        "schema_6",
        "schema_7",
        "schema_8",
        "schema_9",
    ],
)
def test_nothing_of_an_earlier_database_is_lost(tmp_path: Path, dump: str) -> None:
    make(tmp_path, dump)
    for _ in range(2):  # the second time nothing is left to migrate
        with opened(tmp_path) as store:
            check_schema_1(store)
            if dump >= "schema_2" and dump != "schema_2_draft":
                check_schema_2(store)
            if dump >= "schema_3":
                check_schema_3(store)
            if dump >= "schema_6":
                check_schema_6(store)
            if dump >= "schema_7":
                check_schema_7(store)
            if dump >= "schema_8":
                check_schema_8(store)
            if dump >= "schema_9":
                check_schema_9(store)
    with opened(tmp_path) as store:
        check_it_works(store)
    assert version(tmp_path) == LATEST


@pytest.mark.parametrize(
    "dump",
    [
        "schema_1",
        "schema_2_draft",
        "schema_2",
        "schema_3",
        "schema_4",
        "schema_5",
        "schema_6",
        "schema_7",
        "schema_8",
        "schema_9",
    ],
)
def test_an_earlier_database_ends_up_as_a_new_one_begins(tmp_path: Path, dump: str) -> None:
    (tmp_path / "new").mkdir()
    make(tmp_path, dump)
    for folder in (tmp_path, tmp_path / "new"):
        Store(folder).close()
    assert layout(tmp_path) == layout(tmp_path / "new")


def test_a_draft_that_a_later_program_opened_is_made_whole_too(tmp_path: Path) -> None:
    """It has the number of a later schema, but not its tables; jobs it could queue, and those stay."""
    make(
        tmp_path,
        "schema_2_draft",
        *MIGRATIONS[2],
        "INSERT INTO jobs (project, kind, state, created) VALUES ('1', 'train', 'failed', 1764000100.0)",
        "INSERT INTO prompts VALUES ('1', 'scratch', 'a thin line', 'person', 1, 1764000100.0)",
        "PRAGMA user_version = 3",
    )
    with opened(tmp_path) as store:
        check_schema_1(store)
        assert [job.state for job in store.jobs.of_project("1")] == ["failed"]
        assert [prompt.phrase for prompt in store.prompts.of_label("1", "scratch")] == ["a thin line"]
        check_it_works(store)


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_database_of_a_newer_schema_is_refused_and_not_touched(tmp_path: Path, journal: str) -> None:
    make(
        tmp_path,
        "schema_3",
        "ALTER TABLE projects RENAME COLUMN title TO name",
        f"PRAGMA user_version = {LATEST + 1}",
    )
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StoreError) as refused:
        Store(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path / FILE} was written by a newer ADClick (schema {LATEST + 1}, this one knows {LATEST}). Start that "
        "version, or set ADCLICK_DATA_DIR to another folder."
    )
    assert (tmp_path / FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_migration_that_fails_half_way_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "schema_1")
    before = layout(tmp_path)
    broken = (*MIGRATIONS, ("CREATE TABLE further (id INTEGER)", "UPDATE nowhere SET id = 1"))
    with monkeypatch.context() as patch:
        patch.setattr("adclick_backend.store.ladder.MIGRATIONS", broken)
        with pytest.raises(StoreError, match="nowhere"):
            Store(tmp_path)
    assert (layout(tmp_path), version(tmp_path)) == (before, 1)
    with opened(tmp_path) as store:
        check_schema_1(store)


def test_alembic_goes_on_where_the_ladder_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration to come, of a file of any earlier schema; until then Alembic is not even imported for a file."""
    folder = tmp_path / "100% migrations"
    shutil.copytree(migrate.FOLDER, folder)
    (folder / "versions" / "to_come.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        f"revision, down_revision = {migrate.revision(LATEST + 1)!r}, {migrate.revision(LATEST)!r}\n"
        "def upgrade():\n"
        "    op.create_table('further', sa.Column('id', sa.Integer, primary_key=True))\n"
        "    op.add_column('projects', sa.Column('colour', sa.Text, nullable=False, server_default='red'))\n"
    )
    data = tmp_path / "data"
    data.mkdir()
    make(data, "schema_3")
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "FOLDER", folder)
        patch.setattr("adclick_backend.store.sqlite.SCHEMA", LATEST + 1)
        for _ in range(2):  # the second time nothing is left to migrate
            with opened(data) as store:
                store.values.set("1", "key", "value")
    assert version(data) == LATEST + 1
    with closing(sqlite3.connect(data / FILE)) as connection:
        assert connection.execute("SELECT colour FROM projects").fetchall() == [("red",), ("red",)]
        assert connection.execute("SELECT COUNT(*) FROM further").fetchone() == (0,)
    with pytest.raises(StoreError, match="newer ADClick"):
        Store(data)


def test_opening_a_file_imports_neither_alembic_nor_a_driver(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from adclick_backend.store import Store\n"
        "Store(Path(sys.argv[1])).close()\n"
        "print([name for name in ('alembic', 'psycopg', 'sqlalchemy.dialects.postgresql') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"


# --- what is in the dumps


def check_schema_1(store: Store) -> None:
    """What every dump holds."""
    cookies = Project(
        "1",
        "1763990000",
        "Cookies",
        "http://ls:8080",
        "secret",
        "<View/>",
        '{"device": "cpu"}',
        1764000001.0,
    )
    assert store.projects.all() == [Project("2", title="Plates; it's another", updated=1764000002.0), cookies]
    assert store.projects.get("1") == cookies
    assert (store.values.get("1", "notice"), store.values.get("", "form_token")) == ("kept", "form")
    uploaded = Reference(
        id=1,
        project="1",
        product="cookie",
        sha=A,
        source="upload",
        name="good.png",
        url="",
        task_id=None,
        annotation_id=None,
        file=f"{A}.png",
        state="ready",
        reason="",
        model_version="adclick-lite-1",
        attempts=0,
        due=0.0,
        residual=0.25,
        oddness=1.5,
        added=1764000003.0,
    )
    annotated = replace(
        uploaded,
        id=2,
        product="",
        sha=B,
        source="annotation",
        name="kept.png",
        url="/data/kept.png",
        task_id=11,
        annotation_id=21,
        file=f"{B}.png",
        state="failed",
        reason="The image is broken.",
        model_version="",
        attempts=1,
        residual=None,
        oddness=None,
        added=1764000004.0,
    )
    assert store.references.of_project("1") == [uploaded, annotated]
    assert store.references.bank("1", "cookie") == (A,)
    assert store.annotations.tasks_of("1", [21]) == [11]  # schema 1 knew the task from the reference alone
    assert [
        (problem.project, problem.task_id, problem.sentence, problem.times, problem.last)
        for problem in store.problems.latest("1")
    ] == [
        ("", None, "The model could not be loaded.", 1, 1764000013.0),
        ("1", 12, "Task 12: the image cannot be read.", 2, 1764000011.0),
    ]
    # What was deleted stays deleted, and what is older than what is known is no news.
    for annotation, task, changed_at in ((23, 13, 1e10), (24, 14, 1e10), (21, 11, 1763999000.0)):
        late = LabelledTask("1", task, {}, [], "/data/late.png")
        said: Annotated = {"id": annotation, "result": [], "was_cancelled": False, "changed_at": changed_at}
        assert not store.labels.put([late], said, lambda task: Summary({})), annotation


def check_schema_2(store: Store) -> None:
    """What came with schema 2."""
    assert store.annotations.tasks_of("1", [22, 26]) == [12, 15]
    (answer,) = store.answers.of_task("1", 12).values()
    assert (answer.region, answer.label, answer.clicks) == (
        "adclick-r1",
        "scratch",
        ((2.0, 1.0, True), (5.5, 3.0, False)),
    )
    assert (answer.sha, answer.model_version, answer.references) == (B, "adclick-lite-1", (A,))
    assert (answer.answered, answer.accepted) == (1763999500.0, True)
    np.testing.assert_array_equal(answer.mask(), LINE)
    np.testing.assert_allclose(answer.probability(), [[0, 0.2, 0.4], [0.6, 0.8, 1]], atol=1 / 510)
    assert store.answers.accepted_clicks("1") == [(1763999500.0, 2)]

    scratched, away = store.labels.of_project("1")
    (annotation,) = scratched.annotations
    assert (annotation["id"], annotation["was_cancelled"], annotation["changed_at"]) == (
        22,
        False,
        1763999001.0,
    )
    assert annotation["result"][0]["value"]["rle"] == encode_rle(LINE)
    assert scratched == LabelledTask(
        project="1",
        task_id=12,
        data={"image": "/data/scratched.png"},
        annotations=[annotation],
        url="/data/scratched.png",
        sha=B,
        file=f"{B}.png",
        updated=1764000014.0,
    )
    assert (away.task_id, away.problem, away.file) == (15, "Label Studio says 404.", "")
    assert store.labels.kinds("1") == [{"scratch": "clicked"}, {}]

    runs, done = [job for job in store.jobs.of_project("1") if job.state != "queued"]
    assert (done.kind, done.state, done.trigger, done.version) == ("train", "done", "the dashboard", "v1")
    assert (done.message, done.progress, done.pid, done.ended) == ("v1 serves.", 1.0, None, 1764000018.0)
    assert store.jobs.running() == [runs]
    assert (runs.state, runs.trigger, runs.message) == ("training", "50 new labels", "Round 3 of 10.")
    assert (runs.progress, runs.seconds_left, runs.pid, runs.heartbeat) == (0.25, 90.0, 4243, 1764000021.0)
    waits = store.jobs.next_queued("push")
    assert waits is not None
    assert (waits.project, waits.trigger) == ("2", "retrieve predictions")

    assert [
        (prompt.phrase, prompt.source, prompt.valid) for prompt in store.prompts.of_label("1", "scratch")
    ] == [("a thin bright line", "person", True), ("a long mark", "llm", False)]


def check_schema_3(store: Store) -> None:
    """While a job runs, one more may wait."""
    waits, runs = store.jobs.of_project("1")[:2]
    assert (waits.state, runs.state) == ("queued", "training")


def check_schema_6(store: Store) -> None:
    """One white point for all 16-bit images of a product."""
    assert store.white_points.get("1", "cookie") == WhitePoint(16383, by_references=True)
    assert store.white_points.get("1", "") == WhitePoint(4095, by_references=False)


def check_schema_7(store: Store) -> None:
    """Messages have tasks read; and the copy of what was a reference until lately is kept."""
    assert store.annotations.next_checks() == [TaskCheck("1", 11, 1, 1764000031.0)]
    assert store.references.former_copy("1", "/data/former.png") == f"{B}.png"
    assert store.labels.restored("1") == set()


def check_schema_8(store: Store) -> None:
    """Who made an annotation."""
    assert [row.author for row in store.gallery.images("1") if row.task_id == 12] == [3]


def check_schema_9(store: Store) -> None:
    """Which machine runs a job."""
    assert [(job.id, job.host) for job in store.jobs.of_project("2")] == [(4, "box-1")]


def check_it_works(store: Store) -> None:
    """Every table takes new rows, in a project of its own."""
    image = {"url": "/data/new.png", "product": "", "name": "new.png", "task_id": 90}
    store.projects.save("9", title="New")
    store.values.set("9", "key", "value")
    store.problems.add("9", "A sentence.")
    store.white_points.update("9", "", lambda _: WhitePoint(8191, by_references=True))
    assert store.white_points.get("9", "") == WhitePoint(8191, by_references=True)
    store.prompts.add("9", "dent", ["a dent"], "person")
    assert store.references.follow("9", {91: [image]})
    assert store.annotations.ask_checks("9", [90], most=1)
    store.references.add("9", product="", sha=A, source="upload", name="a.png", file="a.png")
    for again in (False, True):
        job = store.jobs.enqueue("9", "train", "the dashboard", "Waits.", again=again)
        if not again:
            store.jobs.begin(job.id, "Starts.")
    assert [job.state for job in store.jobs.of_project("9")] == ["queued", "preparing"]
    task = LabelledTask("9", 92, {"image": "/data/new.png"}, [], "/data/new.png")
    labelled = store.labels.put(
        [task],
        {"id": 93, "result": [], "was_cancelled": False, "changed_at": 1.0},
        lambda _: Summary({"dent": "mask"}),
    )
    assert labelled
    assert store.labels.kinds("9") == [{"dent": "mask"}]
    store.answers.put(ANSWER)
    store.answers.accept("9", 90, ["adclick-r9"])
    (kept,) = store.answers.of_task("9", 90).values()
    assert kept == replace(ANSWER, accepted=True)
    assert store.references.follow("9", {}, [90])
    assert [reference.name for reference in store.references.of_project("9")] == ["a.png"]
