"""A backend of its own for measuring: started in an empty folder, spoken to as Label Studio speaks to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import numpy as np
import requests
from numpy.typing import NDArray

from adclick_backend.brush.rle import decode_rle
from adclick_backend.config.layout import recommended_config
from adclick_backend.references.collection import References
from adclick_backend.settings import Settings
from adclick_backend.store import Store
from model.clicks import Click

LABEL = "defect"


class SessionError(RuntimeError):
    """The backend that was started for measuring does not do its part."""


class BackendSession:
    """Starts ``adclick serve`` on a free loopback port and clicks in it over HTTP; a context manager.

    Args:
        folder: data folder of the backend, used by nothing else.
        images: folder that all images lie in; served as Label Studio's local files.
        environment: further environment variables of the backend.
    """

    def __init__(self, folder: Path, images: Path, environment: dict[str, str] | None = None):
        self.folder, self.images = folder, images.resolve()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            **os.environ,
            "ADCLICK_DATA_DIR": str(folder),
            "ADCLICK_HOST": "127.0.0.1",
            "PORT": str(self.port),
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.images),
            **(environment or {}),
        }
        self._http = requests.Session()
        self.process: subprocess.Popen[bytes] | None = None
        self.config = recommended_config([LABEL])

    def __enter__(self) -> BackendSession:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            command = [sys.executable, "-m", "adclick_backend", "serve"]
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)  # noqa: S603
        self._wait_until_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    def set_up(self, project: str) -> None:
        """Connect a project with the recommended config."""
        body = {"project": f"{project}.1", "schema": self.config, "hostname": "", "access_token": ""}
        self._post("/setup", body)

    def add_references(self, project: str, files: Sequence[Path], timeout_s: float = 3600) -> None:
        """Make files references of a project and wait until they are in use."""
        settings = Settings.model_construct(data_dir=self.folder)
        store = Store(self.folder)
        try:
            references = References(store, settings)
            for file in files:
                references.add(project, file.read_bytes(), source="folder", name=file.name)
            wanted = len({reference.sha for reference in store.references.of_project(project)})
            deadline = time.monotonic() + timeout_s
            while len(store.references.bank(project, "")) < wanted:
                failed = [r for r in store.references.of_project(project) if r.state == "failed"]
                if failed:
                    raise SessionError(f"{failed[0].name} could not become a reference: {failed[0].reason}")
                if time.monotonic() > deadline:
                    raise SessionError(f"{wanted} references were not ready after {timeout_s:.0f} s.")
                time.sleep(0.2)
        finally:
            store.close()

    def open(self, project: str, image: Path, task_id: int) -> None:
        """Open a task, as Label Studio does: a prediction without a context."""
        self._post("/predict", self._body(project, image, task_id, None))

    def click(
        self, project: str, image: Path, task_id: int, clicks: Sequence[Click], size: tuple[int, int]
    ) -> NDArray[np.bool_]:
        """The mask (H, W) after some clicks in an image of ``size`` (width, height); empty when nothing came back."""
        width, height = size
        regions = self.regions(project, image, task_id, clicks, size)
        if not regions:
            return np.zeros((height, width), bool)
        return decode_rle(regions[0]["value"]["rle"], width, height)

    def regions(
        self, project: str, image: Path, task_id: int, clicks: Sequence[Click], size: tuple[int, int]
    ) -> list[dict[str, Any]]:
        """The regions that answer some clicks, as Label Studio gets them."""
        width, height = size
        points = [
            {
                "original_width": width, "original_height": height, "image_rotation": 0,
                "value": {"x": 100 * c.x / width, "y": 100 * c.y / height, "width": 0.3, "keypointlabels": [LABEL]},
                "is_positive": c.positive, "id": f"k{task_id}-{i}", "from_name": "click", "to_name": "image",
                "type": "keypointlabels", "origin": "manual",
            }
            for i, c in enumerate(clicks)
        ]  # fmt: skip
        answer = self._post("/predict", self._body(project, image, task_id, {"result": points}))
        found: list[dict[str, Any]] = answer["results"][0]["result"]
        return found

    def label(self, project: str, image: Path, task_id: int, result: list[dict[str, Any]]) -> None:
        """Submit a task with these regions, as Label Studio tells of it."""
        annotation = {
            "id": task_id, "task": task_id, "result": result, "was_cancelled": False,
            "updated_at": datetime.now(timezone.utc).isoformat(),
        }  # fmt: skip
        task = {"id": task_id, "data": self._data(image)}
        self._event("ANNOTATION_CREATED", project, annotation=annotation, task=task)

    def start_training(self, project: str) -> None:
        """Press *Start Training*."""
        self._event("START_TRAINING", project)

    def _event(self, action: str, project: str, **body: Any) -> None:
        about = {"id": int(project), "title": "bench", "label_config": self.config}
        self._post("/webhook", {"action": action, "project": about, **body}, expected=201)

    def _data(self, image: Path) -> dict[str, str]:
        name = quote(str(image.resolve().relative_to(self.images)))
        return {"image": f"/data/local-files/?d={name}"}

    def _body(
        self, project: str, image: Path, task_id: int, context: dict[str, Any] | None
    ) -> dict[str, Any]:
        task = {"id": task_id, "data": self._data(image)}
        params = {"login": None, "password": None, "context": context}
        return {"tasks": [task], "project": f"{project}.1", "label_config": self.config, "params": params}

    def _post(self, path: str, body: dict[str, Any], expected: int = 200) -> dict[str, Any]:
        answer = self._http.post(self.url + path, json=body, timeout=120)
        if answer.status_code != expected:
            raise SessionError(f"{path} answered {answer.status_code}: {answer.text[:300]}")
        found: dict[str, Any] = answer.json()
        return found

    def _wait_until_up(self) -> None:
        for _ in range(600):
            try:
                if self._http.get(f"{self.url}/health", timeout=2).ok:
                    return
            except (requests.ConnectionError, requests.Timeout):
                if self.process is not None and self.process.poll() is not None:
                    raise SessionError(
                        f"The backend ended at once; see {self.folder / 'server.log'}."
                    ) from None
            time.sleep(0.1)
        raise SessionError("The backend did not answer /health within a minute.")
