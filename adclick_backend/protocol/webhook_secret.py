"""The secret that Label Studio's messages carry, so that they can be told from what anybody sends."""

from __future__ import annotations

import hmac
import secrets
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from adclick_backend.logs import hide
from adclick_backend.store import DiskError, Store

_KEY = "webhook_secret"


class WebhookSecret:
    """One for each data folder, the same for every worker and after a restart.

    It is made at the start, so that ``adclick connect`` finds it in the data folder; on a full disk when it is needed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        with suppress(DiskError):
            _ = self.value

    @cached_property
    def value(self) -> str:
        """The secret, URL-safe."""
        value = self._store.values.get_or_add("", _KEY, secrets.token_urlsafe(32))
        hide(value)
        return value

    def fits(self, header: str | None) -> bool:
        """Whether that is the secret; comparing takes the same time for all wrong ones."""
        return bool(header) and hmac.compare_digest(str(header).encode(), self.value.encode())


def secret_in(data_dir: Path, database_url: str = "") -> str:
    """The secret of the backend with that data folder, or database; "" when there is none, or it cannot be read."""
    return Store.peek(data_dir, _KEY, database_url)
