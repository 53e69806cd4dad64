"""The page of the thresholds of what serves: a curve and a slider a defect type, saved and taken back."""

from __future__ import annotations

from urllib.parse import urlencode

import cv2
import numpy as np
from flask import Blueprint, Response, request, url_for
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.drawing import COLOURS, jpeg, outline, with_masks
from adclick_backend.dashboard.image_names import image_names
from adclick_backend.dashboard.operating_view import (
    OperatingView,
    operating_view,
    words_of_points,
)
from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.training import job_page
from adclick_backend.errors import ApiError
from adclick_backend.store.point_curves import CurveFiles, PointCurve
from adclick_backend.store.proposal_source import words_of_source
from adclick_backend.store.thresholds import Standing
from model.metrics.operating_curve import marked_at

SPEED, FASTEST = 1000, 1_000_000
"""Images an hour where nobody said how many pass, and more than any line has."""

SPEED_KEY = "images_an_hour"
"""Key of the project's store."""

POINT = "point:"
"""Before a defect type in the names of the fields that carry its threshold."""

LABELLED = (255, 255, 255)  # RGB of the outline of what is labelled


def add_threshold(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    services = pages.services
    thresholds, values = services.thresholds, services.store.values

    def measured(standing: Standing) -> tuple[CurveFiles, PointCurve | None]:
        """The curve of what serves; None when it was not measured as it is now."""
        files = standing.curve
        curve = files.read()
        if curve is not None and (curve.made_by, tuple(curve.types)) != (
            services.engine.version,
            standing.types,
        ):
            curve = None
        return files, curve

    def speed_of(project: str, asked: str | None) -> int:
        """Images an hour, as asked for, or as was said before."""
        for text in (asked, values.get(project, SPEED_KEY)):
            if text and text.isdecimal() and 1 <= int(text[:9]) <= FASTEST:
                return int(text[:9])
        return SPEED

    def shown(project: str, standing: Standing, curve: PointCurve) -> OperatingView:
        asked = {name: request.args.get(f"{POINT}{name}", "") for name in standing.types}
        positions = {name: int(text[:4]) for name, text in asked.items() if text.isdecimal()}
        return operating_view(curve, standing.points, positions, speed_of(project, request.args.get("speed")))

    def undo_address(project: str, standing: Standing) -> str:
        """Where a form takes back the last change, and no other one."""
        name = services.registry.serving_name(project)
        seen = urlencode({"version": standing.name, "source": standing.source.name, "name": name})
        return f"{url_for('dashboard.undo_threshold', project=project)}?{seen}"

    @blueprint.get("/projects/<project>/threshold")
    def threshold(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        standing = thresholds.of(project)
        _, curve = measured(standing)
        jobs = [job for job in services.jobs.of_project(project) if job.kind == "points"]
        return pages.show(
            "threshold",
            project,
            standing=standing,
            source=words_of_source(standing.source.name),
            curve=curve,
            view=shown(project, standing, curve) if curve else None,
            speed=speed_of(project, request.args.get("speed")),
            named=image_names(services.store, project),
            in_force=words_of_points(dict(standing.source.points)),
            before=None if standing.before is None else words_of_points(standing.before),
            undo=undo_address(project, standing),
            field=POINT,
            pushing=services.jobs.under_way(project, "push"),
            running=[job_page(services.jobs, job) for job in jobs if job.active],
            failed=next((job for job in jobs[:1] if job.state == "failed"), None),
        )

    @blueprint.post("/projects/<project>/threshold/measure")
    def measure_threshold(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        services.jobs.enqueue(project, "points", "the dashboard")
        return pages.back("threshold", project)

    @blueprint.post("/projects/<project>/threshold")
    def save_threshold(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        version, source = request.form.get("version", ""), request.form.get("source", "")
        points = {name[len(POINT) :]: text for name, text in request.form.items() if name.startswith(POINT)}
        before = services.registry.serving_name(project)
        standing = thresholds.choose(project, version, source, {n: _number(p) for n, p in points.items()})
        if request.form.get("speed"):
            values.set_if_possible(project, SPEED_KEY, str(speed_of(project, request.form["speed"])))
        chosen = dict(standing.source.points)
        if services.registry.serving_name(project) == before:
            return pages.back(
                "threshold", project, said="Nothing has changed: these thresholds are in force."
            )
        cut = f"at {words_of_points(chosen)}" if chosen else "as calibrated"
        said = f"Masks are cut {cut} now. Tasks that have masks keep them until all predictions are updated."
        return pages.back(
            "threshold", project, said=said, undo=(undo_address(project, standing), "Take it back")
        )

    @blueprint.post("/projects/<project>/threshold/undo")
    def undo_threshold(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        if request.args.get("name") != services.registry.serving_name(project):  # pressed twice, say
            return pages.back(
                "threshold", project, said="Nothing was taken back: the thresholds have changed since."
            )
        version, source = request.args.get("version", ""), request.args.get("source", "")
        standing = thresholds.undo(project, version, source)
        said = f"Taken back. The thresholds are what they were before: {words_of_points(dict(standing.source.points))}."
        return pages.back("threshold", project, said=said)

    @blueprint.get("/projects/<project>/threshold/<token>/<int:number>/<int:place>.jpg")
    def threshold_picture(project: str, token: str, number: int, place: int) -> ResponseReturnValue:
        files, curve = measured(thresholds.of(pages.known(project)))
        position = request.args.get("at", "")
        missing = ApiError(404, "not_found", "There is no such picture: the thresholds were measured again.")
        if (
            curve is None
            or curve.token != token
            or not position.isdecimal()
            or int(position) >= len(curve.points)
        ):
            raise missing
        pixels, kept = files.picture(curve, number), files.map(curve, number, place)
        if pixels is None or kept is None:
            raise missing
        probability, labelled = kept
        marked = marked_at(probability, curve.points[int(position)])
        drawn = with_masks(pixels, {"": marked}, {"": place % len(COLOURS)})
        inside = cv2.resize(labelled.astype(np.uint8), drawn.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        outline(drawn, inside > 0, (LABELLED, 1))
        answer = Response(jpeg(drawn), mimetype="image/jpeg")
        answer.headers["Cache-Control"] = "private, max-age=3600"
        return answer


def _number(text: str) -> float:
    """A number, or what is none: the thresholds say so in words."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
