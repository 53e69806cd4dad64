"""Addresses of tasks in Label Studio."""

from __future__ import annotations


def task_url(hostname: str, project: str, task_id: int | None) -> str:
    """Where a person sees the task; "" without a task, or when Label Studio's address is no web address."""
    if task_id is None or not hostname.startswith(("http://", "https://")):
        return ""
    return f"{hostname.rstrip('/')}/projects/{project}/data?task={task_id}"
