"""Pictures of images that somebody only wanted to look at: a few, for an hour, then they are gone."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adclick_backend.moments import is_within
from adclick_backend.store.projects import project_id
from model.checkpoint.atomic import write_atomically

AGE_S = 3600.0
"""So long the pictures can be looked at."""

MOST = 20
"""Of each project; the oldest goes when one more comes."""

ABOUT = "about.json"
"""Written last: without it there is nothing to be looked at."""

_TOKEN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class KeptTry:
    """One that can be looked at.

    Attributes:
        token: by which it is found; nobody guesses it.
        folder: with its pictures.
        about: what was found, as it was given.
    """

    token: str
    folder: Path
    about: Mapping[str, Any]

    def picture(self, name: str) -> Path | None:
        """The file of that name; None when there is none."""
        path = self.folder / name
        return path if name != ABOUT and path.parent == self.folder and path.is_file() else None


class TryFiles:
    """Folders ``data_dir/projects/<id>/tries/<token>``, which any worker process may show."""

    def __init__(self, data_dir: Path) -> None:
        self._projects = data_dir / "projects"

    def keep(self, project: str, pictures: Mapping[str, bytes], about: Mapping[str, Any]) -> str:
        """Keep pictures by file name, and what is said of them; answers the token.

        Raises:
            OSError: they cannot be written, as when the disk is full.
        """
        token = secrets.token_hex(16)
        folder = self._folder(project) / token
        try:
            for name, data in pictures.items():
                write_atomically(folder / name, data, durable=False)
            write_atomically(folder / ABOUT, json.dumps(about).encode(), durable=False)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._sweep(folder.parent)
        return token

    def find(self, project: str, token: str) -> KeptTry | None:
        """The one with that token; None when it is too old, or there never was one."""
        folder = self._folder(project) / token
        if not _TOKEN.fullmatch(token) or not is_within(_written(folder), AGE_S):
            return None
        try:
            return KeptTry(token, folder, json.loads((folder / ABOUT).read_text("utf-8")))
        except (OSError, ValueError):
            return None

    def sweep(self) -> None:
        """Delete what is too old, of all projects."""
        for folder in self._projects.glob("*/tries"):
            self._sweep(folder)

    def _sweep(self, folder: Path) -> None:
        found = sorted(self._in(folder), key=_written, reverse=True)
        for number, one in enumerate(found):
            if number >= MOST or not is_within(_written(one), AGE_S):
                shutil.rmtree(one, ignore_errors=True)

    def _in(self, folder: Path) -> Iterator[Path]:
        for path in folder.iterdir() if folder.is_dir() else ():
            if _TOKEN.fullmatch(path.name):
                yield path

    def _folder(self, project: str) -> Path:
        return self._projects / project_id(project) / "tries"


def _written(folder: Path) -> float:
    """When a folder was written last, Unix seconds; 0 when it is not there."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
