"""What outlives a request: projects, references, labels, jobs and problems, in one database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from adclick_backend.errors import ProjectIdError
from adclick_backend.store.annotations import AnnotationTable, TaskCheck
from adclick_backend.store.answers import Answer, AnswerTable
from adclick_backend.store.backups import DATABASE, advice
from adclick_backend.store.database import DATABASE_ERRORS, Database, StoreError
from adclick_backend.store.disk import Disk, DiskError
from adclick_backend.store.gallery import GalleryImage, GalleryTable
from adclick_backend.store.jobs import Job, JobKind, JobState, JobTable
from adclick_backend.store.labelled_task import Annotated, LabelledTask
from adclick_backend.store.labels import LabelTable
from adclick_backend.store.locks import DatabaseLocks, FileLocks, Locks
from adclick_backend.store.problems import Problem, ProblemTable
from adclick_backend.store.projects import KeyValueTable, Project, ProjectTable, project_id
from adclick_backend.store.prompts import Prompt, PromptSource, PromptTable
from adclick_backend.store.proposed_parts import JudgedPart, ProposedParts
from adclick_backend.store.references import Reference, ReferenceState, ReferenceTable
from adclick_backend.store.sqlite import SqliteDatabase
from adclick_backend.store.suspicions import Suspicion, Suspicions
from adclick_backend.store.white_points import WhitePoint, WhitePointTable

__all__ = [
    "DATABASE_ERRORS",
    "Annotated",
    "Answer",
    "Disk",
    "DiskError",
    "GalleryImage",
    "Job",
    "JobKind",
    "JobState",
    "JudgedPart",
    "LabelledTask",
    "Problem",
    "Project",
    "ProjectIdError",
    "Prompt",
    "PromptSource",
    "Reference",
    "ReferenceState",
    "Store",
    "StoreError",
    "Suspicion",
    "TaskCheck",
    "WhitePoint",
    "project_id",
]


class Store:
    """The tables of one database. Safe to share between threads, and between processes.

    Args:
        data_dir: the data folder.
        database_url: of a PostgreSQL database; by default ``data_dir/adclick.sqlite3`` is the database.

    Raises:
        StoreError: the database cannot be used; the message says why and what to do.
    """

    def __init__(self, data_dir: Path, database_url: str = "") -> None:
        self.data_dir = data_dir
        self.disk = Disk(data_dir)
        self.disk.advice = lambda: advice(data_dir)
        self.database, self.locks = _opened(data_dir, database_url, self.disk)
        self.projects = ProjectTable(self.database)
        self.values = KeyValueTable(self.database)
        self.suspicions = Suspicions(self.values)
        self.references = ReferenceTable(self.database)
        self.white_points = WhitePointTable(self.database)
        self.annotations = AnnotationTable(self.database)
        self.jobs = JobTable(self.database)
        self.answers = AnswerTable(self.database)
        self.labels = LabelTable(self.database)
        self.proposed_parts = ProposedParts(self.database)
        self.gallery = GalleryTable(self.database)
        self.problems = ProblemTable(self.database)
        self.prompts = PromptTable(self.database)
        self.disk.try_database = lambda: self.values.set("", "last_look_at_the_disk", "")
        self.disk.on_recovery += [self.database.refresh, self.problems.write_down, self.projects.write_down]

    @classmethod
    def peek(cls, data_dir: Path, key: str, database_url: str = "") -> str:
        """A value of no project in the database of a backend that may be running; "" when it cannot be read."""
        if database_url:
            try:
                store = cls(data_dir, database_url)
                with closing(store):
                    return store.values.get("", key) or ""
            except (StoreError, *DATABASE_ERRORS):
                return ""
        file = (data_dir / DATABASE).resolve()
        try:
            with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
                row = connection.execute(
                    "SELECT value FROM key_values WHERE project = '' AND key = ?", (key,)
                ).fetchone()
        except sqlite3.Error:
            return ""
        return str(row[0]) if row else ""

    def close(self) -> None:
        """Close every connection of this process."""
        self.locks.close()
        self.database.close()


def _opened(data_dir: Path, database_url: str, disk: Disk) -> tuple[Database, Locks]:
    """The database, and the locks of all processes that use it."""
    if not database_url:
        return SqliteDatabase(data_dir / DATABASE, disk), FileLocks(data_dir)
    from adclick_backend.store.postgres import PostgresDatabase  # costs time that only its users should pay

    try:  # caches lie there all the same, and whether it can be written is looked at
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The data folder {data_dir} cannot be used ({error}). Give the backend a folder that it may write to: "
            "set ADCLICK_DATA_DIR."
        ) from error
    database = PostgresDatabase(database_url, disk)
    return database, DatabaseLocks(database)
