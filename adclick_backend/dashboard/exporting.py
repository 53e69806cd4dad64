"""The form that takes the labels of a project along, as a zip file that is sent while it is written."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import cast

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.pages import Pages
from adclick_backend.deadline import LONG_ANSWER
from adclick_backend.errors import bad_request
from adclick_backend.exports.labels import LabelExport
from adclick_backend.exports.state import SILENCE_S, ExportStates
from adclick_backend.exports.wish import ExportError, Images, Wish, read_shares
from adclick_backend.services import Services
from adclick_backend.store.disk import is_full
from model.checkpoint.atomic import SPARE_BYTES
from model.datasets.layouts.file_names import safe
from model.datasets.layouts.zipped import zipped

log = logging.getLogger(__name__)

LONGEST_SYNC_S = 900.0
_LOOK_S = 0.5
_NO_ROOM = "The export was ended: the last {} MB of the disk with the data folder are left to labels. Make room on it."


def add_exporting(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the form."""
    services = pages.services
    states = ExportStates(services.store)

    @blueprint.get("/projects/<project>/labels/export.zip")
    def export_labels(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        request.environ.get(LONG_ANSWER, lambda: None)()
        try:
            wish = read_wish(request.args)
            states.say(project, "Asking Label Studio for what is new.", running=True)
            export = LabelExport(project, services, wish, _synchronised(services, project))
        except ExportError as error:
            states.say(project, str(error), running=False)
            raise bad_request(str(error)) from error
        title = services.store.projects.get(project).title or f"project-{project}"
        answer = Response(_pieces(project, services, states, export), mimetype="application/zip")
        answer.headers.set("Content-Disposition", "attachment", filename=f"{safe(title)}-{wish.format}.zip")
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @blueprint.get("/projects/<project>/labels/export/live")
    def live_export(project: str) -> ResponseReturnValue:
        return render_template("export_live.html", export=states.of(pages.known(project)))


def read_wish(form: Mapping[str, str]) -> Wish:
    """What somebody wants, from the fields of the form.

    Raises:
        ExportError: there is no such format, image choice or split.
    """
    images = form.get("images", "copy")
    if images not in ("copy", "none"):
        raise ExportError(f"Images are copied (copy) or left out (none), not {images[:40]!r}.")
    return Wish(
        format=form.get("format", ""),
        images=cast(Images, images),
        shares=read_shares(form["split"]) if form.get("split") else None,
        reviewed="reviewed" in form,
        annotator=form.get("annotator", ""),
        parts="parts" in form,
        boxes="no_boxes" not in form,
    )


def _synchronised(services: Services, project: str) -> str:
    """Fetch what Label Studio holds beyond the copy; a sentence about what could not be read."""
    if not services.connections.label_studio(project).url:
        return "No Label Studio is known to ask for newer labels; those known before are exported."
    services.syncs.start(project)
    begun = time.monotonic()
    while (state := services.syncs.state(project)).running:
        if time.monotonic() - begun > LONGEST_SYNC_S:
            return "Label Studio takes too long to say what is new; the labels known so far are exported."
        time.sleep(_LOOK_S)
    return state.sentence if state.failed else ""


def _pieces(project: str, services: Services, states: ExportStates, export: LabelExport) -> Iterator[bytes]:
    """The zip file; how far it is is noted meanwhile, and how it ended."""
    folder, said = services.settings.data_dir, 0.0

    def progress(done: int) -> None:
        nonlocal said
        if time.monotonic() - said >= SILENCE_S:
            said = time.monotonic()
            states.say(project, f"{done} of {len(export)} images are in the zip file.", running=True)
            if shutil.disk_usage(folder).free < SPARE_BYTES:
                raise ExportError(_NO_ROOM.format(SPARE_BYTES >> 20))

    sentence = "The export was cancelled."
    try:
        yield from zipped(export.entries(folder, progress))
        sentence = f"Exported: {export.sentence}"
    except Exception as error:
        sentence = str(error) if isinstance(error, ExportError) else "The export failed; the log says why."
        if is_full(error):
            sentence = _NO_ROOM.format(SPARE_BYTES >> 20)
        log.exception("The labels of project %s could not be exported", project)
        raise  # the connection ends, so that nobody takes half a file for a whole one
    finally:
        states.say(project, sentence, running=False)
