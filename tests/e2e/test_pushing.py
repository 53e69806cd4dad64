"""Predictions brought to every task of a real Label Studio: cancelled, killed, repeated, and after a roll back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from adclick_backend.store import Job, Store
from adclick_backend.store.version import WEIGHTS
from adclick_backend.store.versions import Registry
from model.checkpoint.manifest import PACKAGED_SEG, manifest_path, read_manifest
from tests.e2e import servers
from tests.e2e.project import Project
from tests.e2e.simulated_person import wait_for_references
from tests.helpers.versions import candidate

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.browser import LabelStudioWindow

pytestmark = pytest.mark.e2e

PRODUCT, DEFECT, SIZE = "flange", "stain", 384
NORMAL, DEFECTIVE = 6, 18
PATIENCE_S = 300.0  # for a push on a busy machine


@dataclass(frozen=True)
class Pushing:
    """A project that was never trained, in a backend whose database and versions this process can look into."""

    project: Project
    tasks: list[int]  # those with a defect
    backend: str
    store: Store
    registry: Registry

    def press(self, page: Page) -> Job:
        """Press the button that gives every task its prediction; the job that comes of it."""
        self.press_on_versions(page, "Update all predictions")
        page.wait_for_url("**/training")
        return self.store.jobs.of_project(str(self.project.id))[0]

    def press_on_versions(self, page: Page, button: str) -> None:
        """Press a button of the page of the versions."""
        from tests.e2e.browser import look_at

        look_at(page, f"{self.backend}/projects/{self.project.id}/versions")
        page.get_by_role("button", name=button).click()

    def wait(self, what: Callable[[], bool], words: str, instead: Callable[[], object] | None = None) -> None:
        """Wait until something is so; if it does not come, the failure says what there is instead."""
        deadline = time.monotonic() + PATIENCE_S
        while not what():
            if time.monotonic() > deadline:
                found = instead() if instead else self.store.jobs.of_project(str(self.project.id))[:2]
                raise AssertionError(f"{words} did not come true: {found}")
            time.sleep(0.1)

    def ended(self, job: Job) -> Job:
        """The job once it is over."""

        def now() -> Job:
            found = self.store.jobs.find(job.id)
            assert found is not None
            return found

        self.wait(lambda: not now().active, f"the end of job {job.id}")
        return now()

    def until_idle(self) -> None:
        """Wait until no job of the project is left."""
        jobs, number = self.store.jobs, str(self.project.id)
        self.wait(lambda: not any(job.active for job in jobs.of_project(number)), "that no job is left")

    def versions(self) -> dict[int, list[str]]:
        """Task -> the versions of its predictions, the one that is shown last."""
        return {task: self.project.versions_of(task) for task in self.tasks}


@pytest.fixture
def pushing(person: requests.Session, label_studio: str, api_key: str, tmp_path: Path) -> Iterator[Pushing]:
    from draw_samples import draw

    folder = tmp_path / "data"
    with servers.backend(folder, label_studio_url=label_studio, api_key=api_key) as backend:
        project = Project.create(person, label_studio, "Pushed flanges", [DEFECT])
        good = [draw(PRODUCT, seed=seed, size=SIZE).image for seed in range(NORMAL)]
        bad = [draw(PRODUCT, DEFECT, seed=seed, size=SIZE).image for seed in range(DEFECTIVE)]
        tasks = project.upload([*good, *bad])
        project.connect(backend)
        for task in tasks[:NORMAL]:
            project.mark_normal(task)
        wait_for_references(backend, project.id, ready=NORMAL)
        with servers.looked_into(folder) as (store, registry):
            yield Pushing(project, tasks[NORMAL:], backend, store, registry)


def publish(pushing: Pushing, folder: Path) -> str:
    """A version with the weights of the packaged network, under a name of its own, that serves; that name."""
    number = str(pushing.project.id)
    name = pushing.registry.new_name(number)
    version = pushing.registry.full_name(number, name)
    about = {key: value for key, value in read_manifest(PACKAGED_SEG).items() if key != "sha256"}
    made = candidate(folder / name, PACKAGED_SEG.read_bytes(), **{**about, "version": version})
    assert manifest_path(made / WEIGHTS).exists()
    pushing.registry.publish(number, made, name)
    pushing.registry.activate(number, name)
    return version


def test_no_task_gets_a_version_twice_however_often_the_push_is_cut_short(
    pushing: Pushing, window: LabelStudioWindow, page: Page, tmp_path: Path
) -> None:
    """Reliability row 22: no prediction twice."""
    from tests.e2e.browser import look_at

    project = pushing.project
    older, trained = publish(pushing, tmp_path), publish(pushing, tmp_path)

    job = pushing.press(page)
    pushing.wait(lambda: project.prediction_count() >= 2, "two predictions")
    page.get_by_role("button", name=f"Cancel job {job.id}").click()
    assert pushing.ended(job).state == "cancelled"
    cancelled_at = project.prediction_count()

    job = pushing.press(page)
    pushing.wait(lambda: project.prediction_count() >= cancelled_at + 2, "two more predictions")
    running = pushing.store.jobs.find(job.id)
    assert running is not None and running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    killed = pushing.ended(job)
    assert killed.state == "failed" and "killed" in killed.message
    assert cancelled_at + 2 <= project.prediction_count() < DEFECTIVE + NORMAL  # it was cut short indeed

    print(*(pushing.ended(pushing.press(page)).message for _ in range(2)), sep="\n")
    found = pushing.versions()
    assert all(versions in ([], [trained]) for versions in found.values()), found
    assert sum(map(bool, found.values())) >= 5, found

    # Label Studio shows the newest prediction. A roll back has to bring back what the version before had proposed.
    project.retrieve_predictions(pushing.tasks)
    pushing.until_idle()  # what takes longer than Label Studio waits is brought to it
    now = pushing.versions()  # this version serves: Label Studio does not even ask where it proposes
    assert all(versions in ([], [trained]) and versions >= found[task] for task, versions in now.items()), now
    pushing.ended(pushing.press(page))
    look_at(page, f"{pushing.backend}/projects/{project.id}/versions")
    page.get_by_role("link", name="Roll back to v1").click()
    page.get_by_role("button", name="Roll back", exact=True).click()
    page.get_by_text("Rolled back: version v1 serves now.").wait_for()
    pushing.ended(pushing.press(page))
    both = pushing.versions()
    # What was not worth proposing then may be now, as more is known of good images; nothing is proposed twice.
    assert all(versions in ([], [trained], [older], [trained, older]) for versions in both.values()), both
    pushing.registry.activate(str(project.id), "v2")
    pushing.ended(pushing.press(page))
    again = pushing.versions()
    kinds = ([], [trained], [older], [older, trained], [trained, older])
    assert all(versions in kinds and set(both[task]) <= set(versions) for task, versions in again.items()), (
        both,
        again,
    )

    task = next(task for task, versions in again.items() if versions == [older, trained])
    shown = [region["id"] for region in project.prediction(task, trained)["result"]]
    window.open_task(project.id, task)
    pushing.wait(
        lambda: window.regions() == shown,
        f"the regions {shown} of the newest version in the editor",
        lambda: (window.regions(), window.state(), window.errors, project.versions_of(task)),
    )
    assert window.regions() == shown
    assert window.errors == []
