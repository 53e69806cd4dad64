"""Requests as Label Studio sends them: a connection for each, the password with each; all of them recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import requests

from adclick_backend.brush.rle import decode_rle
from adclick_backend.config.layout import recommended_config
from tests.soak.images import SIDE, Stain, iou
from tests.soak.label_studio import CREATED, PROJECT, Kind
from tests.soak.record import Asked, Record, What

PATIENCE_S = 30.0
"""After which a person takes it that nothing comes; Label Studio itself would wait 100 s."""

LABEL = "stain"
CONFIG = recommended_config([LABEL])


class Point(NamedTuple):
    """A click at pixel (x, y); Alt-click when not positive."""

    x: float
    y: float
    positive: bool = True


class Client:
    """Label Studio's side of the connection.

    Args:
        url: of the backend.
        auth: user and password.
        record: where every request is written down.
    """

    def __init__(self, url: str, auth: tuple[str, str], record: Record) -> None:
        self.url, self.auth, self._record = url, auth, record

    def set_up(self, hostname: str, token: str) -> None:
        """Connect the project."""
        body = {
            "project": f"{PROJECT}.{CREATED}",
            "schema": CONFIG,
            "hostname": hostname,
            "access_token": token,
        }
        answer = requests.post(f"{self.url}/setup", json=body, auth=self.auth, timeout=PATIENCE_S)
        answer.raise_for_status()

    def open(self, task: dict[str, Any], kind: Kind) -> None:
        """Open a task. That nothing is proposed is no problem; that nothing is answered is."""
        began = self._record.now
        answer, problem = self._send("/predict", self._predict(task, None))
        ended, fit = self._record.now, None
        proposed = answer["results"][0] if answer else None
        if proposed and proposed["result"] and kind == "defect":
            fit = _fit(task["id"], proposed["result"])
        self._keep("open", began, task["id"], problem, ended=ended, iou=fit, silent=kind == "silent")

    def click(
        self, task: dict[str, Any], points: Sequence[Point], *, silent: bool = False
    ) -> list[dict[str, Any]]:
        """Send the clicks so far in a task with a stain; the regions that came back."""
        context = {"result": [_key_point(task["id"], i, point) for i, point in enumerate(points)]}
        began = self._record.now
        answer, problem = self._send("/predict", self._predict(task, context))
        ended, fit = self._record.now, None
        regions = answer["results"][0]["result"] if answer else []
        if regions:
            fit = _fit(task["id"], regions)
        elif not problem and not silent:
            problem = "no mask"
        self._keep("click", began, task["id"], problem, ended=ended, iou=fit, silent=silent)
        return list(regions)

    def submit(self, action: str, task: dict[str, Any], annotation: dict[str, Any]) -> None:
        """Tell of an annotation; Label Studio says it once and never again."""
        began = self._record.now
        about = {"id": task["id"], "project": PROJECT, "data": task["data"]}
        _, problem = self._event(action, annotation=annotation, task=about)
        self._keep("submit", began, task["id"], problem)
        if not problem:
            self._record.acknowledged.add(annotation["id"])

    def start_training(self) -> bool:
        """Press *Start Training*; whether it was taken."""
        began = self._record.now
        _, problem = self._event("START_TRAINING")
        self._keep("train", began, 0, problem)
        return not problem

    def health(self) -> None:
        """Ask for the health of the server, as whatever watches over it does."""
        began = self._record.now
        problem = ""
        try:
            answer = requests.get(f"{self.url}/health", timeout=PATIENCE_S)
            problem = "" if answer.ok else f"HTTP {answer.status_code}"
        except requests.RequestException as error:
            problem = explain(error)
        self._keep("health", began, 0, problem)

    def _predict(self, task: dict[str, Any], context: dict[str, Any] | None) -> dict[str, Any]:
        sent = {key: value for key, value in task.items() if key != "annotations"}
        params = {"login": None, "password": None, "context": context}
        return {"tasks": [sent], "project": f"{PROJECT}.{CREATED}", "label_config": CONFIG, "params": params}

    def _event(self, action: str, **body: Any) -> tuple[Any, str]:
        about = {"id": PROJECT, "title": "soak", "label_config": CONFIG}
        return self._send("/webhook", {"action": action, "project": about, **body})

    def _send(self, path: str, body: dict[str, Any]) -> tuple[Any, str]:
        """The decoded answer, and "" or what was wrong."""
        try:
            answer = requests.post(self.url + path, json=body, auth=self.auth, timeout=PATIENCE_S)
            return (answer.json(), "") if answer.ok else (None, f"HTTP {answer.status_code}")
        except requests.JSONDecodeError:
            return None, "no JSON"
        except requests.RequestException as error:
            return None, explain(error)

    def _keep(
        self, what: What, began: float, task: int, problem: str, *, ended: float | None = None, **more: Any
    ) -> None:
        self._record.add(
            Asked(what, began, self._record.now if ended is None else ended, task, problem, **more)
        )


def explain(error: requests.RequestException) -> str:
    """What a person would say of a request that failed."""
    if isinstance(error, requests.Timeout):
        return f"no answer in {PATIENCE_S:.0f} s"
    return "connection refused" if "refused" in str(error).lower() else "connection broken"


def _fit(task: int, regions: Sequence[dict[str, Any]]) -> float:
    """IoU of all masks together with the stain of the task."""
    masks = [decode_rle(one["value"]["rle"], SIDE, SIDE) for one in regions if "rle" in one["value"]]
    return iou(np.any(masks, axis=0), Stain.of(task).mask) if masks else 0.0


def _key_point(task: int, number: int, point: Point) -> dict[str, Any]:
    return {
        "id": f"k{task}-{number}", "from_name": "click", "to_name": "image", "type": "keypointlabels",
        "origin": "manual", "original_width": SIDE, "original_height": SIDE, "image_rotation": 0,
        "is_positive": point.positive,
        "value": {
            "x": 100 * point.x / SIDE, "y": 100 * point.y / SIDE, "width": 0.3, "keypointlabels": [LABEL],
        },
    }  # fmt: skip


def normal_choice() -> dict[str, Any]:
    """What a person adds who chooses "normal"."""
    return {
        "id": "state", "from_name": "state", "to_name": "image", "type": "choices",
        "value": {"choices": ["normal"]},
    }  # fmt: skip
