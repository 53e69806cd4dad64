"""What every page of the dashboard has: the head with the model's state, the projects, the project's pages."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from adclick_backend import __version__
from adclick_backend.dashboard.form_token import FormToken
from adclick_backend.errors import ApiError
from adclick_backend.moments import is_within
from adclick_backend.services import Services
from adclick_backend.store import Project, ProjectIdError, project_id

# The pages of a project, in the order of a person's way through them: route's name, words in the navigation.
TABS = (
    ("overview", "Overview"),
    ("references", "References"),
    ("labels", "Labels"),
    ("training", "Training"),
    ("versions", "Versions"),
    ("prompts", "Prompts"),
    ("reports", "Reports"),
)

NOTICE = "dashboard_notice"  # in the project's key-value store: any worker process may show the next page
NOTICE_S = 15.0  # so long a page says what the form before it has done


@dataclass(frozen=True)
class Head:
    """What stands above every page; ``project`` is None before one was connected."""

    version: str
    model_version: str
    model_state: str
    model_failure: str
    projects: Sequence[Project]
    project: Project | None
    tabs: Sequence[tuple[str, str]]
    tab: str
    disk_problem: str  # why nothing can be kept
    detector_problem: str  # why the detectors of the setting do not propose
    notice: str  # what the form that was just sent has done

    @property
    def name(self) -> str:
        """What the project is called; "" for none."""
        if self.project is None:
            return ""
        return self.project.title or f"Project {self.project.id}"


class Pages:
    """Renders pages and finds projects; shared by the modules that add the routes of one page each."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.token = FormToken(services.store)

    def show(
        self, tab: str, project: str, *, template: str = "", changing: bool = False, **view: object
    ) -> Response:
        """The page of a project as an answer that no cache keeps.

        Args:
            tab: name of the page in `TABS`, and of its template unless another one is given.
            project: its id; "" before one was connected.
            template: of a page below one of `TABS`.
            changing: work goes on that the page will show when it is loaded again.
            view: what the template is given.
        """
        head = self._head(tab, project)
        changing = changing or head.model_state == "loading"
        name = template or f"{tab}.html"
        page = render_template(name, head=head, token=self.token, changing=changing, **view)
        answer = Response(page)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def known(self, project: str) -> str:
        """The id of a project from an address.

        Raises:
            ApiError: 404; it is none, or nothing was ever heard of it.
        """
        store = self.services.store
        try:
            known = project_id(project)
        except ProjectIdError as error:
            raise ApiError(404, "not_found", str(error)) from error
        if not store.projects.get(known).updated and not store.references.of_project(known):
            raise ApiError(404, "not_found", f"Project {known} was not connected to this backend yet.")
        return known

    def back(self, tab: str, project: str, part: str | None = None, said: str = "") -> ResponseReturnValue:
        """The answer to a form: go to a page, to the part with that id, which then says what was done."""
        if said:
            self.services.store.values.set_if_possible(project, NOTICE, json.dumps([time.time(), said]))
        return redirect(url_for(f"dashboard.{tab}", project=project, _anchor=part), 303)

    def _head(self, tab: str, project: str) -> Head:
        engine, store = self.services.engine, self.services.store
        return Head(
            version=__version__,
            model_version=self.services.registry.serving_name(project) if project else engine.version,
            model_state=engine.state,
            model_failure=engine.failure or "",
            projects=store.projects.all(),
            project=store.projects.get(project) if project else None,
            tabs=TABS,
            tab=tab,
            disk_problem=store.disk.look(),
            detector_problem=engine.shared_detector.problem,
            notice=self._notice(project) if project else "",
        )

    def _notice(self, project: str) -> str:
        kept = self.services.store.values.get(project, NOTICE)
        at, said = json.loads(kept) if kept else (0.0, "")
        return said if is_within(at, NOTICE_S) else ""
