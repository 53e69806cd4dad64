"""Everything of one project taken out of the data folder: its files first, then its rows, in one transaction.

Whatever interrupts it, the project is either still listed, and can be removed again, or gone as a whole.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from sqlalchemy import delete

from adclick_backend.store.database import Database
from adclick_backend.store.files.kept import Files
from adclick_backend.store.projects import project_id
from adclick_backend.store.tables import METADATA, projects

SET_ASIDE = ".removed-"
"""Beginning of the names of folders that are being deleted, in the data folder."""

BEGUN = "removal_begun"
"""Key of the project's store: somebody has begun to remove it, Unix seconds."""


def take_away(database: Database, data_dir: Path, project: str, files: Files | None = None) -> None:
    """Remove the files and the rows of a project; what belongs to another one is not looked at.

    Args:
        database: of the data folder.
        data_dir: the data folder.
        project: project id.
        files: where files are kept, when that is not the data folder.

    Raises:
        OSError, DiskError: the data folder cannot be written; the project is still there and can be removed again.
    """
    _set_aside(data_dir, project, files)
    _forget(database, project)
    _set_aside(data_dir, project, files)  # what was written meanwhile
    sweep_removed(data_dir)


def sweep_removed(data_dir: Path) -> None:
    """Delete what was set aside, also by a process that was killed before it could."""
    for folder in data_dir.glob(f"{SET_ASIDE}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _set_aside(data_dir: Path, project: str, files: Files | None) -> None:
    """Give the folders of a project a name under which nothing is looked for, each in one step."""
    known = project_id(project)
    if files is not None and not files.local:
        files.delete(f"projects/{known}")
    for folder in (data_dir / "projects" / known, data_dir / "cache" / "downloads" / known):
        if folder.is_dir():
            folder.rename(data_dir / f"{SET_ASIDE}{known}-{secrets.token_hex(4)}")


def _forget(database: Database, project: str) -> None:
    """Delete the rows of a project in every table."""
    with database.write() as connection:
        for table in METADATA.sorted_tables:
            if "project" in table.c:
                connection.execute(delete(table).where(table.c.project == project))
        connection.execute(delete(projects).where(projects.c.id == project))
