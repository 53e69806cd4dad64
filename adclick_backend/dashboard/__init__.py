"""The dashboard: pages about each project, rendered here, with forms for what a person may change."""

from __future__ import annotations

from flask import Blueprint, Response, request

from adclick_backend.dashboard.all_alike import add_all_alike
from adclick_backend.dashboard.exporting import add_exporting
from adclick_backend.dashboard.figures import meaning_of, words_of
from adclick_backend.dashboard.finding import add_finding
from adclick_backend.dashboard.gallery import add_gallery
from adclick_backend.dashboard.generated import add_generated
from adclick_backend.dashboard.job_notices import add_job_notices
from adclick_backend.dashboard.labels import add_labels
from adclick_backend.dashboard.marking import add_marking
from adclick_backend.dashboard.overview import add_overview
from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.preparing import add_preparing
from adclick_backend.dashboard.projects import add_projects
from adclick_backend.dashboard.prompts import add_prompts
from adclick_backend.dashboard.references import add_references
from adclick_backend.dashboard.removal import add_removal
from adclick_backend.dashboard.reports import add_reports
from adclick_backend.dashboard.shortcuts import add_shortcuts
from adclick_backend.dashboard.taking_along import add_taking_along
from adclick_backend.dashboard.threshold import add_threshold
from adclick_backend.dashboard.training import add_training
from adclick_backend.dashboard.trial import add_trial
from adclick_backend.dashboard.version_changes import add_version_changes
from adclick_backend.dashboard.versions import add_versions
from adclick_backend.dashboard.words import ago, change, images, percent
from adclick_backend.services import Services

# Nothing is loaded from elsewhere, no script stands in the page, and no other page may frame it.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def create_dashboard(services: Services) -> Blueprint:
    """The dashboard's routes."""
    blueprint = Blueprint(
        "dashboard", __name__, template_folder="templates", static_folder="static", static_url_path="/static"
    )
    for words in (ago, percent, change, images, meaning_of, words_of):
        blueprint.add_app_template_filter(words)
    pages = Pages(services)
    add_projects(blueprint, pages)
    add_overview(blueprint, pages)
    add_shortcuts(blueprint, pages)
    add_references(blueprint, pages)
    add_labels(blueprint, pages)
    add_marking(blueprint, pages)
    add_removal(blueprint, pages)
    add_gallery(blueprint, pages)
    add_generated(blueprint, pages)
    add_training(blueprint, pages)
    add_job_notices(blueprint, pages)
    add_versions(blueprint, pages)
    add_version_changes(blueprint, pages)
    add_threshold(blueprint, pages)
    add_trial(blueprint, pages)
    add_prompts(blueprint, pages)
    add_reports(blueprint, pages)
    add_all_alike(blueprint, pages)
    add_preparing(blueprint, pages)
    add_finding(blueprint, pages)
    add_exporting(blueprint, pages)
    add_taking_along(blueprint, pages)

    @blueprint.before_request
    def refuse_foreign_forms() -> None:
        if request.method == "POST":
            pages.token.check(request)

    @blueprint.after_request
    def protect(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    return blueprint
