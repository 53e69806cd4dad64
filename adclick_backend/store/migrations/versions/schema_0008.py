"""The tables of schema 8, for a database that is empty; a SQLite file has them by its own ladder."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = None

_WORDS = sa.Text(collation="C")
_WHOLE = sa.BigInteger()
_NUMBER: sa.Double[float] = sa.Double()

_GONE = """
CREATE FUNCTION white_point_goes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM reference_images
        WHERE project = OLD.project AND product = OLD.product AND state <> 'removed'
    ) THEN
        DELETE FROM white_points
        WHERE project = OLD.project AND product = OLD.product AND by_references <> 0;
    END IF;
    RETURN NULL;
END $$
"""
_AFTER_DELETE = """
CREATE TRIGGER white_point_goes_with_deleted AFTER DELETE ON reference_images
FOR EACH ROW EXECUTE FUNCTION white_point_goes()
"""
_AFTER_UPDATE = """
CREATE TRIGGER white_point_goes_with_removed AFTER UPDATE OF state ON reference_images
FOR EACH ROW WHEN (NEW.state = 'removed') EXECUTE FUNCTION white_point_goes()
"""


def upgrade() -> None:
    """Make the tables."""
    _projects_and_values()
    _references()
    _annotations()
    _answers_and_labels()
    _the_rest()


def _words(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, _WORDS, nullable=False, server_default=default)


def _whole(name: str, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, _WHOLE, nullable=False, server_default=default and sa.text(default))


def _number(name: str, default: str | None = None) -> sa.Column[float]:
    return sa.Column(name, _NUMBER, nullable=False, server_default=default and sa.text(default))


def _identifier() -> sa.Column[int]:
    return sa.Column("id", _WHOLE, primary_key=True)


def _projects_and_values() -> None:
    op.create_table(
        "projects",
        sa.Column("id", _WORDS, primary_key=True),
        *(_words(name, "") for name in ("created", "title", "hostname", "token", "label_config")),
        _words("extra_params", ""),
        _number("updated"),
    )
    op.create_table(
        "key_values",
        *(_words(name) for name in ("project", "key", "value")),
        sa.PrimaryKeyConstraint("project", "key"),
    )
    op.create_table(
        "problems",
        _identifier(),
        _words("project"),
        sa.Column("task_id", _WHOLE),
        _words("sentence"),
        _whole("times", "1"),
        _number("last"),
    )
    op.create_index("problems_of_project", "problems", ["project", "last"])


def _references() -> None:
    op.create_table(
        "reference_images",
        _identifier(),
        _words("project"),
        *(_words(name, "") for name in ("product", "sha")),
        _words("source"),
        *(_words(name, "") for name in ("name", "url")),
        sa.Column("task_id", _WHOLE),
        sa.Column("annotation_id", _WHOLE),
        _words("file", ""),
        _words("state"),
        *(_words(name, "") for name in ("reason", "model_version")),
        _whole("attempts", "0"),
        _number("due", "0"),
        sa.Column("residual", _NUMBER),
        sa.Column("oddness", _NUMBER),
        _number("added"),
    )
    op.create_index(
        "reference_of_annotation",
        "reference_images",
        ["project", "annotation_id", "product"],
        unique=True,
        postgresql_where=sa.text("annotation_id IS NOT NULL"),
    )
    op.create_index("references_of_bank", "reference_images", ["project", "product", "state", "sha"])
    op.create_index("references_to_do", "reference_images", ["state", "due"])
    op.create_table(
        "former_references",
        *(_words(name) for name in ("project", "url", "sha", "file")),
        _number("gone"),
        sa.PrimaryKeyConstraint("project", "url"),
    )
    op.create_table(
        "white_points",
        *(_words(name) for name in ("project", "product")),
        *(_whole(name) for name in ("white", "by_references")),
        sa.PrimaryKeyConstraint("project", "product"),
    )
    for statement in (_GONE, _AFTER_DELETE, _AFTER_UPDATE):
        op.execute(statement)


def _annotations() -> None:
    op.create_table(
        "annotation_revisions",
        _words("project"),
        _whole("annotation_id"),
        _number("changed_at"),
        _whole("deleted", "0"),
        sa.Column("task_id", _WHOLE),
        _number("heard", "0"),
        sa.Column("author", _WHOLE),
        sa.PrimaryKeyConstraint("project", "annotation_id"),
    )
    op.create_index("revisions_of_task", "annotation_revisions", ["project", "task_id"])
    op.create_table(
        "deleted_tasks",
        _words("project"),
        _whole("task_id"),
        _number("heard", "0"),
        sa.PrimaryKeyConstraint("project", "task_id"),
    )
    op.create_table(
        "task_checks",
        _words("project"),
        _whole("task_id"),
        _number("asked"),
        _whole("attempts", "0"),
        _number("due", "0"),
        sa.PrimaryKeyConstraint("project", "task_id"),
    )


def _answers_and_labels() -> None:
    op.create_table(
        "answers",
        _words("project"),
        _whole("task_id"),
        *(_words(name) for name in ("region", "label", "clicks", "sha", "model_version", "reference_shas")),
        *(_whole(name) for name in ("height", "width")),
        sa.Column("mask", sa.LargeBinary, nullable=False),
        *(_whole(name) for name in ("map_height", "map_width")),
        sa.Column("probability", sa.LargeBinary, nullable=False),
        _number("answered"),
        _whole("accepted", "0"),
        sa.PrimaryKeyConstraint("project", "task_id", "region"),
    )
    op.create_index("answers_to_prune", "answers", ["accepted", "answered"])
    op.create_table(
        "labelled_tasks",
        _words("project"),
        _whole("task_id"),
        _words("image", ""),
        *(_words(name) for name in ("data", "annotations")),
        *(_words(name, "") for name in ("kinds", "url", "sha", "file", "problem")),
        _number("updated"),
        sa.Column("deleted", _NUMBER),
        *(_words(name, "") for name in ("flag", "remark")),
        sa.Column("restored", _NUMBER),
        sa.PrimaryKeyConstraint("project", "task_id", "image"),
    )


def _the_rest() -> None:
    op.create_table(
        "jobs",
        _identifier(),
        *(_words(name) for name in ("project", "kind", "state")),
        *(_words(name, "") for name in ("trigger", "message")),
        _number("progress", "0"),
        sa.Column("seconds_left", _NUMBER),
        _words("version", ""),
        sa.Column("pid", _WHOLE),
        sa.Column("heartbeat", _NUMBER),
        _whole("cancel", "0"),
        _number("created"),
        sa.Column("started", _NUMBER),
        sa.Column("ended", _NUMBER),
    )
    op.create_index("jobs_of_project", "jobs", ["project", "id"])
    op.create_index(
        "one_waiting_job",
        "jobs",
        ["project", "kind"],
        unique=True,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "one_running_job",
        "jobs",
        ["project", "kind"],
        unique=True,
        postgresql_where=sa.text("state IN ('preparing', 'training', 'evaluating')"),
    )
    op.create_table(
        "prompts",
        *(_words(name) for name in ("project", "label", "phrase", "source")),
        _whole("valid", "1"),
        _number("added"),
        sa.PrimaryKeyConstraint("project", "label", "phrase"),
    )
