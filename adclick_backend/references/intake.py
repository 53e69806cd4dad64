"""Bringing one reference into the bank: read, kept, encoded; or written down why not."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace

from adclick_backend.engine.bank import EngineError, ImageKey
from adclick_backend.engine.engine import Engine
from adclick_backend.errors import ImageError
from adclick_backend.images.connections import Connections
from adclick_backend.images.task_images import LoadedImage
from adclick_backend.labels.mirror import Labels
from adclick_backend.references.collection import References
from adclick_backend.references.thumbnails import thumbnail
from adclick_backend.settings import Settings
from adclick_backend.store import Reference, Store
from adclick_backend.store.disk import stops_writing
from model.checkpoint.atomic import write_atomically

log = logging.getLogger(__name__)

RETRY_S = (5.0, 30.0, 120.0, 600.0)  # waits before the next attempts at what may pass by itself


class _NotFetched(RuntimeError):
    """Label Studio may be down, or its key missing: worth another attempt, unlike a damaged file."""


class ReferenceIntake:
    """Does what is written down in the store as still to be done. One instance serves all projects."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        references: References,
        labels: Labels,
        connections: Connections,
        engine: Engine,
    ) -> None:
        self._settings = settings
        self._store = store
        self._references = references
        self._labels = labels
        self._connections = connections
        self._engine = engine

    def take_in(self, reference: Reference) -> None:
        """Bring a pending reference into the bank, or settle why it cannot be; never raises."""
        try:
            if self._encode(reference):
                self._store.references.settle(reference, "ready", model_version=self._engine.version)
        except (_NotFetched, EngineError) as error:
            self._failed(reference, str(error), passing=True)
        except ImageError as error:
            self._failed(reference, str(error), passing=False)
        except Exception as error:
            if stops_writing(error):  # it stays pending
                raise self._store.disk.failed(error) from error
            log.exception("Reference %s of project %s failed", reference.id, reference.project)
            self._failed(reference, "It could not be prepared; the backend's log says why.", passing=False)

    def _encode(self, reference: Reference) -> bool:
        """Fetch, keep, encode; False when the reference was taken away meanwhile."""
        kept = self._references.path(reference)
        if reference.file and kept.is_file():
            sha, data = reference.sha, kept.read_bytes()
        elif reference.url:
            sha, data = self._fetch(reference)
            file = self._references.keep(reference.project, sha, data, reference.name)
            if not self._store.references.fetched(reference, sha, file):
                return False
        else:
            raise ImageError("The kept copy of the file is gone; add the file again.")
        image = LoadedImage(data, self._settings.max_megapixels)
        white = self._references.white_points.of_reference(
            reference.project, reference.product, image, reference.name
        )
        pixels = image.read(white)
        write_atomically(self._references.thumbnail(reference.project, sha), thumbnail(pixels))
        self._engine.encode_reference(ImageKey(reference.project, sha, white), pixels)
        return True

    def _fetch(self, reference: Reference) -> tuple[str, bytes]:
        try:
            image = self._connections.load_image(reference.url, reference.project, reference.task_id)
        except ImageError as error:
            if kept := self._kept_copy(reference):
                return hashlib.sha256(kept).hexdigest(), kept
            raise _NotFetched(str(error)) from error
        return image.sha256, image.data

    def _kept_copy(self, reference: Reference) -> bytes:
        """The file as it was fetched before its annotation was deleted and brought back; empty when it was not."""
        project, url = reference.project, reference.url
        former = self._store.references.former_copy(project, url)
        label = self._store.labels.kept_copy(project, reference.task_id or 0, url)
        copies = [self._references.path(replace(reference, file=former))] if former else []
        copies += [self._labels.path(project, label)] if label else []
        return next((copy.read_bytes() for copy in copies if copy.is_file()), b"")

    def _failed(self, reference: Reference, reason: str, *, passing: bool) -> None:
        if passing and reference.attempts < len(RETRY_S):
            retry_at = self._store.database.now() + RETRY_S[reference.attempts]
            self._store.references.settle(reference, "pending", reason=reason, retry_at=retry_at)
            return
        self._store.references.settle(reference, "failed", reason=reason)
        sentence = f"The image {reference.name} could not become a reference: {reason}"
        self._store.problems.add(reference.project, sentence, reference.task_id)
