"""What a job leaves on disk: its log, its curve, and the candidate it works on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adclick_backend.store import Job, project_id

KEPT = 20
LOG_CHARACTERS = 200_000


class JobFiles:
    """Folders ``data_dir/projects/<id>/jobs/<number>``, one for each job; those of the last `KEPT` jobs stay."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def folder(self, project: str, job: int) -> Path:
        """The folder of a job."""
        return self._data_dir / "projects" / project_id(project) / "jobs" / str(int(job))

    def log_path(self, project: str, job: int) -> Path:
        """The file that standard output and standard error of the job's process go to."""
        return self.folder(project, job) / "log.txt"

    def log(self, project: str, job: int) -> str:
        """The end of that file; "" when there is none."""
        try:
            return self.log_path(project, job).read_text("utf-8", "replace")[-LOG_CHARACTERS:]
        except OSError:
            return ""

    def add_to_curve(self, project: str, job: int, point: Mapping[str, Any]) -> None:
        """Append one point to the job's curve."""
        with (self.folder(project, job) / "curve.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(point) + "\n")

    def curve(self, project: str, job: int) -> list[dict[str, Any]]:
        """The points of the curve, the oldest first; a line that a crash cut short is left out."""
        try:
            lines = (self.folder(project, job) / "curve.jsonl").read_text("utf-8").splitlines()
        except OSError:
            return []
        points = []
        for line in lines:
            try:
                points.append(json.loads(line))
            except ValueError:
                continue
        return points

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
