"""What every page of the dashboard has: the head with the model's state, the projects, the project's pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from adclick_backend import __version__
from adclick_backend.dashboard.form_token import FormToken
from adclick_backend.dashboard.notices import Notice, Notices
from adclick_backend.dashboard.task_links import project_url
from adclick_backend.errors import ApiError
from adclick_backend.services import Services
from adclick_backend.store import Project, ProjectIdError, project_id

# The pages of a project, in the order of a person's way through them: route's name, words in the navigation.
TABS = (
    ("overview", "Overview"),
    ("references", "References"),
    ("labels", "Labels"),
    ("gallery", "Gallery"),
    ("generated", "Generated defects"),
    ("training", "Training"),
    ("versions", "Versions"),
    ("trial", "Try it"),
    ("prompts", "Prompts"),
    ("reports", "Reports"),
)

BELOW = {"threshold": "versions"}  # a page that no tab leads to -> the one that its link is on

LAST_PROJECT = "adclick_project"  # cookie: where the home page leads this person
LAST_PROJECT_S = 180 * 86400


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
    notice: Notice | None  # what the form that was just sent has done
    label_studio: str  # where the project's tasks are in Label Studio; "" when that is not known

    @property
    def current_tab(self) -> str:
        """The page of `TABS` that a person is on, or below."""
        return BELOW.get(self.tab, self.tab)

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
        self._notices = Notices(self.token)

    def show(
        self, tab: str, project: str, *, template: str = "", changing: bool = False, **view: object
    ) -> Response:
        """The page of a project as an answer that no cache keeps.

        Args:
            tab: name of the page in `TABS` or `BELOW`, and of its template unless another one is given.
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
        if project and request.cookies.get(LAST_PROJECT) != project:
            answer.set_cookie(LAST_PROJECT, project, LAST_PROJECT_S, httponly=True, samesite="Lax")
        return answer

    def projects(self) -> list[Project]:
        """Every project by its title, then its number: an order that nobody's work changes."""
        found = self.services.store.projects.all()
        return sorted(found, key=lambda one: (one.title.casefold() or f"project {one.id}", int(one.id)))

    def known(self, project: str) -> str:
        """The id of a project from an address; its page is to show what another machine has just been told, too.

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
        self.services.registry.look_again(known)
        return known

    def back(
        self,
        tab: str,
        project: str,
        part: str | None = None,
        said: str = "",
        undo: tuple[str, str] | None = None,
    ) -> ResponseReturnValue:
        """The answer to a form: go to a page, to the part with that id, which then says what was done.

        Args:
            tab: name of the page in `TABS` or `BELOW`.
            project: its id.
            part: id of an element of the page.
            said: what was done, in a sentence.
            undo: address that takes it back when it is posted to, and the words on its button.
        """
        answer = redirect(url_for(f"dashboard.{tab}", project=project, _anchor=part), 303)
        if said:
            self._notices.send(answer, tab, project, Notice(said, *(undo or ())))
        return answer

    def _head(self, tab: str, project: str) -> Head:
        engine, store = self.services.engine, self.services.store
        return Head(
            version=__version__,
            model_version=self.services.registry.serving_name(project) if project else engine.version,
            model_state=engine.state,
            model_failure=engine.failure or "",
            projects=self.projects(),
            project=store.projects.get(project) if project else None,
            tabs=TABS,
            tab=tab,
            disk_problem=store.disk.look(),
            detector_problem=engine.shared_detector.problem,
            notice=self._notices.read(request, tab, project) if project else None,
            label_studio=self._label_studio(project) if project else "",
        )

    def _label_studio(self, project: str) -> str:
        """By the name that Label Studio goes by: people's browsers reach that one."""
        hostname = self.services.store.projects.get(project).hostname
        return project_url(hostname or self.services.settings.label_studio_url, project)
