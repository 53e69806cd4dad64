"""Pictures of images that somebody only wanted to look at: a few, for an hour, then they are gone."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adclick_backend.moments import is_within
from adclick_backend.store.files.kept import Files
from adclick_backend.store.projects import project_id

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
        about: what was found, as it was given.
    """

    token: str
    about: Mapping[str, Any]
    find: Callable[[str], Path]

    def picture(self, name: str) -> Path | None:
        """The file of that name; None when there is none."""
        try:
            return self.find(name) if name != ABOUT and "/" not in name else None
        except (OSError, ValueError):
            return None


class TryFiles:
    """Folders ``projects/<id>/tries/<token>``, which any worker process may show."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def keep(self, project: str, pictures: Mapping[str, bytes], about: Mapping[str, Any]) -> str:
        """Keep pictures by file name, and what is said of them; answers the token.

        Raises:
            OSError: they cannot be written, as when the disk is full.
        """
        token = secrets.token_hex(16)
        folder = f"{_folder(project)}/{token}"
        try:
            for name, data in pictures.items():
                self._files.put(f"{folder}/{name}", data, durable=False)
            self._files.put(f"{folder}/{ABOUT}", json.dumps(about).encode(), durable=False)
        except OSError:
            with suppress(OSError):
                self._files.delete(folder)
            raise
        self._sweep(_folder(project))
        return token

    def find(self, project: str, token: str) -> KeptTry | None:
        """The one with that token; None when it is too old, or there never was one."""
        folder = f"{_folder(project)}/{token}"
        if not _TOKEN.fullmatch(token) or not is_within(self._written(folder), AGE_S):
            return None
        try:
            about = json.loads(self._files.path(f"{folder}/{ABOUT}").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return KeptTry(token, about, lambda name: self._files.path(f"{folder}/{name}"))

    def sweep(self) -> None:
        """Delete what is too old, of all projects."""
        for project in self._files.names("projects"):
            self._sweep(f"projects/{project}/tries")

    def _sweep(self, folder: str) -> None:
        there = [name for name in self._files.names(folder) if _TOKEN.fullmatch(name)]
        found = sorted(((self._written(f"{folder}/{name}"), name) for name in there), reverse=True)
        for number, (written, name) in enumerate(found):
            if number >= MOST or not is_within(written, AGE_S):
                self._files.delete(f"{folder}/{name}")

    def _written(self, folder: str) -> float:
        """When a folder was written last, Unix seconds; 0 when it is not there."""
        try:
            return time.time() - self._files.age(folder if self._files.local else f"{folder}/{ABOUT}")
        except OSError:
            return 0.0


def _folder(project: str) -> str:
    return f"projects/{project_id(project)}/tries"
