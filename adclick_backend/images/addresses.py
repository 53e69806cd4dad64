"""The image URL of a task, and the file name that a person knows it by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from adclick_backend.errors import ImageError


def image_url(task_data: Mapping[str, Any], field: str) -> str:
    """The URL of a task's image.

    Raises:
        ImageError: the task has no such field, or it holds no text.
    """
    url = task_data.get(field)
    if isinstance(url, str) and url:
        return url
    known = ", ".join(sorted(task_data)) or "none"
    raise ImageError(
        f"The labeling config takes the image from the task's field {field!r}, but the task has the fields "
        f"{known[:200]}."
    )


def image_name(url: str) -> str:
    """The file name at the end of an image's URL, readable."""
    parts = urlsplit(url)
    path = parse_qs(parts.query).get("d", [parts.path])[0]  # /data/local-files/?d=folder/name.png
    return unquote(path).rstrip("/").rpartition("/")[2][:200]
