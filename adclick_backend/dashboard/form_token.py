"""The token that keeps forms of other pages out of the dashboard (CSRF)."""

from __future__ import annotations

import hmac
import secrets

from flask import Request

from adclick_backend.errors import ApiError
from adclick_backend.store import DiskError, Store


class FormToken:
    """A secret in every form of the dashboard that a page from elsewhere cannot read, so cannot send."""

    FIELD = "form_token"

    def __init__(self, store: Store) -> None:
        self._store = store

        self._own = secrets.token_urlsafe(32)
        self._kept = ""

    @property
    def value(self) -> str:
        """The token, the same for every worker and after a restart; this worker's own while none can be kept."""
        if not self._kept:
            try:
                self._kept = self._store.values.get_or_add("", "form_token", self._own)
            except DiskError:
                return self._store.values.get("", "form_token") or self._own
        return self._kept

    def check(self, request: Request) -> None:
        """Refuse a form that did not come from the dashboard itself.

        Raises:
            ApiError: 403.
        """
        sent = request.form.get(self.FIELD, "").encode()
        same_site = request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
        if not same_site or not hmac.compare_digest(sent, self.value.encode()):
            raise ApiError(
                403, "forbidden", "This form is out of date or comes from another page: reload the page."
            )
