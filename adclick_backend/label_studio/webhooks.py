"""The webhooks of a project in Label Studio that lead to this backend, and the secret that they carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from adclick_backend.label_studio.instance import LabelStudio

SECRET_HEADER = "X-ADClick-Secret"  # noqa: S105  (its name)

WebhookState = Literal["good", "bare", "other", "missing", "unknown"]
"""All carry the secret; one carries none, or another one; none leads here; that cannot be told."""


def webhook_state(api: LabelStudio, project: int | str, backend: str, secret: str) -> WebhookState:
    """How it is with the webhooks that lead to a backend; raises LabelStudioError.

    Args:
        api: Label Studio.
        project: id of the project.
        backend: URL of the backend as Label Studio reaches it.
        secret: what they should carry.
    """
    return _state(_webhooks(api, project, backend), secret)


def register_webhook(api: LabelStudio, project: int | str, backend: str, secret: str) -> WebhookState:
    """Make sure that a webhook leads to a backend and carries the secret; raises LabelStudioError.

    Args:
        api: Label Studio.
        project: id of the project.
        backend: URL of the backend as Label Studio reaches it.
        secret: what it is to carry; "" leaves those that there are as they are.

    Returns:
        How it was before.
    """
    rows = _webhooks(api, project, backend)
    before = _state(rows, secret)
    headers = {SECRET_HEADER: secret} if secret else {}
    if not rows:
        wish = {
            "project": int(project),
            "url": f"{backend}/webhook",
            "send_payload": True,
            "send_for_all_actions": True,
            "headers": headers,
        }
        api.post("/api/webhooks/", wish)
    elif before == "missing" or (secret and before != "good"):
        for row in _active(rows) or rows[:1]:
            kept = {
                name: value
                for name, value in (row.get("headers") or {}).items()
                if name.lower() != SECRET_HEADER.lower() or not secret
            }
            # Label Studio forgets the actions of a webhook that is changed without naming them.
            wish = {
                "headers": {**kept, **headers},
                "actions": row.get("actions", []),
                "is_active": True,
                "send_payload": True,
            }
            api.patch(f"/api/webhooks/{row['id']}/", wish)
    return before


def backend_url(api: LabelStudio, project: int | str, called: str, version: str) -> str | None:
    """The URL by which Label Studio knows this backend; None when that cannot be told. Raises LabelStudioError.

    Args:
        api: Label Studio.
        project: id of the project.
        called: the address that Label Studio called the backend at, "" when it never did.
        version: the model version that this backend answers with.
    """
    if called and _webhooks(api, project, called):
        return called
    rows = api.get("/api/ml", project=project)  # which makes Label Studio ask every backend for its version
    urls = [str(row["url"]).rstrip("/") for row in rows]
    if called in urls:
        return called
    if len(rows) == 1 and rows[0].get("model_version") == version:  # behind a proxy it is called otherwise
        return urls[0]
    return None


def _webhooks(api: LabelStudio, project: int | str, backend: str) -> list[dict[str, Any]]:
    rows = api.get("/api/webhooks/", project=project)
    return [row for row in rows if str(row["url"]).rstrip("/") == f"{backend}/webhook"]


def _active(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["is_active"]]


def _state(rows: Sequence[dict[str, Any]], secret: str) -> WebhookState:
    carried = {_secret_of(row) for row in _active(rows)}
    if not carried:
        return "missing"
    if "" in carried:
        return "bare"
    return "good" if carried == {secret} else "other"


def _secret_of(row: dict[str, Any]) -> str:
    headers = {name.lower(): value for name, value in (row.get("headers") or {}).items()}
    return str(headers.get(SECRET_HEADER.lower(), ""))
