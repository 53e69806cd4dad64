"""The JSON bodies that Label Studio sends, read and checked at the border."""

from __future__ import annotations

import json
from typing import Annotated, Any

from flask import Request
from pydantic import AfterValidator, Field, Json

from adclick_backend.errors import ApiError, bad_request
from adclick_backend.protocol.body import Body, ProjectId, Task, WebhookProject, kind_of
from adclick_backend.settings import without_password


class SetupBody(Body):
    """``POST /setup``."""

    project: ProjectId
    created: str = ""
    label_config: str = Field("", alias="schema")
    hostname: Annotated[str, AfterValidator(without_password)] | None = Field(None, max_length=2000)
    access_token: str | None = Field(None, max_length=10_000)
    # An object through Label Studio's API, a string of JSON when typed in its settings dialog.
    extra_params: dict[str, Any] | Json[dict[str, Any]] | str | None = None


class ConfirmBody(Body):
    """``POST /confirm``."""

    project: ProjectId


class Params(Body):
    """``params`` of ``POST /predict``."""

    context: dict[str, Any] | None = None


class PredictBody(Body):
    """``POST /predict``."""

    tasks: list[Task]
    project: ProjectId | None = None
    label_config: str | None = None
    params: Params | None = None

    @property
    def context(self) -> dict[str, Any] | None:
        """What the person drew; None when a task was opened or predictions were retrieved."""
        return self.params.context if self.params else None


class WebhookBody(Body):
    """``POST /webhook``; what each action carries besides is read where the action is handled."""

    action: str
    project: WebhookProject


def read_json(request: Request) -> dict[str, Any]:
    """The JSON object that `request` carries.

    Raises:
        ApiError: 415 when it is not declared as JSON, 400 when it is not an object or not JSON at all.
    """
    if not request.is_json:
        # Also what keeps a foreign web page from posting here: browsers ask before they send JSON elsewhere.
        raise ApiError(415, "unsupported_media_type", "The body must be sent as application/json.")
    try:
        text = request.get_data().decode()
        body = json.loads(text)
        if "\\ud" in text.lower():  # emoji are sent as pairs of these escapes; one alone is no text
            json.dumps(body, ensure_ascii=False).encode()
    except RecursionError:
        raise bad_request("The body is nested too deeply.") from None
    except ValueError:  # also when the bytes are no text
        raise bad_request("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise bad_request(f"The body must be a JSON object, not {kind_of(body)}.")
    return body
