"""Who may call: HTTP Basic authentication, and where a server listens that has no password."""

from __future__ import annotations

import base64
import binascii
import hmac


def listen_on(host: str, *, needs_password: bool) -> str:
    """The address to listen on: the one that was named, else every one behind a password, and without one this
    machine's own, that nobody else can reach."""
    return host or ("0.0.0.0" if needs_password else "127.0.0.1")  # noqa: S104


class BasicAuth:
    """Checks ``Authorization`` headers.

    Args:
        user: name that is asked for.
        password: that goes with it; when both are "", everybody may call.
    """

    def __init__(self, user: str, password: str) -> None:
        self.required = bool(user or password)
        self._accepted = [
            (user_bytes, password_bytes)
            for charset in ("utf-8", "latin-1")  # browsers send the one, Label Studio the other
            if (user_bytes := _encode(user, charset)) is not None
            and (password_bytes := _encode(password, charset)) is not None
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
