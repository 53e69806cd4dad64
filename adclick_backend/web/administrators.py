"""Which callers may say which Label Studio is ours."""

from __future__ import annotations

import ipaddress


def is_administrator(address: str | None, *, behind_password: bool) -> bool:
    """Whether a caller that was let in may say which Label Studio is ours.

    Args:
        address: the caller's. Without a password only callers on this machine may: the server may have been told
            to listen to everybody.
        behind_password: whether callers had to show one.
    """
    return behind_password or _is_here(address or "")


def _is_here(address: str) -> bool:
    """Whether a caller's address is one of this machine; that of a Unix socket is a name."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
