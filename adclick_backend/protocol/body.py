"""The JSON bodies that Label Studio sends: what their readers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from adclick_backend.errors import bad_request
from adclick_backend.store import project_id

LARGEST = 2**63 - 1  # that SQLite can hold

Identifier = Annotated[int, Field(ge=0, le=LARGEST)]

ProjectId = Annotated[str, BeforeValidator(project_id)]


class Body(BaseModel):
    """Fields not named here are kept out: Label Studio sends many more than are used."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Task(Body):
    """One task; its annotations are left where they are.

    Attributes:
        id: its number; None from API clients that send none.
        data: what it is about: the URL of its image.
        predictions: what was proposed for it, as Label Studio sends it, whatever that is.
        drafts: what the person who clicks has done so far, some seconds ago.
    """

    id: Identifier | None = None
    data: dict[str, Any]
    predictions: Any = None
    drafts: Any = None


class WebhookProject(Body):
    """``project`` of ``POST /webhook``."""

    id: ProjectId
    title: str = ""
    label_config: str = ""


Model = TypeVar("Model", bound=Body)


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
    raise bad_request(f"The field {field} is wrong: it {detail} (found {kind_of(first['input'])}).", field)


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
