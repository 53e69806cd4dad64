"""Which servers an image may come from: URLs taken apart strictly, host rules, checked addresses."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from requests.utils import requote_uri

from adclick_backend.errors import ImageError

_PORTS = {"http": 80, "https": 443}
_USER_INFO = re.compile(r"//[^/?#\s]*@")
_STRAY = re.compile(r"[\\\x00-\x1f\x7f]|^\s|\s$")

# IPv6 ranges that only wrap an IPv4 address, a private one perhaps; Python calls some of them global.
_WRAPPED_IPV4 = tuple(
    ipaddress.IPv6Network(network) for network in ("::ffff:0:0/96", "64:ff9b::/96", "2001::/32", "2002::/16")
)


class FetchError(ImageError):
    """A download was refused or failed.

    ``status`` is the HTTP status where a server answered with one; ``passing`` is True for what another
    attempt may cure (no connection, 429, 502 to 504).
    """

    def __init__(self, message: str, *, status: int | None = None, passing: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.passing = passing


class HostAtRest(FetchError):
    """The host did not answer earlier and is left alone for a while; nothing was asked."""

    def __init__(self, message: str) -> None:
        super().__init__(message, passing=True)


@dataclass(frozen=True)
class Target:
    """An http(s) URL, taken apart exactly as it is going to be requested."""

    scheme: str
    host: str  # lower case, ASCII, no brackets
    port: int
    path: str  # path and query, percent-encoded

    @property
    def netloc(self) -> str:
        """Value of the Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: the unit a token may be sent to."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.origin + self.path

    def __str__(self) -> str:
        # For messages: without the query, where signed URLs carry their secret.
        return self.origin + self.path.partition("?")[0]


def parse_url(url: str) -> Target:
    """Take an http(s) URL apart.

    Raises FetchError for any other scheme, and for the spellings that two parsers read differently (user
    information, backslashes, control characters): they are how a check is talked past.
    """
    shown = repr(_USER_INFO.sub("//***@", url)[:200])
    if _STRAY.search(url):
        raise FetchError(f"The image address {shown} holds a backslash, a control character or stray spaces.")
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".").encode("idna").decode("ascii").lower()
        port = parts.port
    except ValueError as error:
        raise FetchError(f"The image address {shown} is not a valid URL: {error}.") from error
    if parts.scheme not in _PORTS:
        raise FetchError(
            f"The image address {shown} is not fetched: only http(s) URLs, paths on Label Studio such as "
            "/data/upload/..., s3://, gs:// and azure-blob:// storage, and images in data: URIs are."
        )
    if not host:
        raise FetchError(f"The image address {shown} names no host.")
    if "@" in parts.netloc:
        raise FetchError(f"The image address on {host} carries a user name or a password; remove it.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, requote_uri(path))


@dataclass(frozen=True)
class HostRules:
    """The allow-list ``ADCLICK_IMAGE_HOSTS``.

    An entry ``host`` or ``host:port`` is that very server, wherever it stands, so also inside the building.
    An entry with ``*`` (``*.example.com``) is many servers that nobody has named: public addresses only.
    """

    entries: Sequence[str]

    def names(self, target: Target) -> bool:
        """Whether an entry is literally this host."""
        bracketed = f"[{target.host}]"
        spellings = {target.host, bracketed, f"{target.host}:{target.port}", f"{bracketed}:{target.port}"}
        return not spellings.isdisjoint(self.entries)

    def matches(self, target: Target) -> bool:
        """Whether an entry with ``*`` covers this host."""
        return any("*" in entry and fnmatchcase(target.host, entry) for entry in self.entries)

    def describe(self) -> str:
        """The allow-list, as it reads in a message."""
        return f"ADCLICK_IMAGE_HOSTS ({', '.join(self.entries) or 'empty'})"


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the open internet.

    Private, loopback, link-local, unique-local, carrier-grade NAT, multicast and reserved ranges do not, nor
    do the IPv6 ranges that wrap an IPv4 address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and (
        ip.is_site_local or any(ip in network for network in _WRAPPED_IPV4)
    ):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def resolve(target: Target, *, public_only: bool) -> list[str]:
    """IP addresses of the target's host, asked for once: the caller connects to these and nothing else.

    Raises FetchError when the name is unknown, and with ``public_only`` when any address is not public (one
    bad record among good ones is how a name is made to point inwards later).
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        reason = f"The host {target.host} cannot be found: {error.strerror}."
        raise FetchError(reason, passing=True) from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses if public_only else ():
        if not is_public(address):
            leads = "" if address == target.host else f" leads to {address}, which"
            raise FetchError(
                f"{target.host}{leads} is not a public address, so nothing was fetched. If that server is "
                f"yours, add {target.netloc} to ADCLICK_IMAGE_HOSTS."
            )
    return addresses
