"""The image URL of a task, and the file name that a person knows it by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from adclick_backend.config.task_value import fill, whole_field
from adclick_backend.errors import ImageError
from adclick_backend.images.data_uris import is_data_uri

_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")


def image_url(task_data: Mapping[str, Any], value: str) -> str:
    """The URL of a task's image.

    Args:
        task_data: of the task.
        value: of the ``<Image>`` in the labeling config, such as ``$image``.

    Raises:
        ImageError: the task lacks a field, or holds no text in it.
    """
    if url := fill(value, task_data):
        return url
    known = ", ".join(sorted(task_data)) or "none"
    field = whole_field(value)
    source = f"the task's field {field!r}" if field else f'"{value}"'
    raise ImageError(
        f"The labeling config takes the image from {source}, but the task has the fields {known[:200]}."
    )


def image_name(url: str) -> str:
    """The file name at the end of an image's URL, readable; of an upload without what Label Studio put before it."""
    if is_data_uri(url):
        return "image in the task"
    parts = urlsplit(url)
    path = parse_qs(parts.query).get("d", [parts.path])[0]  # /data/local-files/?d=folder/name.png
    name = unquote(path).rstrip("/").rpartition("/")[2][:200]
    return _UPLOADED.sub("", name) if "/upload/" in parts.path else name
