"""The form that has places like the masks of a defect type looked for in the images without a label."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.pages import Pages
from adclick_backend.labels.alike_wish import AlikeWish


def add_finding(blueprint: Blueprint, pages: Pages) -> None:
    """Add the route of the form."""
    services = pages.services

    @blueprint.post("/projects/<project>/find-alike")
    def find_alike(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        wanted = request.form.get("type", "")
        if wanted not in services.labels.details(project).types:
            return pages.back(
                "labels", project, "finding", f"There is no label of “{wanted[:80]}” to look for."
            )
        tasks, wrong = _numbers(request.form.get("tasks", ""))
        if wrong:
            return pages.back("labels", project, "finding", f"“{wrong[:40]}” is no number of a task.")
        if services.jobs.under_way(project, "alike"):
            said = "A search is under way already; cancel it on the page Training, or wait for it."
            return pages.back("labels", project, "finding", said)
        AlikeWish(wanted, tasks, "everywhere" in request.form).keep(services.store, project)
        services.jobs.enqueue(project, "alike", "the dashboard")
        return pages.back("training", project)


def _numbers(words: str) -> tuple[tuple[int, ...], str]:
    """The numbers in a text, and the first word that is none; "" when all are."""
    found = words.replace(",", " ").split()
    wrong = next((word for word in found if not (word.isdecimal() and len(word) < 19)), "")
    return ((), wrong) if wrong else (tuple(int(word) for word in found), "")
