"""Generated pictures in a training: tried beside a training without them, and kept only where they help."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adclick_backend.jobs.control import JobCancelled
from adclick_backend.store import Job
from adclick_backend.store.generated import GeneratedFiles, Origin, key_of_type
from adclick_backend.store.participation import ALWAYS, NEVER, choose_participation
from adclick_backend.training import generated_trial
from adclick_backend.training.generated_part import GeneratedPart
from adclick_backend.training.holdout import split, split_for_generated
from adclick_backend.training.training_set import build_training_set
from model.labels.generated import GeneratedImage
from model.labels.labelled import LabelledImage
from tests.adclick_backend.training.test_job import train
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page
from tests.helpers.labelled import labelled, normal
from tests.helpers.training import TrainingEngine, label_images, trainer

NORMAL = 5


class Trainings:
    """A trainer that is as good as it is told, with generated pictures and without; it counts its trainings.

    Attributes:
        seen: of each training the labelled images and the generated ones.
    """

    def __init__(self, without: float, with_them: float, *, fail_at: int = -1, seconds: float = 0.0) -> None:
        self.seen: list[tuple[Sequence[LabelledImage], Sequence[GeneratedImage]]] = []
        self._qualities, self._fail_at, self._seconds = (without, with_them), fail_at, seconds

    def __call__(
        self, images: Sequence[LabelledImage], references: Any, out: Path, **more: Any
    ) -> dict[str, Any]:
        generated = more["generated"]
        for image in generated:
            assert image.load().shape[:2] == image.label().target.shape
            assert image.label().kind == "box" and 0 <= image.host < len(references[image.product])
        self.seen.append((images, generated))
        more["resume"].with_name("samples").mkdir(exist_ok=True)  # one folder for all of them
        if len(self.seen) - 1 == self._fail_at:
            raise JobCancelled
        quality = self._qualities[bool(generated)]
        told = dict(trainer(quality).segmentation(images, references, out, **more))
        manifest = out.with_suffix(".json")
        manifest.write_text(manifest.read_text().replace('"seed": 0', f'"seconds": {self._seconds}'))
        return told


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    """Six labelled images, five references, four generated pictures."""
    backend = Backend(tmp_path, TrainingEngine())
    label_images(backend, normal=NORMAL)
    backend.work()
    generate(backend)
    yield backend
    backend.close()


def generate(backend: Backend, *, learned_from: Sequence[str] = ("e" * 64,), count: int = 4) -> None:
    shas = sorted({row.sha for row in backend.services.store.references.of_project("1")})
    for number in range(count):
        host = shas[number % len(shas)]
        origin = Origin("scratch", number, number, (8, 8, 24, 24), host, "", 0, "x-1", tuple(learned_from))
        pixels = np.full((48, 64, 3), 80 + number, np.uint8)
        mask = np.zeros((48, 64), bool)
        mask[12:18, 12:18] = True
        files(backend).add("1", origin, pixels, mask, b"")


def files(backend: Backend) -> GeneratedFiles:
    return GeneratedFiles(backend.services.files)


def quality_of(backend: Backend, job: Job) -> float:
    """What the weights of the version that came out of a job say."""
    version = backend.services.registry.get("1", job.version)
    return float(json.loads(version.weights.read_bytes())["quality"])


def test_pictures_that_help_take_part_and_the_figures_are_said(backend: Backend) -> None:
    trainings = Trainings(0.4, 0.9)
    job = train(backend, train=trainings)
    assert job.state == "done", job.message
    (first, none), (second, some) = trainings.seen
    assert [i.name for i in first] == [i.name for i in second] and not none and 0 < len(some) <= 4
    assert (
        f"{len(some)} generated pictures were tried: they help, and took part. On 1 labelled image that"
        in job.message
    )
    assert "the overlap (IoU) of its masks with the labels" in job.message and "without" in job.message
    assert quality_of(backend, job) == 0.9
    version = backend.services.registry.get("1", job.version)
    told = version.comparison["generated"]
    assert told["used"] and told["with"]["iou"] > told["without"]["iou"]
    assert "they help, and took part" in page(backend, f"/projects/1/versions/{job.version}")
    assert "In the training of" in page(backend, "/projects/1/generated")
    # neither a reference, nor held out, nor a label
    data = version.manifest["data"]
    names = {image.name for image in some}
    assert not names & {*data["images"], *data["held_out"], *data["tried_on"]}
    assert list(backend.settings.data_dir.glob("projects/1/training/*")) == []


def test_pictures_that_do_not_help_take_no_part(backend: Backend) -> None:
    job = train(backend, train=Trainings(0.9, 0.4))
    assert "they do not help, and took no part" in job.message
    assert quality_of(backend, job) == 0.9
    assert not backend.services.registry.get("1", job.version).comparison["generated"]["used"]


def test_pictures_that_make_no_difference_take_no_part(backend: Backend) -> None:
    assert "they do not help, and took no part" in train(backend, train=Trainings(0.9, 0.9)).message


def test_nothing_is_tried_twice_but_new_pictures_are_a_reason_to_train(backend: Backend) -> None:
    train(backend, train=Trainings(0.4, 0.9))
    assert "Nothing has changed since v1" in train(backend, train=Trainings(0.4, 0.9)).message
    files(backend).keep("1", key_of_type("scratch"), 0, kept=False)
    assert train(backend, train=Trainings(0.4, 0.9)).version == "v2"
    choose_participation(backend.services.store.values, "1", ALWAYS)
    assert train(backend, train=Trainings(0.4, 0.9)).version == "v3"


def test_what_a_person_chose_is_done(backend: Backend) -> None:
    always, never = Trainings(0.9, 0.4), Trainings(0.9, 0.4)
    choose_participation(backend.services.store.values, "1", ALWAYS)
    job = train(backend, train=always)
    assert [bool(some) for _, some in always.seen] == [True]
    assert "generated pictures took part, as somebody chose." in job.message
    choose_participation(backend.services.store.values, "1", NEVER)
    job = train(backend, train=never)
    assert [bool(some) for _, some in never.seen] == [False]
    assert "generated" not in job.message


def test_three_labels_are_judged_by_one_that_is_left_out_and_then_all_are_learned(tmp_path: Path) -> None:
    backend = Backend(tmp_path, TrainingEngine())
    label_images(backend, 3, normal=NORMAL)
    backend.work()
    generate(backend)
    trainings = Trainings(0.4, 0.9)
    job = train(backend, train=trainings)
    defects = [sum(bool(image.labels) for image in images) for images, _ in trainings.seen]
    assert defects == [2, 2, 3] and [bool(some) for _, some in trainings.seen] == [False, True, True]
    assert "On 1 labelled image that neither way has learned from" in job.message
    assert quality_of(backend, job) == 0.9
    backend.close()


def test_two_labels_are_too_few_to_judge_by(tmp_path: Path) -> None:
    backend = Backend(tmp_path, TrainingEngine())
    label_images(backend, 2, normal=NORMAL)
    backend.work()
    generate(backend)
    trainings = Trainings(0.4, 0.9)
    job = train(backend, train=trainings)
    assert [bool(some) for _, some in trainings.seen] == [False]
    assert "would help was not tried, and they took no part: to judge it takes 3 images" in job.message
    backend.close()


def test_a_training_that_would_take_too_long_is_not_tried(backend: Backend) -> None:
    trainings = Trainings(0.4, 0.9, seconds=generated_trial.BUDGET_S + 60)
    job = train(backend, train=trainings)
    assert len(trainings.seen) == 1 and quality_of(backend, job) == 0.4
    assert "it would take 21 minutes more, and 20 are allowed for it" in job.message


def test_the_training_that_was_done_before_an_interruption_is_not_done_again(backend: Backend) -> None:
    interrupted = Trainings(0.4, 0.9, fail_at=1)
    assert train(backend, train=interrupted).state == "cancelled" and len(interrupted.seen) == 2
    gone_on = Trainings(0.4, 0.9)
    job = train(backend, train=gone_on)
    assert job.state == "done" and [bool(some) for _, some in gone_on.seen] == [True]
    assert quality_of(backend, job) == 0.9


def remove_a_host(backend: Backend) -> None:
    host = files(backend).pictures("1", key_of_type("scratch"))[0].origin.host
    for row in backend.services.store.references.of_project("1"):
        if row.sha == host:
            backend.services.references.remove("1", row.id)


def test_a_picture_whose_reference_was_removed_takes_no_part(backend: Backend) -> None:
    fetch(backend)
    part = part_of(backend)
    assert (len(part.pictures), part.left_out) == (4, 0)
    remove_a_host(backend)
    part = part_of(backend)
    assert (len(part.pictures), part.left_out) == (3, 1)
    job = train(backend, train=Trainings(0.4, 0.9))
    assert "took no part: a reference that they were painted on was removed or held back" in job.message


def test_pictures_on_references_that_are_held_back_are_not_learned_from(backend: Backend) -> None:
    """What is painted on such a reference would show the training what it is judged by."""
    trainings = Trainings(0.4, 0.9)
    job = train(backend, train=trainings)
    tried = set(backend.services.registry.get("1", job.version).manifest["data"]["tried_on"])
    hosts = {p.origin.host for p in files(backend).pictures("1", key_of_type("scratch"))}
    assert tried & hosts
    assert len(trainings.seen[1][1]) == 4 - len(tried & hosts)


def test_what_is_discarded_while_a_training_runs_can_still_be_read(backend: Backend) -> None:
    fetch(backend)
    (first, *_) = part_of(backend).pictures
    before = first.pixels()
    files(backend).keep("1", key_of_type("scratch"), first.origin.number, kept=False)
    assert np.array_equal(first.pixels(), before)


def test_where_the_look_was_learned_from_what_judges_it_is_said(tmp_path: Path) -> None:
    backend = Backend(tmp_path, TrainingEngine())
    label_images(backend, 3, normal=NORMAL)
    backend.work()
    fetch(backend)
    names = [image.name for image in build_training_set("1", backend.services).images if image.labels]
    generate(backend, learned_from=names)
    job = train(backend, train=Trainings(0.4, 0.9))
    assert "Their look was learned from 1 of these images as well" in job.message
    backend.close()


def fetch(backend: Backend) -> None:
    """Have the labelled images here, as every training does first."""
    backend.services.connections.label_studio("1")._transport._sleep = lambda seconds: None  # type: ignore[method-assign]
    backend.sync()


def part_of(backend: Backend) -> GeneratedPart:
    return GeneratedPart.of_project("1", backend.services, build_training_set("1", backend.services))


def test_images_that_the_look_was_learned_from_are_held_out_last() -> None:
    images = [labelled(number) for number in range(3)] + [normal(number) for number in range(3)]
    chosen = split(images)
    (usual,) = split_for_generated(chosen).labelled
    (other,) = split_for_generated(chosen, {usual.name}).labelled
    assert not chosen.held_out and other.name != usual.name
    assert other.name not in {image.name for image in split_for_generated(chosen, {usual.name}).training}


@pytest.mark.parametrize(
    ("images", "judged"),
    [
        ([labelled(0), labelled(1), labelled(2)], True),
        ([labelled(0), labelled(1)], False),
        ([labelled(0), labelled(1), labelled(2, "dent")], False),
        ([labelled(0, kind="box"), labelled(1, kind="box"), labelled(2, kind="box")], False),
        ([labelled(number) for number in range(6)], True),
    ],
)
def test_one_image_is_left_out_where_a_type_has_enough(images: list[LabelledImage], judged: bool) -> None:
    assert split_for_generated(split(images)).held_out is judged
