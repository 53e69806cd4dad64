"""Buttons of the dashboard and a real Label Studio: tasks marked as normal, a project that was deleted there."""

from __future__ import annotations

import re
from html import unescape

import pytest
import requests

from tests.e2e.project import Project
from tests.e2e.servers import USER
from tests.e2e.simulated_person import wait_for_references
from tests.helpers.references import wait_for

pytestmark = pytest.mark.e2e


def page(address: str) -> str:
    answer = requests.get(address, timeout=60)
    answer.raise_for_status()
    return unescape(answer.text)


def send(address: str, form: str, **fields: str) -> requests.Response:
    """Send a form of a page, which has the token."""
    token = re.search(r'name="form_token" value="([^"]+)"', page(form))
    assert token
    return requests.post(address, data={"form_token": token[1], **fields}, timeout=60)


def test_tasks_are_marked_and_a_deleted_project_is_removed(
    label_studio: str, backend: str, person: requests.Session
) -> None:
    from draw_samples import draw

    project = Project.create(person, label_studio, "Lids", ["scratch"])
    project.connect(backend)
    tasks = project.upload([draw("cap", seed=seed).image for seed in range(5)])
    home = f"{backend}/projects/{project.id}"
    brush = {"from_name": "state", "to_name": "image", "type": "choices", "value": {"choices": ["defective"]}}
    project.annotate(tasks[0], [brush])

    # Which would be, by number and by a part of the file's name.
    text = page(f"{home}/normal?tasks={tasks[0]}-{tasks[2]}")
    assert "2 tasks would be marked as normal" in text
    assert "has an annotation already" in text
    assert "1 task would be marked as normal" in page(f"{home}/normal?holds=004.png")
    assert project.annotation_ids(tasks[1]) == []

    answer = send(f"{home}/normal", f"{home}/labels", tasks=f"{tasks[0]}-{tasks[2]}")
    assert answer.ok
    wait_for_references(backend, project.id, ready=2)
    assert [one["value"] for one in project.annotation(tasks[1])] == [{"choices": ["normal"]}]
    assert [one["value"] for one in project.annotation(tasks[0])] == [{"choices": ["defective"]}]
    assert "2 tasks are marked as normal. One was left as it is" in page(f"{home}/training")

    # Who annotated, as Label Studio calls them.
    send(f"{home}/labels/sync", f"{home}/labels")
    assert wait_for(lambda: USER in page(f"{home}/gallery"))
    assert f'href="{label_studio}/projects/{project.id}/data"' in page(home)

    # An image is tried by the number of a task that nobody annotated.
    answer = send(f"{home}/trial", f"{home}/trial", task=str(tasks[4]))
    assert answer.ok
    assert "004.png" in unescape(answer.text)

    # Deleted in Label Studio: nothing is lost here until somebody removes it.
    person.delete(f"{label_studio}/api/projects/{project.id}/", timeout=180).raise_for_status()
    assert wait_for(lambda: f"has no project {project.id}" in page(home))
    send(f"{home}/labels/sync", f"{home}/labels")
    assert wait_for(lambda: f"has no project {project.id}" in page(f"{home}/labels"))
    assert "3 images" in page(f"{home}/gallery")
    assert "Label Studio does not have this project any more" in page(f"{home}/remove")
    assert send(f"{home}/remove", f"{home}/remove", name="Lid").status_code == 409
    answer = send(f"{home}/remove", f"{home}/remove", name="Lids")
    assert answer.ok, answer.text
    assert "Lids is removed" in answer.text
    assert requests.get(home, timeout=60).status_code == 404
