"""What the people who annotate are called, as Label Studio says it."""

from __future__ import annotations

import json

from adclick_backend.label_studio.instance import LabelStudio, LabelStudioError
from adclick_backend.store import Store

KEY = "annotators"  # in the project's key-value store
MOST = 2000  # people whose names are kept


def read_annotators(project: str, store: Store, label_studio: LabelStudio) -> None:
    """Read the names of Label Studio's users; those known before stay when the key's user may not see them."""
    try:
        raw = label_studio.get("/api/users/")
    except LabelStudioError:
        return
    rows = [row for row in raw if isinstance(row, dict)] if isinstance(raw, list) else []
    names = {
        str(row["id"]): name for row in rows[:MOST] if type(row.get("id")) is int and (name := _name(row))
    }
    if names and json.dumps(names) != store.values.get(project, KEY):
        store.values.set(project, KEY, json.dumps(names))


def annotator_names(project: str, store: Store) -> dict[int, str]:
    """Number of a user -> name, of those that are known."""
    kept = store.values.get(project, KEY)
    return {int(number): str(name) for number, name in json.loads(kept).items()} if kept else {}


def _name(row: dict[str, object]) -> str:
    """First and last name; the address of who has none."""
    given = " ".join(str(row.get(part) or "").strip() for part in ("first_name", "last_name")).strip()
    return (given or str(row.get("email") or row.get("username") or "")).strip()[:100]
