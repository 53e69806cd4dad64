"""The job that measures what thresholds do: on images that nothing was learned from, each looked at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adclick_backend.jobs.control import JobCancelled, JobControl, JobFailed
from adclick_backend.jobs.files import JobFiles
from adclick_backend.store.point_curves import CurveFiles, PointCurve
from adclick_backend.workers import measure_points
from model.metrics.operating_curve import POINTS
from tests.helpers.backend import Backend
from tests.helpers.graded_engine import TYPES, GradedEngine, label_shades, serve, square_at

SHADES = [[(20, 12, 250)], [(20, 12, 225)], [(40, 12, 120), (20, 36, 225)], [(20, 36, 90)]]


@pytest.fixture
def labelled(make_backend: Callable[..., Backend]) -> Backend:
    made = make_backend(engine=GradedEngine())
    label_shades(made, SHADES, good=4)
    return made


def run(backend: Backend) -> str:
    job = backend.services.jobs.enqueue("1", "points", "the dashboard")
    files = JobFiles(backend.settings.data_dir)
    files.folder("1", job.id).mkdir(parents=True)
    backend.services.store.jobs.begin(job.id, "Starting.")
    try:
        return measure_points.run("1", backend.services, JobControl(backend.services.store, files, job))
    finally:
        backend.services.store.jobs.end(job.id, "done", "Over.")


def files_of(backend: Backend) -> CurveFiles:
    standing = backend.services.thresholds.of("1")
    return standing.curve


def curve_of(backend: Backend) -> PointCurve:
    found = files_of(backend).read()
    assert found is not None
    return found


def shas(backend: Backend) -> dict[int, str]:
    """Number of each labelled task -> SHA-256 of its image."""
    return {task: sha for task, _, sha in backend.services.store.labels.hashes("1")}


def test_without_a_training_every_image_is_judged(labelled: Backend) -> None:
    assert run(labelled) == (
        "What thresholds do was measured on 4 labelled images and 4 good images; the page Versions leads to it."
    )
    curve = curve_of(labelled)
    assert (curve.made_by, tuple(curve.points), tuple(curve.types)) == ("fake-1", POINTS, ("defect",))
    assert abs(curve.at - time.time()) < 60
    by_task = {image.sha: image.seen["defect"] for image in curve.labelled}
    third = by_task[shas(labelled)[3]]
    assert third.defects == 2
    at = dict(zip(POINTS, third.found, strict=True))
    assert (at[0.001], at[0.5], at[0.999]) == (2, 1, 0)
    assert labelled.engine.looked == 8  # type: ignore[attr-defined]


def test_each_type_is_judged_by_its_own_map_and_labels(labelled: Backend, tmp_path: Path) -> None:
    serve(labelled, tmp_path)
    run(labelled)
    curve = curve_of(labelled)
    assert tuple(curve.types) == TYPES
    types = {image.sha: set(image.seen) for image in curve.labelled}
    of_task = {number: types[sha] for number, sha in shas(labelled).items() if sha in types}
    assert of_task == {1: {"dent"}, 2: {"dent"}, 3: {"dent", "scratch"}, 4: {"scratch"}}
    assert not curve.good  # the version may have learned from all of them
    assert "4 good images were left out, for the version may have learned from them." in curve.notes


def test_nothing_that_a_version_learned_from_judges_it(labelled: Backend, tmp_path: Path) -> None:
    tasks = shas(labelled)
    data = {
        "images": [tasks[1], tasks[5]],
        "held_out": [tasks[2], tasks[6]],
        "tried_on": [tasks[7], tasks[5]],
    }
    serve(labelled, tmp_path, data=data, created=time.time() + 3600)
    run(labelled)
    curve = curve_of(labelled)
    assert {image.sha for image in curve.labelled} == {tasks[2], tasks[3], tasks[4]}
    assert {image.sha for image in curve.good} == {tasks[6], tasks[7]}
    assert "1 labelled image was left out, for the version may have learned from it." in curve.notes


def test_good_images_that_came_in_since_a_training_are_unseen(labelled: Backend, tmp_path: Path) -> None:
    serve(labelled, tmp_path, created=time.time() - 3600)
    run(labelled)
    assert len(curve_of(labelled).good) == 4


def test_the_pictures_and_maps_are_kept(labelled: Backend) -> None:
    run(labelled)
    files, curve = files_of(labelled), curve_of(labelled)
    number = next(n for n, image in enumerate(curve.images) if image.sha == shas(labelled)[2])
    picture, kept = files.picture(curve, number), files.map(curve, number, 0)
    assert picture is not None and kept is not None
    assert picture.shape == (48, 64, 3)
    probability, truth = kept
    assert np.array_equal(truth, square_at(*SHADES[1]))
    assert probability[truth] == pytest.approx(225 / 255, abs=0.02)
    assert probability[~truth].max() < 0.002
    run(labelled)
    assert files.picture(curve, number) is None  # that of before is gone, and the page asks for the new one
    assert files.picture(curve_of(labelled), number) is not None


def test_a_cancelled_measurement_leaves_the_curve_before(
    labelled: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(labelled)
    before = curve_of(labelled)
    look, looked = measure_points._look, []

    def looks(*args: object) -> object:
        looked.append(args)
        if len(looked) == 3:
            raise JobCancelled
        return look(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(measure_points, "_look", looks)
    with pytest.raises(JobCancelled):
        run(labelled)
    assert curve_of(labelled) == before
    assert [path.name for path in files_of(labelled)._place.iterdir() if path.is_dir()] == [before.token]


def test_a_labelled_image_that_cannot_be_read_is_left_out_in_words(labelled: Backend) -> None:
    name = next(row.file for row in labelled.services.store.labels.some("1", [2]))
    labelled.services.labels.path("1", name).write_bytes(b"torn")
    sha = shas(labelled)[2]
    run(labelled)
    curve = curve_of(labelled)
    assert sha not in {image.sha for image in curve.images}
    assert len(curve.labelled) == 3


def test_with_no_image_to_judge_by_it_says_what_to_do(connected: Backend) -> None:
    with pytest.raises(
        JobFailed, match="no image here to judge a threshold by: label a defect, or add references"
    ):
        run(connected)
    assert not (connected.settings.data_dir / "projects/1/models").exists()


def test_good_images_alone_make_a_curve(make_backend: Callable[..., Backend]) -> None:
    made = make_backend(engine=GradedEngine())
    label_shades(made, [], good=4)
    run(made)
    curve = curve_of(made)
    assert (len(curve.labelled), len(curve.good)) == (0, 4)
    marked = [sum(image.seen["defect"].marked[at] for image in curve.good) for at in range(len(POINTS))]
    assert marked[0] == 4 and marked[-1] == 0 and len(set(marked)) == 5
