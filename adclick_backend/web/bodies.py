"""The JSON bodies that Label Studio sends, read and checked at the border."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from flask import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Json, ValidationError

from adclick_backend.store import project_id
from adclick_backend.web.api_errors import ApiError, bad_request

Identifier = Annotated[int, Field(ge=0, lt=2**63)]  # what SQLite can hold
ProjectId = Annotated[str, BeforeValidator(project_id)]


class Body(BaseModel):
    """Fields not named here are kept out: Label Studio sends many more than are used."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class SetupBody(Body):
    """``POST /setup``."""

    project: ProjectId
    created: str = ""
    label_config: str = Field("", alias="schema")
    hostname: str | None = None
    access_token: str | None = None
    # An object through Label Studio's API, a string of JSON when typed in its settings dialog.
    extra_params: dict[str, Any] | Json[dict[str, Any]] | str | None = None


class Task(Body):
    """One task; annotations, drafts and predictions are left where they are."""

    id: Identifier | None = None
    data: dict[str, Any]


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


class WebhookProject(Body):
    """``project`` of ``POST /webhook``."""

    id: ProjectId
    title: str = ""
    label_config: str = ""


class WebhookBody(Body):
    """``POST /webhook``; what each action carries besides is read where the action is handled."""

    action: str
    project: WebhookProject


Model = TypeVar("Model", bound=Body)


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
        raise bad_request(f"The body must be a JSON object, not {_kind(body)}.")
    return body


def read_body(model: type[Model], body: Mapping[str, Any]) -> Model:
    """`body` as `model`.

    Raises:
        ApiError: 400; the sentence and ``field`` name the first field that is missing or wrong.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    path = [
        str(part) for part in first["loc"] if not str(part).startswith(("dict[", "json", "str", "function"))
    ]
    field = ".".join(path) or "body"
    if first["type"] == "missing":
        raise bad_request(f"The field {field} is missing.", field)
    if first["type"] == "value_error":  # ours, and a whole sentence
        raise bad_request(first["msg"].removeprefix("Value error, "), field)
    detail = first["msg"].removeprefix("Input ").rstrip(".")
    raise bad_request(f"The field {field} is wrong: it {detail} (found {_kind(first['input'])}).", field)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
