"""The button that takes a detector along: a bundle as a zip file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.pages import Pages
from adclick_backend.deadline import LONG_ANSWER
from adclick_backend.errors import ApiError, bad_request
from adclick_backend.exports.detector import detector_bundle
from adclick_backend.exports.wish import ExportError
from adclick_backend.store.disk import is_full
from model.datasets.layouts.file_names import safe
from model.datasets.layouts.zipped import zipped

log = logging.getLogger(__name__)

_NO_ROOM = "The detector was not exported: the disk with the data folder is full. Make room on it."


def add_taking_along(blueprint: Blueprint, pages: Pages) -> None:
    """Add the route of the button."""
    services = pages.services

    @blueprint.get("/projects/<project>/versions/detector.zip")
    def export_detector(project: str) -> ResponseReturnValue:
        project, version = pages.known(project), request.args.get("version", "")
        request.environ.get(LONG_ANSWER, lambda: None)()
        stack = ExitStack()
        try:
            entries = stack.enter_context(detector_bundle(project, services, version))
        except ExportError as error:
            raise bad_request(str(error)) from error
        except OSError as error:
            if not is_full(error):
                raise
            log.warning("%s", error)
            raise ApiError(507, "disk_full", _NO_ROOM) from error
        title = services.store.projects.get(project).title or f"project-{project}"

        def pieces() -> Iterator[bytes]:
            with stack:
                yield from zipped(entries)

        answer = Response(pieces(), mimetype="application/zip")
        answer.call_on_close(stack.close)  # who left before the first byte
        name = f"{safe(title)}-{version or 'detector'}.zip"
        answer.headers.set("Content-Disposition", "attachment", filename=name)
        answer.headers["Cache-Control"] = "no-store"
        return answer
