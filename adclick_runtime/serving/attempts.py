"""Wrong passwords are slowed down, for each client address by itself, without keeping anybody waiting here."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE = 5  # wrong passwords that cost nothing
LONGEST_S = 60.0
_FORGOTTEN_S = 900.0  # without a wrong password
_KNOWN_S = 3600.0  # after the right one
_MOST = 10_000  # addresses


@dataclass
class _Client:
    wrong: int = 0
    last_wrong: float = float("-inf")
    last_right: float = float("-inf")
    until: float = float("-inf")


class Attempts:
    """Counts the passwords of each address. Safe to share between threads.

    After `FREE` wrong ones an address has to wait 1 s, then 2 s, 4 s ... up to `LONGEST_S`, before another password of
    it is looked at, until none was wrong for a quarter of an hour. Where the right one came from within an hour, it is
    taken meanwhile, too: several may share an address, behind a proxy for instance, and one of them shall not lock
    out Label Studio.

    Args:
        clock: seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, address: str, *, right: bool) -> int:
        """Count a password; the whole seconds after which the next one is looked at, 0 when this one was."""
        with self._lock:
            now, name = self._clock(), _network(address)
            client = self._clients.pop(name, None) or _Client()
            if now - client.last_wrong > _FORGOTTEN_S:
                client.wrong = 0
            self._clients[name] = client
            while len(self._clients) > _MOST:
                self._clients.popitem(last=False)
            if now < client.until and not (right and now - client.last_right < _KNOWN_S):
                return math.ceil(client.until - now)
            if right:  # which does not make up for wrong ones: it may have been somebody else
                client.last_right = now
            else:
                client.wrong, client.last_wrong = client.wrong + 1, now
                if client.wrong >= FREE:
                    client.until = now + min(2.0 ** (client.wrong - FREE), LONGEST_S)
            return 0


def _network(address: str) -> str:
    """What one client can call its own: an IPv4 address, or a /64 of IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
