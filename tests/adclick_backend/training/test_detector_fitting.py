"""The real training of detectors inside a job, as short as it gets, and what the engine sees with what comes of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from adclick_backend.engine.bank import ImageKey
from adclick_backend.jobs.control import JobControl
from adclick_backend.jobs.files import JobFiles
from adclick_backend.store.proposal_source import JOINT, ProposalSource
from adclick_backend.training.detector_fitting import fit_detectors
from model.checkpoint.manifest import read_manifest
from model.training.detectors.project import train_detector
from model.training.detectors.settings import DetectorTraining
from tests.helpers.backend import Backend
from tests.helpers.shelf import Shelf, draw

BRIEF = DetectorTraining(steps=2, batch=1, checks=1, defects=1)


def test_what_was_fitted_to_good_images_proposes_in_the_engine(tmp_path: Path) -> None:
    backend = Backend(tmp_path)
    services = backend.services
    job = services.jobs.enqueue("1", "train", "test")
    services.store.jobs.begin(job.id, "Starting.")
    control = JobControl(services.store, JobFiles(backend.settings.data_dir), job)
    JobFiles(backend.settings.data_dir).folder("1", job.id).mkdir(parents=True)
    good = {"": [draw(seed) for seed in range(4)]}
    out = tmp_path / "detector.safetensors"
    fit = partial(train_detector, methods=("invad-tiny",), config=BRIEF)
    assert fit_detectors(fit, good, out, "v1", services, control, tmp_path / "detectors.safetensors") == ""
    assert services.jobs.get("1", job.id).message == "Learning what good images are like."
    backend.close()

    names = [part["name"] for part in read_manifest(out)["parts"]]
    assert names == ["invad-tiny", "residual", "packaged"]
    shelf = Shelf(tmp_path / "shelf")
    for image in good[""]:
        shelf.add(image)
    stained, asked = draw(63, (60, 110)), ProposalSource(JOINT.join(names), detector=out)
    found = shelf.engine.maps(ImageKey("7", "1" * 64), shelf.bank, lambda: stained, asked)["defect"]
    assert (
        found.max() == found[found.shape[0] * 110 // 160 - 8 :, : found.shape[1] // 2].max()
    )  # in the stain


def test_too_few_good_images_are_a_sentence(tmp_path: Path) -> None:
    backend = Backend(tmp_path)
    services = backend.services
    job = services.jobs.enqueue("1", "train", "test")
    services.store.jobs.begin(job.id, "Starting.")
    control = JobControl(services.store, JobFiles(backend.settings.data_dir), job)
    fit = partial(train_detector, methods=("invad-tiny",), config=BRIEF)
    out = tmp_path / "detector.safetensors"
    said = fit_detectors(fit, {"": [draw(1)]}, out, "v1", services, control, tmp_path / "d.safetensors")
    assert said.startswith(
        "There are no detectors among the sources of masks: InvAD learns what good images have in"
    )
    assert not out.exists()
    backend.close()
