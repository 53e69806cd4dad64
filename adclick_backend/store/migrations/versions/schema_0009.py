"""What several machines share: which of them runs a job, what is being clicked, and where clicks are expected.

A SQLite file has the same by its own ladder. Whoever knows schema 8 alone goes on beside it, as
nothing that it uses changes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_WORDS = sa.Text(collation="C")
_NUMBER: sa.Double[float] = sa.Double()


def upgrade() -> None:
    """Make the tables, and the column."""
    op.add_column("jobs", sa.Column("host", _WORDS, nullable=False, server_default=""))
    op.create_table(
        "clicked_objects",
        *(_words(name) for name in ("project", "task", "region_id", "state", "bbox")),
        sa.Column("touched", _NUMBER, nullable=False),
        sa.Column("answered", _NUMBER),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        _words("host", ""),
        sa.PrimaryKeyConstraint("project", "task", "region_id"),
    )
    op.create_index("clicked_objects_to_forget", "clicked_objects", ["touched"])
    op.create_table(
        "expected_clicks",
        *(_words(name) for name in ("project", "image", "bank", "windows")),
        sa.Column("noted", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("project", "image", "bank"),
    )
    op.create_index("expected_clicks_to_forget", "expected_clicks", ["noted"])


def _words(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, _WORDS, nullable=False, server_default=default)
