"""A Label Studio project with drawn product images, made as a person with a browser would make it."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
import requests
from numpy.typing import NDArray

from adclick_backend.brush.rle import decode_rle
from adclick_backend.config.labeling_config import recommended_config


class Project:
    """A project of a Label Studio."""

    def __init__(self, person: requests.Session, url: str, number: int = 0) -> None:
        self._person, self._api, self.id = person, f"{url}/api", number

    @classmethod
    def create(cls, person: requests.Session, url: str, title: str, labels: list[str]) -> Project:
        """A new project with the recommended labeling config."""
        return cls.with_config(person, url, title, recommended_config(labels))

    @classmethod
    def with_config(cls, person: requests.Session, url: str, title: str, config: str) -> Project:
        """A new project with this labeling config."""
        project = cls(person, url)
        project.id = project._post("/projects", json={"title": title, "label_config": config})["id"]
        return project

    @classmethod
    def titled(cls, person: requests.Session, url: str, title: str) -> list[Project]:
        """Every project of that title."""
        found = cls(person, url)._get("/projects", title=title, page_size=100)["results"]
        return [cls(person, url, row["id"]) for row in found if row["title"] == title]

    def connect(self, backend: str) -> None:
        """Connect an ML backend that answers clicks."""
        self._post(
            "/ml", json={"project": self.id, "url": backend, "title": "ADClick", "is_interactive": True}
        )

    def models(self) -> list[dict[str, Any]]:
        """The ML backends that are connected."""
        rows: list[dict[str, Any]] = self._get("/ml", project=self.id)
        return rows

    def webhooks(self) -> list[dict[str, Any]]:
        """The webhooks that Label Studio has for the project."""
        rows: list[dict[str, Any]] = self._get("/webhooks/", project=self.id)
        return rows

    def annotation_ids(self, task: int) -> list[int]:
        """The annotations of a task."""
        return [int(row["id"]) for row in self._get(f"/tasks/{task}/annotations/")]

    def delete_annotation(self, annotation: int) -> None:
        """Delete an annotation."""
        self._delete(f"/annotations/{annotation}/")

    def delete_task(self, task: int) -> None:
        """Delete a task."""
        self._delete(f"/tasks/{task}/")

    def model_version(self) -> str:
        """What the connected backend says when Label Studio asks who answers now."""
        (model,) = self.models()
        return str(model["model_version"])

    def upload(self, images: list[NDArray[np.uint8]]) -> list[int]:
        """Upload the images, H x W x 3 uint8 RGB, of a project that has none; returns the task of each."""
        for number, image in enumerate(images):
            data = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
            self._post(
                f"/projects/{self.id}/import", files={"file": (f"{number:03d}.png", data, "image/png")}
            )
        return sorted(task["id"] for task in self._get("/tasks", project=self.id, page_size=1000)["tasks"])

    def add(self, data: dict[str, Any]) -> int:
        """Import one task with these data into a project that has none; its number."""
        self._post(f"/projects/{self.id}/import", json=[data])
        (task,) = self._get("/tasks", project=self.id)["tasks"]
        return int(task["id"])

    def config(self) -> str:
        """The labeling config."""
        return str(self._get(f"/projects/{self.id}")["label_config"])

    def data(self, task: int) -> dict[str, Any]:
        """What a task is about: the URL of its image."""
        data: dict[str, Any] = self._get(f"/tasks/{task}")["data"]
        return data

    def mark_normal(self, task: int) -> None:
        """Submit an annotation whose only content is the choice "normal"."""
        choice = {
            "from_name": "state",
            "to_name": "image",
            "type": "choices",
            "value": {"choices": ["normal"]},
        }
        self._post(f"/tasks/{task}/annotations/", json={"result": [choice]})

    def ask(self, task: int, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Send key points to the backend as the window does after each click; the regions of the answer."""
        (model,) = self.models()
        body = {"task": task, "context": {"result": points}}
        regions: list[dict[str, Any]] = self._post(f"/ml/{model['id']}/interactive-annotating", json=body)[
            "data"
        ]["result"]
        return regions

    def annotate(self, task: int, result: list[dict[str, Any]]) -> None:
        """Submit an annotation."""
        self._post(f"/tasks/{task}/annotations/", json={"result": result})

    def retrieve_predictions(self, tasks: list[int]) -> None:
        """What Actions > Retrieve Predictions does in the data manager."""
        body = {"selectedItems": {"all": False, "included": tasks}}
        self._post(f"/dm/actions?id=retrieve_tasks_predictions&project={self.id}", json=body)

    def propose(self, task: int, result: list[dict[str, Any]]) -> None:
        """Store a prediction of the version that serves, as the backend would."""
        self._post(
            "/predictions", json={"task": task, "result": result, "model_version": self.model_version()}
        )

    def prediction_count(self) -> int:
        """How many predictions the tasks of the project have together."""
        rows: list[dict[str, Any]] = self._get("/predictions", project=self.id)
        return len(rows)

    def versions_of(self, task: int) -> list[str]:
        """The model versions that proposed something for the task; known before a window shows its image."""
        return [str(row["model_version"]) for row in self._get("/predictions", task=task)]

    def predictions(self, task: int) -> list[dict[str, Any]]:
        """The stored predictions of a task."""
        rows: list[dict[str, Any]] = self._get("/predictions", task=task)
        return rows

    def prediction(self, task: int, version: str, *, limit_s: float = 180.0) -> dict[str, Any]:
        """The stored prediction of that model version, waited for."""
        deadline = time.monotonic() + limit_s
        while True:
            rows: list[dict[str, Any]] = self._get("/predictions", task=task)
            found = [row for row in rows if row["model_version"] == version]
            if found:
                return found[-1]
            known = sorted(row["model_version"] for row in rows)
            assert time.monotonic() < deadline, f"task {task} has no prediction of {version}, only of {known}"
            time.sleep(0.5)

    def annotation(self, task: int) -> list[dict[str, Any]]:
        """The regions of the one annotation that a task has."""
        (annotation,) = self._get(f"/tasks/{task}/annotations/")
        regions: list[dict[str, Any]] = annotation["result"]
        return regions

    def mask(self, task: int) -> NDArray[np.bool_]:
        """The one brush region of a task's annotation, H x W bool."""
        (region,) = [region for region in self.annotation(task) if region["type"] == "brushlabels"]
        return decode(region)

    def _get(self, path: str, **params: object) -> Any:
        answer = self._person.get(self._api + path, params=params, timeout=180)
        answer.raise_for_status()
        return answer.json()

    def _delete(self, path: str) -> None:
        self._person.delete(self._api + path, timeout=180).raise_for_status()

    def _post(self, path: str, **kwargs: Any) -> Any:
        answer = self._person.post(self._api + path, timeout=180, **kwargs)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()


def decode(region: dict[str, Any]) -> NDArray[np.bool_]:
    """The mask of a brush region, H x W bool."""
    return decode_rle(region["value"]["rle"], region["original_width"], region["original_height"])


def key_point(label: str, x: float, y: float, *, positive: bool, height: int, width: int) -> dict[str, Any]:
    """A click at x, y (fractions of the image) as the window sends it."""
    return {
        "id": f"click-{x:.4f}-{y:.4f}",
        "from_name": "click",
        "to_name": "image",
        "type": "keypointlabels",
        "origin": "manual",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "is_positive": positive,
        "value": {"x": 100 * x, "y": 100 * y, "width": 0.25, "labels": [label], "keypointlabels": [label]},
    }
