"""The tables, as they are since schema 8. What changes in them is a migration in `adclick_backend.store.migrations`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    DOUBLE_PRECISION,
    REAL,
    TEXT,
    BigInteger,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.types import TypeEngine

METADATA = MetaData()

SCHEMA = 9
"""The newest schema: number of the last migration."""


class _Words(TypeDecorator[str]):
    """Text in PostgreSQL: in the order of its bytes, as SQLite has it, and without NUL, which it cannot keep."""

    impl = TEXT
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """What is sent."""
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


WORDS: TypeEngine[str] = Text().with_variant(_Words(collation="C"), "postgresql")
WHOLE: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
NUMBER: TypeEngine[float] = REAL().with_variant(DOUBLE_PRECISION(), "postgresql")


def _words(name: str, default: str | None = "") -> Column[str]:
    return Column(name, WORDS, nullable=False, server_default=default)


def _whole(name: str, default: int | None = None) -> Column[int]:
    return Column(name, WHOLE, nullable=False, server_default=None if default is None else text(str(default)))


def _number(name: str, default: int | None = None) -> Column[float]:
    return Column(
        name, NUMBER, nullable=False, server_default=None if default is None else text(str(default))
    )


def _maybe(name: str, kind: TypeEngine[Any]) -> Column[Any]:
    return Column(name, kind, nullable=True)


def _identifier() -> Column[int]:
    return Column("id", WHOLE, primary_key=True)


def _key(*columns: str) -> PrimaryKeyConstraint:
    return PrimaryKeyConstraint(*columns)


def _where(condition: str) -> dict[str, Any]:
    return {
        "sqlite_where": text(condition)
    }  # to name PostgreSQL here would import all that SQLAlchemy knows of it


projects = Table(
    "projects",
    METADATA,
    Column("id", WORDS, primary_key=True),
    _words("created"),
    _words("title"),
    _words("hostname"),
    _words("token"),
    _words("label_config"),
    _words("extra_params"),
    _number("updated"),
)

key_values = Table(
    "key_values",
    METADATA,
    _words("project", None),
    _words("key", None),
    _words("value", None),
    _key("project", "key"),
    sqlite_with_rowid=False,
)

reference_images = Table(
    "reference_images",
    METADATA,
    _identifier(),
    _words("project", None),
    _words("product"),
    _words("sha"),
    _words("source", None),
    _words("name"),
    _words("url"),
    _maybe("task_id", WHOLE),
    _maybe("annotation_id", WHOLE),
    _words("file"),
    _words("state", None),
    _words("reason"),
    _words("model_version"),
    _whole("attempts", 0),
    _number("due", 0),
    _maybe("residual", NUMBER),
    _maybe("oddness", NUMBER),
    _number("added"),
    Index(
        "reference_of_annotation",
        *("project", "annotation_id", "product"),
        unique=True,
        **_where("annotation_id IS NOT NULL"),
    ),
    Index("references_of_bank", "project", "product", "state", "sha"),
    Index("references_to_do", "state", "due"),
)

former_references = Table(
    "former_references",
    METADATA,
    _words("project", None),
    _words("url", None),
    _words("sha", None),
    _words("file", None),
    _number("gone"),
    _key("project", "url"),
    sqlite_with_rowid=False,
)

white_points = Table(
    "white_points",
    METADATA,
    _words("project", None),
    _words("product", None),
    _whole("white"),
    _whole("by_references"),
    _key("project", "product"),
    sqlite_with_rowid=False,
)
"""Rows that references decided on go with the last of them, by triggers on `reference_images`."""

annotation_revisions = Table(
    "annotation_revisions",
    METADATA,
    _words("project", None),
    _whole("annotation_id"),
    _number("changed_at"),
    _whole("deleted", 0),
    _maybe("task_id", WHOLE),
    _number("heard", 0),
    _maybe("author", WHOLE),
    _key("project", "annotation_id"),
    Index("revisions_of_task", "project", "task_id"),
    sqlite_with_rowid=False,
)

deleted_tasks = Table(
    "deleted_tasks",
    METADATA,
    _words("project", None),
    _whole("task_id"),
    _number("heard", 0),
    _key("project", "task_id"),
    sqlite_with_rowid=False,
)

task_checks = Table(
    "task_checks",
    METADATA,
    _words("project", None),
    _whole("task_id"),
    _number("asked"),
    _whole("attempts", 0),
    _number("due", 0),
    _key("project", "task_id"),
    sqlite_with_rowid=False,
)

problems = Table(
    "problems",
    METADATA,
    _identifier(),
    _words("project", None),
    _maybe("task_id", WHOLE),
    _words("sentence", None),
    _whole("times", 1),
    _number("last"),
    Index("problems_of_project", "project", "last"),
)

answers = Table(
    "answers",
    METADATA,
    _words("project", None),
    _whole("task_id"),
    _words("region", None),
    _words("label", None),
    _words("clicks", None),
    _words("sha", None),
    _words("model_version", None),
    _words("reference_shas", None),
    _whole("height"),
    _whole("width"),
    Column("mask", LargeBinary, nullable=False),
    _whole("map_height"),
    _whole("map_width"),
    Column("probability", LargeBinary, nullable=False),
    _number("answered"),
    _whole("accepted", 0),
    _key("project", "task_id", "region"),
    Index("answers_to_prune", "accepted", "answered"),
)

labelled_tasks = Table(
    "labelled_tasks",
    METADATA,
    _words("project", None),
    _whole("task_id"),
    _words("image"),
    _words("data", None),
    _words("annotations", None),
    _words("kinds"),
    _words("url"),
    _words("sha"),
    _words("file"),
    _words("problem"),
    _number("updated"),
    _maybe("deleted", NUMBER),
    _words("flag"),
    _words("remark"),
    _maybe("restored", NUMBER),
    _key("project", "task_id", "image"),
)

jobs = Table(
    "jobs",
    METADATA,
    _identifier(),
    _words("project", None),
    _words("kind", None),
    _words("state", None),
    _words("trigger"),
    _words("message"),
    _number("progress", 0),
    _maybe("seconds_left", NUMBER),
    _words("version"),
    _maybe("pid", WHOLE),
    _maybe("heartbeat", NUMBER),
    _whole("cancel", 0),
    _number("created"),
    _maybe("started", NUMBER),
    _maybe("ended", NUMBER),
    _words("host"),
    Index("jobs_of_project", "project", "id"),
    Index("one_waiting_job", "project", "kind", unique=True, **_where("state = 'queued'")),
    Index(
        "one_running_job",
        *("project", "kind"),
        unique=True,
        **_where("state IN ('preparing', 'training', 'evaluating')"),
    ),
)

prompts = Table(
    "prompts",
    METADATA,
    _words("project", None),
    _words("label", None),
    _words("phrase", None),
    _words("source", None),
    _whole("valid", 1),
    _number("added"),
    _key("project", "label", "phrase"),
    sqlite_with_rowid=False,
)

# What several machines share and soon forget; with a SQLite file it is kept elsewhere, and these are empty.

clicked_objects = Table(
    "clicked_objects",
    METADATA,
    _words("project", None),
    _words("task", None),
    _words("region_id", None),
    _words("state", None),
    _words("bbox", None),
    _number("touched"),
    _maybe("answered", NUMBER),
    _whole("turn"),
    _words("host"),
    _key("project", "task", "region_id"),
    Index("clicked_objects_to_forget", "touched"),
    sqlite_with_rowid=False,
)

expected_clicks = Table(
    "expected_clicks",
    METADATA,
    _words("project", None),
    _words("image", None),
    _words("bank", None),
    _words("windows", None),
    _number("noted"),
    _key("project", "image", "bank"),
    Index("expected_clicks_to_forget", "noted"),
    sqlite_with_rowid=False,
)
