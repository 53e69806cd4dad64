"""What tests of references share."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

from PIL import Image

from tests.helpers.backend import CONFIG, Backend, annotation


def mark(backend: Backend, url: str, number: int = 1, choices: Any = ("normal",), **more: Any) -> Any:
    """Submit an annotation of task `number`, as annotation `number`."""
    data = {"id": number, "data": {"image": url}}
    action = more.pop("action", "ANNOTATION_CREATED")
    project = more.pop("project", 1)
    config = more.pop("config", CONFIG)
    stranger = more.pop("stranger", False)
    return backend.webhook(
        action,
        project=project,
        config=config,
        stranger=stranger,
        annotation=annotation(number, choices, task=number, **more),
        task=data,
    )


def states(backend: Backend, project: str = "1") -> list[str]:
    return [row.state for row in backend.services.store.references.of_project(project)]


def bank(backend: Backend, project: str = "1", product: str = "") -> int:
    return len(backend.services.references.bank(project, product).references)


def png(grey: int = 90, size: tuple[int, int] = (64, 48)) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, (grey, grey, grey)).save(out, "PNG")
    return out.getvalue()


def due_now(backend: Backend) -> None:
    with backend.services.store.database.write() as connection:
        connection.exec_driver_sql("UPDATE reference_images SET due = 0")
        connection.exec_driver_sql("UPDATE task_checks SET due = 0")


def wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
