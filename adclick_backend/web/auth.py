"""Who may call: HTTP Basic authentication, and the token that keeps other pages out of the dashboard."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from functools import cached_property

from flask import Request

from adclick_backend.settings import Settings
from adclick_backend.store import Store
from adclick_backend.web.api_errors import ApiError


class BasicAuth:
    """Checks ``Authorization`` headers against the configured user and password."""

    def __init__(self, settings: Settings) -> None:
        self.required = bool(settings.basic_auth_user or settings.basic_auth_pass)
        self._accepted = [
            (user, password)
            for charset in ("utf-8", "latin-1")  # browsers send the one, Label Studio the other
            if (user := _encode(settings.basic_auth_user, charset)) is not None
            and (password := _encode(settings.basic_auth_pass, charset)) is not None
        ]

    def allows(self, header: str | None) -> bool:
        """Whether the value of an ``Authorization`` header is right; True for all when no password is set.

        Whatever the header is, the answer is True or False; comparing takes the same time for all wrong ones.
        """
        if not self.required:
            return True
        user, password = _credentials(header or "")
        right = False
        for expected_user, expected_password in self._accepted:
            same_user = hmac.compare_digest(user, expected_user)
            same_password = hmac.compare_digest(password, expected_password)
            right = right or (same_user and same_password)
        return right


def _encode(text: str, charset: str) -> bytes | None:
    try:
        return text.encode(charset)
    except UnicodeEncodeError:
        return None


def _credentials(header: str) -> tuple[bytes, bytes]:
    """User and password of the header; two empty ones, which never are both configured, when it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b"", b""
    try:
        user, _, password = base64.b64decode(encoded.strip().encode("latin-1"), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return user, password


class FormToken:
    """A secret in every form of the dashboard that a page from elsewhere cannot read, so cannot send."""

    FIELD = "form_token"

    def __init__(self, store: Store) -> None:
        self._store = store

    @cached_property
    def value(self) -> str:
        """The token, the same for every worker and after a restart."""
        return self._store.values.get_or_add("", "form_token", secrets.token_urlsafe(32))

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
