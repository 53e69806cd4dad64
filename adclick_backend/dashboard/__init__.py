"""The status page: what a person needs to connect, to see what is wrong, and to look after references."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue

from adclick_backend.api_errors import ApiError, bad_request
from adclick_backend.auth import FormToken
from adclick_backend.dashboard.page import ago, build_page
from adclick_backend.services import Services
from adclick_backend.store import ProjectIdError, project_id

# Nothing is loaded from elsewhere, no script stands in the page, and no other page may frame it.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


def create_dashboard(services: Services) -> Blueprint:
    """The dashboard's routes."""
    blueprint = Blueprint(
        "dashboard", __name__, template_folder="templates", static_folder="static", static_url_path="/static"
    )
    form_token = FormToken(services.store)
    blueprint.add_app_template_filter(ago, "ago")
    _add_pages(blueprint, services, form_token)
    _add_forms(blueprint, services, form_token)

    @blueprint.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    return blueprint


def _add_pages(blueprint: Blueprint, services: Services, form_token: FormToken) -> None:
    @blueprint.get("/")
    def home() -> ResponseReturnValue:
        projects = services.store.projects.all()
        return _status(projects[0].id if projects else "")

    @blueprint.get("/projects/<project>")
    def status(project: str) -> ResponseReturnValue:
        return _status(_known(services, project))

    def _status(project: str) -> ResponseReturnValue:
        page = build_page(
            services,
            project,
            backend_url=request.host_url.rstrip("/"),
            host=request.host,
            number=request.args.get("page", 1, int),
        )
        answer = Response(render_template("status.html", page=page, token=form_token))
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @blueprint.get("/projects/<project>/thumbnails/<sha>.jpg")
    def thumbnail(project: str, sha: str) -> ResponseReturnValue:
        try:
            path = services.references.thumbnail(_known(services, project), sha)
        except ValueError as error:
            raise ApiError(404, "not_found", str(error)) from error
        if not path.is_file():
            raise ApiError(404, "not_found", "There is no such thumbnail.")
        answer = send_file(path.resolve(), mimetype="image/jpeg", conditional=True, etag=sha)
        # The address is the hash of the content, so the content never changes.
        answer.headers["Cache-Control"] = "private, max-age=31536000, immutable"
        return answer


def _add_forms(blueprint: Blueprint, services: Services, form_token: FormToken) -> None:
    @blueprint.before_request
    def refuse_foreign_forms() -> None:
        if request.method == "POST":
            form_token.check(request)

    def back(project: str, part: str) -> ResponseReturnValue:
        return redirect(url_for("dashboard.status", project=project, _anchor=part), 303)

    @blueprint.post("/projects/<project>/references")
    def upload(project: str) -> ResponseReturnValue:
        project = _known(services, project)
        files = [file for file in request.files.getlist("images") if file.filename]
        if not files:
            raise bad_request("No image was chosen.", "images")
        product = request.form.get("product", "").strip()[:200]
        for file in files:
            services.references.add(
                project, file.read(), source="upload", name=file.filename or "", product=product
            )
        services.keeper.wake()
        return back(project, "references")

    @blueprint.post("/projects/<project>/references/<int:reference>/remove")
    def remove(project: str, reference: int) -> ResponseReturnValue:
        services.references.remove(_known(services, project), reference)
        return back(project, "references")

    @blueprint.post("/projects/<project>/references/<int:reference>/retry")
    def retry(project: str, reference: int) -> ResponseReturnValue:
        services.store.references.try_again(_known(services, project), reference)
        services.keeper.wake()
        return back(project, "references")

    @blueprint.post("/projects/<project>/problems/clear")
    def clear_problems(project: str) -> ResponseReturnValue:
        services.store.problems.clear(_known(services, project))
        return back(project, "problems")


def _known(services: Services, project: str) -> str:
    """The id of a project from an address.

    Raises:
        ApiError: 404; it is none, or nothing was ever heard of it.
    """
    try:
        known = project_id(project)
    except ProjectIdError as error:
        raise ApiError(404, "not_found", str(error)) from error
    if not services.store.projects.get(known).updated and not services.store.references.of_project(known):
        raise ApiError(404, "not_found", f"Project {known} was not connected to this backend yet.")
    return known
