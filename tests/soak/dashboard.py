"""The one button of the dashboard that the day ends with."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import requests

from adclick_backend.references.syncing import KEY
from adclick_backend.store import Store
from tests.soak.label_studio import PROJECT

SYNC_S, PRESS_AGAIN_S = 180.0, 20.0


class Dashboard:
    """Presses *Synchronise now* as a browser does: with the form's token.

    Args:
        url: of the backend.
        auth: user and password.
    """

    def __init__(self, url: str, auth: tuple[str, str]) -> None:
        self._page, self._auth = f"{url}/projects/{PROJECT}/labels", auth

    def synchronise(self) -> bool:
        """Press it; whether that was taken."""
        try:
            page = requests.get(self._page, auth=self._auth, timeout=60)
            token = re.search(r'name="form_token" value="([^"]+)"', page.text)
            form = {"form_token": token[1] if token else ""}
            return requests.post(f"{self._page}/sync", data=form, auth=self._auth, timeout=60).ok
        except requests.RequestException:
            return False


def synchronise(data: Path, dashboard: Dashboard) -> str:
    """Press *Synchronise now* until one has run to its end; what it said.

    Pressing does nothing while one is believed to run, as after a kill in the middle of one.
    """
    store = Store(data)
    try:
        before, pressed = store.values.get(str(PROJECT), KEY), float("-inf")
        deadline = time.monotonic() + SYNC_S
        while time.monotonic() < deadline:
            now = store.values.get(str(PROJECT), KEY)
            if now and now != before and not json.loads(now)["running"]:
                return str(json.loads(now)["sentence"])
            if time.monotonic() - pressed > PRESS_AGAIN_S:
                pressed = time.monotonic()
                dashboard.synchronise()
            time.sleep(0.5)
        return f"It did not end within {SYNC_S:.0f} s."
    finally:
        store.close()
