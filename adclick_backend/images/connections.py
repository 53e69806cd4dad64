"""The Label Studio behind each project, and whether it can be reached."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from adclick_backend import deadline
from adclick_backend.downloads.breaker import Breakers
from adclick_backend.images.task_images import ImageSource, LoadedImage
from adclick_backend.label_studio.api_key import token_claims
from adclick_backend.label_studio.instance import LabelStudio, LabelStudioError
from adclick_backend.label_studio.webhooks import WebhookState
from adclick_backend.settings import Settings
from adclick_backend.store import Store

ONLY_FROM_HERE = (
    "Without a password anybody might say this, so it counts only from the machine that the backend runs on. Open the "
    "dashboard there, or start the backend with BASIC_AUTH_USER and BASIC_AUTH_PASS, or with LABEL_STUDIO_URL."
)

CONFIRMED = "confirmed_label_studios"  # in the key-value store, of no project


class Connections:
    """Label Studio and its images, by project. Safe to share between threads.

    Whoever reaches ``/setup`` can name any address of this network as the Label Studio of a project. So nothing is
    fetched from there before an administrator has confirmed it; LABEL_STUDIO_URL needs no confirmation.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._breakers = Breakers()
        self._known, self._connecting = lru_cache(maxsize=64)(self._connect), threading.Lock()

    def label_studio(self, project: str) -> LabelStudio:
        """The Label Studio that the project belongs to, as its last ``/setup`` said."""
        return self._of(project)[0]

    def load_image(self, url: str, project: str, task_id: int | None) -> LoadedImage:
        """The image behind a task's address.

        Raises:
            ImageError: it cannot be read.
        """
        return self._of(project)[1].load(url, project=project, task_id=task_id)

    def host_of(self, url: str, project: str) -> str:
        """The server that is asked for a task's image; "" for an image that is read from here."""
        return self._of(project)[1].host_of(url)

    def has_token(self, project: str) -> bool:
        """Whether Label Studio sent a token of its own when the project was connected."""
        return bool(self._store.projects.get(project).token)

    def unconfirmed(self, project: str) -> str:
        """The address that the project came from when nobody has said yet that it is our Label Studio; else ""."""
        hostname = self._store.projects.get(project).hostname
        return "" if self._is_confirmed(hostname) else hostname

    def confirm(self, hostname: str) -> None:
        """An administrator says that this is our Label Studio; "" for none changes nothing."""
        if not self._is_confirmed(hostname):
            self._store.values.set("", CONFIRMED, json.dumps([*self._confirmed(), hostname]))

    def _is_confirmed(self, hostname: str) -> bool:
        return bool(self._settings.label_studio_url) or not hostname or hostname in self._confirmed()

    def _confirmed(self) -> list[str]:
        known: list[str] = json.loads(self._store.values.get("", CONFIRMED) or "[]")
        return known

    def _of(self, project: str) -> tuple[LabelStudio, ImageSource]:
        known = self._store.projects.get(project)
        confirmed = self._is_confirmed(known.hostname)
        # The cache lets two threads miss at once, and each would exchange a token of its own.
        with self._connecting:
            return self._known(known.hostname, known.token, confirmed)

    def _connect(self, hostname: str, token: str, confirmed: bool) -> tuple[LabelStudio, ImageSource]:
        if confirmed:
            label_studio = LabelStudio.for_project(
                self._settings, hostname=hostname, token=token, breakers=self._breakers
            )
        else:
            label_studio = LabelStudio("", hostname=hostname, unknown=not_confirmed(hostname))
        downloads = self._settings.data_dir / "cache" / "downloads"
        return label_studio, ImageSource(self._settings, label_studio, downloads, self._breakers)


def not_confirmed(hostname: str) -> str:
    """Why nothing is fetched from an address that came with ``/setup``, as a sentence."""
    return (
        f"The project was connected from {hostname}, and nobody has confirmed yet that this is your Label Studio: "
        "nothing is fetched from there. Press Confirm on the page Overview, or start the backend with LABEL_STUDIO_URL."
    )


_GONE = (
    "{url} answers, but has no project {project}, or does not show it to this API key: it was probably deleted there. "
    "Nothing was deleted here because of that."
)


