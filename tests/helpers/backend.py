"""A backend in a folder of its own, spoken to as Label Studio does, with images read from disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray
from werkzeug.test import TestResponse

from adclick_backend.brush.rle import decode_rle
from adclick_backend.label_studio.webhooks import SECRET_HEADER
from adclick_backend.labels.sync import sync
from adclick_backend.services import Services
from adclick_backend.settings import Settings
from adclick_backend.web.app import create_app
from tests.helpers.fake_engine import FakeEngine
from tests.helpers.versions import publish

CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image" smart="false"><Label value="scratch"/><Label value="dent"/></BrushLabels>
  <KeyPointLabels name="click" toName="image" smart="true" smartOnly="true">
    <Label value="scratch"/><Label value="dent"/><Label value="background"/>
  </KeyPointLabels>
  <Choices name="state" toName="image"><Choice value="normal"/><Choice value="defective"/></Choices>
</View>"""

WIDTH, HEIGHT = 64, 48


class Backend:
    """The app with a fake engine and no background threads; `work` does what they would do."""

    def __init__(self, folder: Path, engine: FakeEngine | None = None, **settings: Any) -> None:
        self.images = folder / "images"
        self.images.mkdir(exist_ok=True)
        self.settings = Settings(data_dir=folder / "data", local_files_root=self.images, **settings)
        self.engine = engine or FakeEngine()
        self.app = create_app(self.settings, self.engine, background=False)  # type: ignore[arg-type]
        self.services: Services = self.app.extensions["adclick"]
        self.client = self.app.test_client()

    def sync(self, project: str = "1", progress: Callable[[float], None] = lambda share: None) -> str:
        """Read all labels of a project from Label Studio, as *Start Training* does; references follow."""
        services = self.services
        problem = sync(project, services.labels, services.store, services.connections, progress)
        services.references.follow(project, services.labels)
        return problem

    def close(self) -> None:
        self.services.stop()

    # --- images

    def draw(self, name: str, blobs: Sequence[tuple[int, int, int]] = (), grey: int = 90) -> str:
        """An image with a square at each (x, y, red); its task URL."""
        pixels = np.full((HEIGHT, WIDTH, 3), grey, np.uint8)
        for x, y, red in blobs:
            pixels[y - 4 : y + 4, x - 4 : x + 4] = (0, 0, red)
        cv2.imwrite(str(self.images / name), pixels)
        return f"/data/local-files/?d={quote(name)}"

    # --- what Label Studio sends

    def setup(self, project: object = "1.1795338618", config: str = CONFIG, **more: object) -> TestResponse:
        body = {
            "project": project,
            "schema": config,
            "hostname": "http://127.0.0.1:9",
            "access_token": "",
            **more,
        }
        return self.client.post("/setup", json=body)

    def open_tasks(
        self, tasks: Sequence[dict[str, Any]], project: object = "1.1", **more: object
    ) -> TestResponse:
        params = {"login": None, "password": None, "context": None}
        body = {"tasks": tasks, "project": project, "label_config": CONFIG, "params": params, **more}
        return self.client.post("/predict", json=body)

    def click(
        self,
        task: dict[str, Any],
        points: Sequence[dict[str, Any]],
        project: object = "1.1",
        config: str = CONFIG,
    ) -> TestResponse:
        params = {"login": None, "password": None, "context": {"result": list(points)}}
        body = {"tasks": [task], "project": project, "label_config": config, "params": params}
        return self.client.post("/predict", json=body)

    @property
    def secret(self) -> dict[str, str]:
        """The header of a webhook that `adclick connect` registered."""
        return {SECRET_HEADER: self.services.webhook_secret.value}

    def webhook(
        self,
        action: str,
        project: int = 1,
        headers: Any = None,
        config: str = CONFIG,
        stranger: bool = False,
        **body: object,
    ) -> TestResponse:
        """A message; it carries the secret unless a stranger sends it or other headers are given."""
        if headers is None and not stranger:
            headers = self.secret
        body = {
            "action": action,
            "project": {"id": project, "title": "Screws", "label_config": config},
            **body,
        }
        return self.client.post("/webhook", json=body, headers=headers)

    def serve_version(self, project: str = "1") -> None:
        """Let the next trained version of a project serve; the fake engine needs no weights."""
        publish(self.services.registry, self.settings.data_dir / "candidates" / project, project)

    def work(self) -> None:
        """Let the reference keeper finish."""
        while self.services.keeper.step():
            pass


def task(url: str, number: int = 1, **data: object) -> dict[str, Any]:
    """A task as /predict carries it."""
    return {"id": number, "data": {"image": url, **data}, "annotations": [], "predictions": [], "drafts": []}


def point(
    x: float, y: float, label: str = "scratch", name: str = "kp1", positive: bool = True
) -> dict[str, Any]:
    """A key point at pixel (x, y) as Label Studio sends it."""
    return {
        "id": name,
        "type": "keypointlabels",
        "from_name": "click",
        "to_name": "image",
        "origin": "manual",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "is_positive": positive,
        "value": {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 0.3, "keypointlabels": [label]},
    }


def annotation(
    number: int,
    choices: Sequence[str] = ("normal",),
    task: int = 1,
    at: str = "2026-11-22T09:11:41.118986Z",
    **more: Any,
) -> dict[str, Any]:
    """An annotation as webhooks carry it."""
    result = [
        {
            "id": "c",
            "from_name": "state",
            "to_name": "image",
            "type": "choices",
            "value": {"choices": list(choices)},
        }
    ]
    return {
        "id": number,
        "task": task,
        "result": result if choices else [],
        "was_cancelled": False,
        "updated_at": at,
        **more,
    }


def mask_of(region: dict[str, Any]) -> NDArray[np.bool_]:
    """The mask in a region."""
    return decode_rle(region["value"]["rle"], region["original_width"], region["original_height"])


def square(x: int, y: int) -> NDArray[np.bool_]:
    """The mask of a blob drawn at (x, y)."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y - 4 : y + 4, x - 4 : x + 4] = True
    return mask
