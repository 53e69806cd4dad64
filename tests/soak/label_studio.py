"""The Label Studio of the day: the truth of tasks and annotations, and where the images come from."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import count
from typing import Any, Literal
from urllib.parse import urlsplit

from tests.helpers.fake_label_studio import FakeLabelStudio
from tests.helpers.local_server import Reply, Request
from tests.soak.images import jpeg

PROJECT, CREATED = 1, 1795338618  # its number, and when the fake says that it was created, Unix seconds
Kind = Literal["defect", "normal", "silent"]
_IMAGE = re.compile(r"/data/upload/1/(defect|normal)-(\d+)\.jpg")


class SoakLabelStudio(FakeLabelStudio):
    """Hands out tasks and keeps what is submitted.

    Args:
        config: labeling config of the only project.
        silent_hosts: ``http://host:port`` of image hosts that never answer; tasks of the kind "silent" lie there.
    """

    def __init__(self, config: str, silent_hosts: Sequence[str]) -> None:
        super().__init__()
        self.http.socket.listen(256)  # the fake's five are too few for a whole team
        self.projects, self.configs = [PROJECT], {PROJECT: config}
        self.silent_hosts = silent_hosts
        self._lock = threading.Lock()
        self._numbers = count(1)

    def add_task(self, kind: Kind) -> dict[str, Any]:
        """A new task whose image has a stain ("defect"), none ("normal"), or never comes ("silent")."""
        with self._lock:
            number = next(self._numbers)
            url = f"/data/upload/1/{kind}-{number}.jpg"
            if kind == "silent":
                url = self.silent_hosts[number % len(self.silent_hosts)] + f"/{number}.jpg"
            task: dict[str, Any] = {
                "id": number,
                "project": PROJECT,
                "data": {"image": url},
                "annotations": [],
            }
            self.tasks.append(task)
        return task

    def save(self, task: dict[str, Any], result: Sequence[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        """Save what a person submits: the webhook's action, and the annotation as it is now.

        A task has one annotation here, with the task's number.
        """
        action = "ANNOTATION_UPDATED" if task["annotations"] else "ANNOTATION_CREATED"
        annotation = {
            "id": task["id"], "task": task["id"], "result": list(result), "was_cancelled": False,
            "updated_at": datetime.now(timezone.utc).isoformat(),
        }  # fmt: skip
        task["annotations"] = [annotation]
        return action, annotation

    @property
    def annotations(self) -> dict[int, dict[str, Any]]:
        """Every annotation by its id."""
        return {one["id"]: one for task in list(self.tasks) for one in task["annotations"]}  # type: ignore[attr-defined]

    def _answer(self, request: Request) -> Reply | None:
        found = _IMAGE.fullmatch(urlsplit(request.path).path)
        if found and self._is_known(request.headers["Authorization"]):
            return Reply(200, jpeg(int(found[2]), found[1] == "defect"), {"Content-Type": "image/jpeg"})
        return super()._answer(request)

    def _is_known(self, authorization: str | None) -> bool:
        # Each worker fetches an access token of its own, and all of them are good.
        return authorization in [f"Bearer {token}" for token in self.access_tokens]
