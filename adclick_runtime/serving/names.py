"""The names that a server is asked for by, so that no page from elsewhere can pose as it (DNS rebinding)."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from urllib.parse import urlsplit

from adclick_runtime.errors import ApiError

_OF_ONE_NETWORK = (
    ".local",
    ".internal",
    ".localhost",
    ".home.arpa",
)  # nobody can register a name below these


class ServedNames:
    """Checks the ``Host`` header of requests.

    A page on the internet can let its own name lead to this machine, and its scripts then read what the dashboard
    shows, with the rights of whoever looks at that page. The name is what gives it away. An IP address, a name
    without a dot and a name of one network alone cannot be had by a stranger, so they are all right.

    Args:
        further: other names, ``*`` in them standing for anything.
    """

    def __init__(self, further: Sequence[str] = ()) -> None:
        self._further = tuple(further)

    def check(self, host: str) -> None:
        """Refuse a request for another name.

        Args:
            host: value of the ``Host`` header, with or without a port.

        Raises:
            ApiError: 421, which says how to allow the name.
        """
        name = _name(host)
        if name is None:
            raise ApiError(400, "bad_request", "The Host header of the request is no name.")
        if not self._knows(name):
            raise ApiError(
                421,
                "misdirected_request",
                f"This server was asked for as {name[:200]}, which is none of its names. If that is right, start it "
                f"with ADCLICK_SERVED_AS={name[:200]}.",
            )

    def _knows(self, name: str) -> bool:
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if "." not in name or name.endswith(_OF_ONE_NETWORK):
                return True
            return any(fnmatchcase(name, known) for known in self._further) or name in self._own
        return True

    @cached_property
    def _own(self) -> frozenset[str]:
        """This machine's; asked for late, because it takes a look into the network."""
        return frozenset(name.lower() for name in (socket.gethostname(), socket.getfqdn()))


def _name(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018  (raises where it is no number)
        name = (parts.hostname or "").rstrip(".")
    except ValueError:
        return None
    plain = re.fullmatch(r"[\w.:%-]+", name) and parts.username is None and not parts.path
    return name if plain else None
