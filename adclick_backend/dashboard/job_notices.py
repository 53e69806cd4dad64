"""How a person who is not looking hears that a job is over: what the pages' script asks, and where notices are sent."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, g, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.pages import Pages
from adclick_backend.downloads.hosts import FetchError, parse_url
from adclick_backend.downloads.posting import PostError
from adclick_backend.errors import ApiError, bad_request
from adclick_backend.jobs.notices import KINDS, JobNotices, NoticeResult
from adclick_backend.services import Services
from adclick_backend.store import Job

ONLY_ADMINISTRATORS = (
    "Where notices are sent may be set on the machine of the backend only, unless the backend has a password "
    "(BASIC_AUTH_USER, BASIC_AUTH_PASS)."
)


@dataclass(frozen=True)
class NoticeView:
    """What the page Training says of notices."""

    server: str  # that they go to, without the part of its address that may be a secret; "" for none
    own: bool  # the project has an address of its own
    result: NoticeResult | None


def notice_view(services: Services, project: str) -> NoticeView:
    """Gather it."""
    notices = JobNotices(services.store, services.settings)
    try:
        url = notices.address(project)
        server = parse_url(url).origin if url else ""
    except FetchError:
        server = "an address that cannot be used"
    return NoticeView(server, notices.is_own(project), notices.result(project))


def job_state(job: Job) -> dict[str, object]:
    """What the script is told of a job."""
    return {
        "id": job.id,
        "kind": KINDS[job.kind],
        "state": job.state,
        "percent": int(100 * job.progress),
        "message": job.message,
        "page": url_for("dashboard.job", project=job.project, job=job.id),
    }


def add_job_notices(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes."""
    services = pages.services
    notices = JobNotices(services.store, services.settings)

    @blueprint.get("/projects/<project>/jobs.json")
    def job_states(project: str) -> ResponseReturnValue:
        found = services.jobs.of_project(pages.known(project))
        ended = max((job for job in found if not job.active), key=lambda job: job.ended or 0.0, default=None)
        answer: Response = jsonify(
            active=[job_state(job) for job in found if job.active],
            ended=None if ended is None else job_state(ended),
        )
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @blueprint.post("/projects/<project>/notices")
    def send_notices(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        _only_administrators()
        url = request.form.get("address", "").strip()
        if not url:
            raise bad_request("Give the address that notices are to be posted to.", "address")
        try:
            notices.send_to(project, url)
        except PostError as error:
            raise bad_request(str(error), "address") from error
        return pages.back(
            "training", project, "notices", said="Notices are sent there from now on; try it out."
        )

    @blueprint.post("/projects/<project>/notices/stop")
    def stop_notices(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        _only_administrators()
        notices.send_to(project, "")
        return pages.back("training", project, "notices", said="The address is forgotten.")

    @blueprint.post("/projects/<project>/notices/try")
    def try_notices(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        notices.try_out(project)
        return pages.back("training", project, "notices")


def _only_administrators() -> None:
    """A server that anybody may use must not post to whatever address they name."""
    if not g.administrator:
        raise ApiError(403, "forbidden", ONLY_ADMINISTRATORS)
