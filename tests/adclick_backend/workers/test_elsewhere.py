"""What a job says on a node of a cluster, as it arrives where the job was started."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from adclick_backend.jobs.control import JobControl, JobTaken
from adclick_backend.jobs.files import JobFiles
from adclick_backend.store import Job, Store
from adclick_backend.workers.elsewhere import Output, ToldFiles


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "here")


def a_job(store: Store) -> Job:
    job = store.jobs.enqueue("1", "train", "test", "Waiting.")
    store.jobs.begin(job.id, "Starting.")
    return job


def test_the_curve_of_a_job_on_a_node_is_where_it_was_started(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, here = a_job(store), JobFiles(tmp_path / "here")
    here.folder("1", job.id).mkdir(parents=True)
    there = JobControl(store, ToldFiles(tmp_path / "there"), job)
    there.report("Learning.", 0.5, "training", loss=0.25)
    print("a line")
    there.report("Learning.", 0.6, "training", loss=0.125, metrics={"iou": 0.5})
    print("no end", end="")
    said, log = capsys.readouterr().out.encode(), io.BytesIO()
    output = Output(here, job, log)
    for begin in range(0, len(said), 7):
        output.write(said[begin : begin + 7])
    output.end()
    assert log.getvalue() == b"a line\nno end"
    assert [(point["loss"], point["progress"]) for point in here.curve("1", job.id)] == [
        (0.25, 0.5),
        (0.125, 0.6),
    ]
    assert not (tmp_path / "there").exists()
    store.close()


def test_a_process_that_was_taken_for_dead_hears_that_another_one_does_its_job(
    store: Store, tmp_path: Path
) -> None:
    job = a_job(store)
    control = JobControl(store, JobFiles(tmp_path), job, holder=11)
    control.hand_over(11)
    control.report("Learning.", 0.5, "training")
    control.hand_over(12)
    with pytest.raises(JobTaken):
        control.report("Learning.", 0.6, "training")
    found = store.jobs.find(job.id)
    assert found is not None and (found.state, found.progress) == ("training", 0.5)
    store.close()
