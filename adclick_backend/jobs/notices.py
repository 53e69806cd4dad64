"""Telling the server that a person named that a job is over, in the words that its page has."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass

from adclick_backend.downloads.posting import PostError, checked_address, post_json
from adclick_backend.settings import Settings
from adclick_backend.store import Job, Store

log = logging.getLogger(__name__)

ADDRESS, RESULT = "notice_address", "notice_result"
"""Keys of the project's store: where notices go, and what came of the last one."""

KINDS = {
    "train": "Training",
    "push": "Predictions for all tasks",
    "masks": "Masks from key points",
    "report": "Report",
    "normal": "Tasks marked as normal",
    "prepare": "All images prepared",
    "alike": "Places like some masks",
    "generate": "Generated defects",
    "points": "Thresholds measured",
}
"""Kind of a job -> what a person calls it."""


@dataclass(frozen=True)
class NoticeResult:
    """What came of the last notice."""

    sentence: str
    at: float  # Unix seconds
    arrived: bool


class JobNotices:
    """Posts notices about jobs. Whatever goes wrong is a sentence on the page Training, and fails nothing.

    Args:
        store: where a project's address is.
        settings: with the one of all projects.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def address(self, project: str) -> str:
        """Where notices about the project go; "" for nowhere."""
        return self._store.values.get(project, ADDRESS) or self._settings.notify_url

    def is_own(self, project: str) -> bool:
        """Whether the project has an address of its own."""
        return bool(self._store.values.get(project, ADDRESS))

    def send_to(self, project: str, url: str) -> None:
        """From now on notices about the project go there; "" for where the setting says.

        Raises:
            PostError: it is no address.
        """
        if url:
            checked_address(url)
        self._store.values.set(project, ADDRESS, url)
        self._store.values.set(project, RESULT, "")

    def result(self, project: str) -> NoticeResult | None:
        """What came of the last notice; None when there was none."""
        kept = self._store.values.get(project, RESULT)
        return NoticeResult(**json.loads(kept)) if kept else None

    def job_ended(self, job: Job) -> None:
        """Say that a job is over; nobody is told of one that a person cancelled."""
        if job.state in ("done", "failed"):
            self._post(job.project, notice_of(job, self._title(job.project)))

    def try_out(self, project: str) -> None:
        """Send a notice about nothing."""
        title = self._title(project)
        text = f"{title}: notices of ADClick arrive here."
        self._post(project, {"text": text, "project": project, "title": title, "kind": "test"})

    def _title(self, project: str) -> str:
        return self._store.projects.get(project).title or f"Project {project}"

    def _post(self, project: str, notice: dict[str, object]) -> None:
        url = self.address(project)
        if not url:
            return
        try:
            post_json(url, notice)
            result = NoticeResult("The last notice arrived.", time.time(), arrived=True)
        except PostError as error:
            result = NoticeResult(f"The last notice did not arrive. {error}", time.time(), arrived=False)
            log.warning("Project %s: a notice did not arrive. %s", project, error)
        except Exception:
            log.exception("A notice could not be sent")
            sentence = "The last notice could not be sent; the log of the backend says why."
            result = NoticeResult(sentence, time.time(), arrived=False)
        self._store.values.set_if_possible(project, RESULT, json.dumps(vars(result)))


def notice_of(job: Job, title: str) -> dict[str, object]:
    """What is posted about a job; ``text`` is the whole of it in one line, as chat servers show it."""
    kind = KINDS[job.kind]
    return {
        "text": f"{title}: {kind}, job {job.id}, {job.state}. {job.message}",
        "project": job.project,
        "title": title,
        "job": job.id,
        "kind": job.kind,
        "state": job.state,
        "message": job.message,
        "version": job.version,
        "seconds": round(max(0.0, job.ended - job.started), 1) if job.started and job.ended else None,
    }
