"""The dashboard as a person uses it: pages read, forms sent."""

from __future__ import annotations

import re
from html import unescape
from io import BytesIO
from typing import Any

from PIL import Image

from tests.helpers.backend import Backend


def png(grey: int = 90) -> bytes:
    """A small grey image."""
    out = BytesIO()
    Image.new("RGB", (64, 48), (grey, grey, grey)).save(out, "PNG")
    return out.getvalue()


def page(backend: Backend, route: str = "/projects/1") -> str:
    """The page's HTML with its entities resolved."""
    answer = backend.client.get(route)
    assert answer.status_code == 200
    return unescape(answer.text)


def form_token(backend: Backend) -> str:
    """The secret that stands in the dashboard's forms."""
    found = re.search(r'name="form_token" value="([^"]+)"', page(backend, "/projects/1/references"))
    assert found
    return found[1]


def send(
    backend: Backend,
    route: str,
    headers: dict[str, str] | None = None,
    environ: dict[str, str] | None = None,
    **data: Any,
) -> Any:
    """Send a form; ``form_token`` is the right one unless given."""
    data = {"form_token": form_token(backend), **data}
    return backend.client.post(
        route, data=data, headers=headers, environ_base=environ or {}, content_type="multipart/form-data"
    )
