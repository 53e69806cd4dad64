"""Who may call: HTTP Basic authentication, and the token that keeps other pages out of the dashboard."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress

from adclick_backend.settings import Settings


class BasicAuth:
    """Checks ``Authorization`` headers against the configured user and password."""

    def __init__(self, settings: Settings) -> None:
        self.required = settings.needs_password
        self._accepted = [
            (user, password)
            for charset in ("utf-8", "latin-1")  # browsers send the one, Label Studio the other
            if (user := _encode(settings.basic_auth_user, charset)) is not None
            and (password := _encode(settings.basic_auth_pass, charset)) is not None
        ]

    def is_administrator(self, address: str | None) -> bool:
        """Whether a caller that was let in may say which Label Studio is ours.

        Args:
            address: the caller's. Without a password only callers on this machine may: the server may have been told
                to listen to everybody.
        """
        return self.required or _is_here(address or "")

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


def _is_here(address: str) -> bool:
    """Whether a caller's address is one of this machine; that of a Unix socket is a name."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


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
