"""A disk that fills up at some moment of a training, whose process is a real one (reliability row 19)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adclick_backend.jobs.queue import Jobs
from adclick_backend.store import Disk
from tests.adclick_backend.training.test_killed import PROCESS
from tests.helpers.backend import Backend
from tests.helpers.disks import small_disk
from tests.helpers.references import wait_for
from tests.helpers.training import TrainingEngine, label_images

ENDS_WITH_ITS_STATUS = PROCESS.replace("\nmain(", "\nstatus = main(") + "\nsys.exit(status)\n"


def test_a_training_fails_in_words_and_the_next_one_goes_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Disk, "LOOK_S", 0.05)
    with small_disk(tmp_path / "data", 16) as disk:
        backend = Backend(tmp_path, TrainingEngine())
        store = backend.services.store
        store.disk.watch = True
        label_images(backend)
        jobs = Jobs(store, backend.settings, (sys.executable, "-c", ENDS_WITH_ITS_STATUS))
        jobs.start()
        job = jobs.enqueue("1", "train", "test")
        assert wait_for(lambda: jobs.get("1", job.id).state == "training")
        disk.fill()
        assert wait_for(lambda: bool(store.disk.look()))
        assert backend.client.get("/health").json["state"] == "degraded"
        assert wait_for(
            lambda: not jobs._runner._running or jobs._runner._running["train"].process.poll() is not None
        )
        disk.empty()
        assert wait_for(lambda: jobs.get("1", job.id).state == "failed")
        message = jobs.get("1", job.id).message
        assert "the disk was full" in message or "The disk is full" in message
        assert backend.services.registry.list("1") == []
        models = backend.settings.data_dir / "projects" / "1"
        assert not list(models.rglob("*.half"))
        assert not list(models.glob(f"jobs/{job.id}/candidate"))
        again = jobs.enqueue("1", "train", "test")
        assert wait_for(lambda: jobs.get("1", again.id).state == "done")
        jobs.stop()
        backend.close()
