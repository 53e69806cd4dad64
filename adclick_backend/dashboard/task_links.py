"""Addresses of projects and tasks in Label Studio."""

from __future__ import annotations


def project_url(hostname: str, project: str) -> str:
    """Where a person sees the tasks of a project; "" when Label Studio's address is no web address."""
    if not hostname.startswith(("http://", "https://")):
        return ""
    return f"{hostname.rstrip('/')}/projects/{project}/data"


def task_url(hostname: str, project: str, task_id: int | None) -> str:
    """Where a person sees the task; "" without a task, or when Label Studio's address is no web address."""
    tasks = project_url(hostname, project)
    return f"{tasks}?task={task_id}" if tasks and task_id is not None else ""
