"""The webhook that Label Studio has for a project: whether its messages carry the secret, and making it so."""

from __future__ import annotations

from adclick_backend.label_studio.instance import LabelStudio, LabelStudioError
from adclick_backend.label_studio.webhooks import (
    WebhookState,
    backend_url,
    register_webhook,
    webhook_state,
)
from adclick_backend.protocol.webhook_secret import WebhookSecret
from adclick_backend.store import Store
from adclick_backend.store.versions import Registry

_KEY = "called_at"  # in the project's key-value store: under which URL Label Studio calls this backend


class Registration:
    """Looks at the webhooks of projects, and mends them. One instance serves all projects.

    Args:
        store: where it is written down how Label Studio calls this backend.
        registry: which model versions answer here.
        secret: what messages should carry.
    """

    def __init__(self, store: Store, registry: Registry, secret: WebhookSecret) -> None:
        self._store = store
        self._registry = registry
        self._secret = secret

    def note(self, project: str, url: str) -> None:
        """Label Studio called this backend at that URL."""
        if self._store.values.get(project, _KEY) != url:
            self._store.values.set_if_possible(project, _KEY, url)

    def state(self, project: str, label_studio: LabelStudio) -> WebhookState:
        """How it is with the webhook of a project; raises LabelStudioError."""
        url = self._url(project, label_studio)
        return webhook_state(label_studio, project, url, self._secret.value) if url else "unknown"

    def mend(self, project: str, label_studio: LabelStudio) -> str:
        """Let the webhook carry the secret, and make one where there is none; a sentence about what came of it."""
        try:
            url = self._url(project, label_studio)
            if not url:
                return (
                    "It cannot be told which of the project's ML backends this one is. Run `adclick connect --project "
                    f"{project} --backend URL` with the URL that stands in Label Studio under Settings > Model."
                )
            before = register_webhook(label_studio, project, url, self._secret.value)
        except LabelStudioError as error:
            return f"The webhook was not changed. {error}"
        if before == "missing":
            return f"Label Studio now sends its messages to {url}, with the secret."
        return f"The messages that Label Studio sends to {url} carry the secret now."

    def _url(self, project: str, label_studio: LabelStudio) -> str | None:
        called = self._store.values.get(project, _KEY) or ""
        return backend_url(label_studio, project, called, self._registry.serving_name(project))
