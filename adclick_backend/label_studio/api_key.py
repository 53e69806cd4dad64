"""The key to Label Studio's API, of either kind, as an Authorization header.

A personal access token is a JSON web token that is good for nothing but fetching access tokens, which live
for five minutes. A legacy token is 40 hexadecimal digits and is sent as it is. Their shapes tell them apart.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

_MARGIN_S = 30.0  # an access token that is about to expire might not survive the request it is sent with
_SHORTEST_LIFE_S = 60.0  # when the token itself does not say


def token_claims(token: str) -> dict[str, Any] | None:
    """The unverified claims of a JSON web token; None when it is not one."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


class ApiKey:
    """Turns a key into header values. Safe to share between threads: one of them refreshes, the others wait.

    Nobody holds a lock meanwhile, and what the one was told, good or bad, is the answer for all who waited.

    Args:
        key: a personal access token, a legacy token, or "" for none.
        refresh: exchanges a personal access token for an access token.
        clock: seconds that never run backwards.
        patience: for how many seconds a thread may wait for another one's exchange.
    """

    def __init__(
        self,
        key: str,
        refresh: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
        patience: Callable[[], float] = lambda: 60.0,
    ) -> None:
        self._key = key.strip()
        self._refresh = refresh
        self._clock = clock
        self._patience = patience
        self._lock = threading.Lock()
        self._exchange: Future[str] | None = None  # while one is going on
        self._access = ""
        self._access_until = float("-inf")
        self.is_personal = token_claims(self._key) is not None

    def __bool__(self) -> bool:
        return bool(self._key)

    @property
    def is_shortened(self) -> bool:
        """Whether this is a personal access token without its signature, as Label Studio lists them."""
        return self._key.startswith("ey") and self._key.count(".") == 1

    def header(self) -> str:
        """Value of the Authorization header, "" without a key; exchanges the token when needed.

        Raises:
            TimeoutError: another thread's exchange took longer than this one may wait.
        """
        if not self.is_personal:
            return f"Token {self._key}" if self._key else ""
        with self._lock:
            if self._clock() < self._access_until:
                return f"Bearer {self._access}"
            exchange = self._exchange
            mine = exchange is None
            if exchange is None:
                exchange = self._exchange = Future()
        if mine:
            self._run(exchange)
        try:
            return f"Bearer {exchange.result(0 if mine else self._patience())}"
        except FutureTimeout as error:  # of Python 3.10, which has two
            raise TimeoutError from error

    def _run(self, exchange: Future[str]) -> None:
        try:
            access = self._refresh(self._key)
        except BaseException as error:
            with self._lock:
                self._exchange = None
            exchange.set_exception(error)
        else:
            with self._lock:
                self._exchange, self._access = None, access
                self._access_until = self._clock() + self._life(access) - _MARGIN_S
            exchange.set_result(access)

    def forget(self, header: str) -> None:
        """Drop the access token behind a header that was refused, unless another thread has already."""
        with self._lock:
            if header == f"Bearer {self._access}":
                self._access_until = float("-inf")

    @staticmethod
    def _life(access: str) -> float:
        # A difference of two of the server's own times, so that clocks need not agree.
        claims = token_claims(access) or {}
        try:
            return max(float(claims["exp"]) - float(claims["iat"]), _SHORTEST_LIFE_S)
        except (KeyError, TypeError, ValueError):
            return _SHORTEST_LIFE_S
