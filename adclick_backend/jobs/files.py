"""What a job leaves on disk: its log, its curve, and the candidate it works on."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from adclick_backend.settings import Settings
from adclick_backend.store import Job, project_id
from adclick_backend.store.files import Files, open_files

log = logging.getLogger(__name__)

LOG, CURVE = "log.txt", "curve.jsonl"
COPY_S = 3.0  # between two copies of what a job wrote, for those who look at it on other machines
KEPT = 20
LOG_CHARACTERS = 200_000


class JobFiles:
    """Folders ``data_dir/projects/<id>/jobs/<number>``, one for each job; those of the last `KEPT` jobs stay.

    Where several machines share files, the one that runs a job copies its log and its curve there while it runs, for
    those who look at it on another one.

    Args:
        data_dir: data folder of this machine.
        shared: the files that several machines share, if they do.
    """

    def __init__(self, data_dir: Path, shared: Files | None = None) -> None:
        self._data_dir, self._shared = data_dir, shared
        self._copied: dict[str, tuple[int, float]] = {}  # file -> its size, and when it was copied

    @classmethod
    def of(cls, settings: Settings) -> JobFiles:
        """Those of a backend with these settings."""
        files = open_files(settings)
        return cls(settings.data_dir, None if files.local else files)

    def folder(self, project: str, job: int) -> Path:
        """The folder of a job."""
        return self._data_dir / "projects" / project_id(project) / "jobs" / str(int(job))

    def log_path(self, project: str, job: int) -> Path:
        """The file that standard output and standard error of the job's process go to."""
        return self.folder(project, job) / LOG

    def log(self, project: str, job: int) -> str:
        """The end of that file; "" when there is none."""
        return self._read(project, job, LOG).decode("utf-8", "replace")[-LOG_CHARACTERS:]

    def add_to_curve(self, project: str, job: int, point: Mapping[str, Any]) -> None:
        """Append one point to the job's curve."""
        with (self.folder(project, job) / CURVE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(point) + "\n")

    def curve(self, project: str, job: int) -> list[dict[str, Any]]:
        """The points of the curve, the oldest first; a line that a crash cut short is left out."""
        points = []
        for line in self._read(project, job, CURVE).decode("utf-8", "replace").splitlines():
            try:
                points.append(json.loads(line))
            except ValueError:
                continue
        return points

    def copy(self, project: str, job: int, *, over: bool = False) -> None:
        """Copy what the job wrote since it was copied last; where files are not shared, nothing has to be done.

        Args:
            project: of the job.
            job: its number; it runs on this machine.
            over: whether it ended: what it wrote last is not to wait.
        """
        if self._shared is None:
            return
        for name in (LOG, CURVE):
            file, now = f"{_folder(project, job)}/{name}", time.monotonic()
            size, copied = self._copied.get(file, (0, -COPY_S))
            try:
                data = (self.folder(project, job) / name).read_bytes()
                if len(data) != size and (over or now - copied >= COPY_S):
                    self._copied[file] = len(data), now
                    self._shared.put(file, data[-4 * LOG_CHARACTERS :])
            except FileNotFoundError:
                continue
            except OSError as error:  # the store is away: it is copied the next time
                log.warning("What job %s wrote could not be copied: %s", job, error)
                self._copied[file] = 0, now
            if over:
                self._copied.pop(file, None)

    def _read(self, project: str, job: int, name: str) -> bytes:
        """What a job wrote to a file, wherever it runs; empty when there is nothing."""
        with suppress(OSError):
            if self._shared is not None:
                return self._shared.path(f"{_folder(project, job)}/{name}").read_bytes()
        with suppress(OSError):
            return (self.folder(project, job) / name).read_bytes()
        return b""

    def candidate(self, project: str, job: int) -> Path:
        """Where the job puts what may become a version."""
        return self.folder(project, job) / "candidate"

    def resume(self, project: str, recipe: str) -> Path:
        """Where a training keeps its state, so that the same training goes on after it was killed.

        One recipe is kept for each project: what another one left is deleted.
        """
        folder = self._data_dir / "projects" / project_id(project) / "training"
        for other in folder.glob("*"):
            if other.name != recipe[:16]:
                shutil.rmtree(other, ignore_errors=True)
        (folder / recipe[:16]).mkdir(parents=True, exist_ok=True)
        return folder / recipe[:16] / "state.safetensors"

    def clear(self, job: Job) -> None:
        """The job is over: delete its candidate, and the folders of jobs that are long over."""
        shutil.rmtree(self.candidate(job.project, job.id), ignore_errors=True)
        folders = [f for f in self.folder(job.project, job.id).parent.glob("*") if f.name.isdecimal()]
        for folder in sorted(folders, key=lambda f: int(f.name))[:-KEPT]:
            shutil.rmtree(folder, ignore_errors=True)
        if self._shared is not None:
            with suppress(OSError):
                there = f"projects/{project_id(job.project)}/jobs"
                numbers = sorted(int(name) for name in self._shared.names(there) if name.isdecimal())
                for number in numbers[:-KEPT]:
                    self._shared.delete(f"{there}/{number}")


def _folder(project: str, job: int) -> str:
    return f"projects/{project_id(project)}/jobs/{int(job)}"