@dataclass(frozen=True)
class Link:
    """What a look at Label Studio found."""

    state: Literal["good", "bad", "unknown"]
    sentence: str
    checked: float = 0.0  # Unix seconds
    webhook: WebhookState = "unknown"
    gone: bool = False  # Label Studio answers, also about projects, and has none of that number


class LinkChecker:
    """Looks whether Label Studio answers and accepts the key; in the background, as that may take time.

    Args:
        settings: of the backend.
        connections: to Label Studio.
        webhook_state: how it is with the webhook of a project.
    """

    FRESH_S = 30.0
    LONGEST_S = 20.0
    PATIENCE_S = 1.5  # that a page waits for a first answer

    def __init__(
        self,
        settings: Settings,
        connections: Connections,
        webhook_state: Callable[[str, LabelStudio], WebhookState],
    ) -> None:
        self._settings = settings
        self._connections = connections
        self._webhook_state = webhook_state
        self._found: dict[str, Link] = {}
        self._looked: dict[str, float] = {}  # monotonic seconds of what was found
        self._busy: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()

    def ask(self, project: str) -> Link:
        """A fresh finding, however long that takes: for what must not be said on the strength of an old one."""
        self.forget(project)
        return self.look(project, self.LONGEST_S)

    def look(self, project: str, patience: float | None = None) -> Link:
        """The latest finding, at most `FRESH_S` old unless Label Studio takes more than ``patience`` seconds."""
        with self._lock:
            link = self._found.get(project, Link("unknown", "Label Studio is being asked; reload the page."))
            thread = self._busy.get(project)
            if time.monotonic() - self._looked.get(project, -math.inf) > self.FRESH_S and not (
                thread and thread.is_alive()
            ):
                thread = threading.Thread(target=self._check, args=(project,), daemon=True)
                self._busy[project] = thread
                thread.start()
        if thread is not None:
            thread.join(self.PATIENCE_S if patience is None else patience)
        with self._lock:
            return self._found.get(project, link)

    def forget(self, project: str) -> None:
        """What was found is out of date: the next look is a fresh one."""
        with self._lock:
            self._looked.pop(project, None)

    def _check(self, project: str) -> None:
        label_studio = self._connections.label_studio(project)
        webhook: WebhookState = "unknown"
        kind = self._key_kind(project)
        try:
            if waiting := self._connections.unconfirmed(project):
                link = Link("bad", not_confirmed(waiting))
            elif not label_studio.url:
                link = Link("bad", "Label Studio's address is not known: set LABEL_STUDIO_URL.")
            else:
                with deadline.within(self.LONGEST_S):
                    user = label_studio.check().get("email", "an unnamed user")
                link = Link("good", f"{label_studio.url} answers to {kind} of {user}.")
                # The key may not show the project, and what is no Label Studio may answer anything.
                with suppress(LabelStudioError, LookupError, TypeError):
                    webhook = self._webhook_state(project, label_studio)
                with deadline.within(self.LONGEST_S):
                    if _is_gone(project, label_studio):
                        link = Link("bad", _GONE.format(url=label_studio.url, project=project), gone=True)
                        webhook = "unknown"
        except LabelStudioError as error:
            link = Link("bad", f"With {kind}: {error}")
        sentence = " ".join(filter(None, (self._settings.link_problem, link.sentence)))
        with self._lock:
            self._found[project] = Link(link.state, sentence, time.time(), webhook, link.gone)
            self._looked[project] = time.monotonic()

    def _key_kind(self, project: str) -> str:
        configured = self._settings.label_studio_api_key if self._settings.label_studio_url else ""
        if configured:
            named = "the personal access token" if token_claims(configured) else "the legacy token"
            return f"{named} in LABEL_STUDIO_API_KEY"
        if self._connections.has_token(project):
            return "the legacy token that came with the connection"
        return "no token at all"


def _is_gone(project: str, label_studio: LabelStudio) -> bool:
    """Whether a Label Studio that answers about projects has none of that number, or does not show it."""
    try:
        label_studio.get(f"/api/projects/{project}/")
    except LabelStudioError as error:
        if error.status != 404:
            return False
    else:
        return False
    try:
        label_studio.get("/api/projects/", page_size=1)
    except LabelStudioError:
        return False
    return True
