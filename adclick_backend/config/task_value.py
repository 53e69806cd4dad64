"""What Label Studio puts in the place of ``$field`` when it shows a task: fields, their parts, text around them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_FIELD = re.compile(r"\$([\w\[\].{}]+)")
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def is_filled(value: str) -> bool:
    """Whether anything in the value of an attribute comes from the task, and all of it is understood.

    A ``{{...}}`` is what a ``<Repeater>`` counts with; no task has it.
    """
    return bool(_FIELD.search(value)) and "{{" not in value


def whole_field(value: str) -> str:
    """The field that is the whole value, such as ``image`` of ``$image``; "" when it is only a part of it."""
    return value[1:] if value.startswith("$") and "$" not in value[1:] and "/" not in value else ""


def fill(value: str, data: Mapping[str, Any]) -> str:
    """The value for a task with these data; "" when a field is missing, or holds something else than text.

    ``$photo.url`` and ``$images[0]`` are looked up step by step, unless a field is called just that. A number is text
    where more text is around it.
    """
    if (field := whole_field(value)) and field in data:
        return _text(data[field])
    parts: list[str] = []
    end = 0
    for match in _FIELD.finditer(value):
        found = _text(_look_up(data, match[1]), beside=match[0] != value)
        if not found:
            return ""
        parts += [value[end : match.start()], found]
        end = match.end()
    return "".join([*parts, value[end:]]) if parts else ""


def _look_up(data: Mapping[str, Any], path: str) -> object:
    if path in data:
        return data[path]
    found: object = data
    for index, name in _STEP.findall(path):
        if isinstance(found, list) and (index or name).isdecimal():
            place = int(index or name)
            found = found[place] if place < len(found) else None
        elif isinstance(found, Mapping):
            found = found.get(index or name)
        else:
            return None
    return found


def _text(value: object, *, beside: bool = False) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and beside:
        return str(value)
    return value if isinstance(value, str) else ""
