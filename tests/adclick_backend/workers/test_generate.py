"""Pictures painted from a few labelled masks, and everything that keeps them from it."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from adclick_backend.jobs.control import JobCancelled, JobFailed
from adclick_backend.store.generated import GeneratedFiles, GeneratedPicture, key_of_type
from adclick_backend.workers.generate import run
from model.checkpoint.manifest import PACKAGED_STATED, CheckpointError
from model.generation.anogen.generator import GeneratorError
from model.generation.anogen.ldm import LdmGenerator
from tests.helpers.backend import Backend, square
from tests.helpers.labels import annotated, brush, choice, rectangle
from tests.helpers.painter import BoxPainter
from tests.helpers.pipeline import write_pipeline

GOOD = 5


class Control:
    """Collects what the job says, and cancels it when it has said something."""

    def __init__(self, cancel_at: str | None = None) -> None:
        self.said: list[tuple[str, float]] = []
        self._cancel_at = cancel_at

    def report(self, message: str, progress: float) -> None:
        self.said.append((message, progress))
        if self._cancel_at is not None and self._cancel_at in message:
            raise JobCancelled


@pytest.fixture
def project(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Five references, no defect labelled."""
    monkeypatch.setattr(
        backend.services.connections.label_studio("1")._transport, "_sleep", lambda seconds: None
    )
    backend.setup()
    for number in range(1, GOOD + 1):
        annotate(backend, number, [], [choice("normal")])
    backend.work()
    return backend


def annotate(
    backend: Backend, number: int, blobs: list[tuple[int, int, int]], result: list[dict[str, Any]]
) -> None:
    url = backend.draw(f"{number}.png", blobs, grey=90 + number)
    data = {"id": number, "data": {"image": url}}
    backend.webhook("ANNOTATION_CREATED", annotation=annotated(number, result), task=data)


def label(backend: Backend, *numbers: int, type: str = "scratch") -> None:
    for number in numbers:
        x = 12 + number % 5 * 9
        annotate(backend, number, [(x, 20, 180)], [brush(square(x, 20), type)])


def generate(
    backend: Backend,
    count: int = 4,
    *,
    type: str = "scratch",
    painter: BoxPainter | None = None,
    control: Control | None = None,
    load: Callable[[str, str], Any] | None = None,
) -> str:
    files(backend).want("1", type, count)
    made = painter or BoxPainter()
    return run("1", backend.services, control or Control(), load=load or (lambda name, device: made))


def files(backend: Backend) -> GeneratedFiles:
    return GeneratedFiles(backend.services.files)


def pictures(backend: Backend, type: str = "scratch") -> list[GeneratedPicture]:
    return files(backend).pictures("1", key_of_type(type))


def test_three_labels_become_pictures_that_say_that_they_are_generated(project: Backend) -> None:
    label(project, 11, 12, 13)
    control, painter = Control(), BoxPainter()
    said = generate(project, painter=painter, control=control)
    assert said == (
        "scratch: 4 pictures were generated, learned from 2 labelled images, 1 more is kept to judge trainings by."
    )
    assert [share for _, share in control.said] == sorted(share for _, share in control.said)
    found = pictures(project)
    assert [one.origin.number for one in found] == [0, 1, 2, 3] and painter.learned == [2]
    shas = {one.sha for one in project.services.store.references.of_project("1")}
    labelled = {sha for _, _, sha in project.services.store.labels.hashes("1")} - shas
    for one in found:
        assert one.kept and one.path.name.startswith("generated-") and one.sheet.is_file()
        with Image.open(one.path) as image:
            assert "is generated" in image.text["Description"]
            assert json.loads(image.text["adclick"])["seed"] == one.origin.seed
        assert one.origin.host in shas and set(one.origin.learned_from) < labelled
        (host,) = [
            project.services.references.path(row)
            for row in project.services.store.references.of_project("1")
            if row.sha == one.origin.host
        ]
        good = cv2.imread(str(host))[..., ::-1]
        left, top, right, bottom = one.origin.box
        outside = np.ones(good.shape[:2], bool)
        outside[top:bottom, left:right] = False
        assert np.array_equal(one.pixels()[outside], good[outside])
        assert one.mask().any() and not (one.mask() & outside).any()
        assert not np.array_equal(one.pixels()[one.mask()], good[one.mask()])
    # nobody takes them for anything else
    assert project.services.labels.details("1").types == {"scratch": {"mask": 3}}
    assert len(project.services.store.references.of_project("1")) == GOOD
    assert files(project).wanted("1") == {}


def test_one_label_works_and_says_that_three_are_better(project: Backend) -> None:
    label(project, 11)
    assert generate(project, 1) == (
        "scratch: 1 picture was generated, learned from 1 labelled image; 3 are better."
    )


def test_a_job_that_was_killed_or_cancelled_is_gone_on_with(project: Backend) -> None:
    label(project, 11, 12, 13)
    whole = BoxPainter()
    generate(project, 4, painter=whole)
    expected = [one.origin for one in pictures(project)]
    files(project).delete("1", key_of_type("scratch"))

    with pytest.raises(JobCancelled):
        generate(project, 4, control=Control(cancel_at="2 of 4"))
    there = pictures(project)
    assert len(there) == 2 and files(project).wanted("1") == {}
    painter = BoxPainter()
    generate(project, 4, painter=painter)
    assert [one.origin for one in pictures(project)] == expected
    assert painter.learned == []  # what was learned is kept
    assert painter.painted == 2
    assert generate(project, 4) == "Nothing was left to generate." or "are there already" in generate(
        project, 4
    )


def test_what_is_asked_for_meanwhile_is_not_forgotten(project: Backend) -> None:
    label(project, 11, 12, 13)

    class Impatient(Control):
        def report(self, message: str, progress: float) -> None:
            files(project).want("1", "scratch", 6)

    generate(project, 4, control=Impatient())
    assert len(pictures(project)) == 4 and files(project).wanted("1") == {"scratch": 6}


def test_a_discarded_picture_is_replaced_and_another_generator_learns_anew(project: Backend) -> None:
    label(project, 11, 12, 13)
    generate(project, 3)
    assert files(project).keep("1", key_of_type("scratch"), 1, kept=False)
    other = BoxPainter("box-painter-2")
    generate(project, 3, painter=other)
    assert [(one.origin.number, one.kept) for one in pictures(project)] == [
        (0, True),
        (1, False),
        (2, True),
        (3, True),
    ]
    assert other.learned == [2] and pictures(project)[3].origin.generator == "box-painter-2"
    label(project, 14)
    generate(project, 4, painter=other)
    assert other.learned == [2, 3]


def test_a_picture_without_its_mask_does_not_count(project: Backend) -> None:
    label(project, 11, 12, 13)
    generate(project, 2)
    first = pictures(project)[0]
    first.path.with_name(f"{first.name}-mask.png").unlink()
    second = pictures(project)[0].path
    second.write_bytes(second.read_bytes()[:60])
    assert pictures(project) == []


def test_types_are_worked_on_one_after_the_other_and_one_that_fails_does_not_stop_the_next(
    project: Backend,
) -> None:
    annotate(project, 11, [(20, 20, 250)], [rectangle(16, 16, 8, 8, "dent")])
    label(project, 12, 13, 14)
    files(project).want("1", "dent", 2)
    said = generate(project, 2)
    assert "scratch: 2 pictures were generated" in said
    assert "dent: It is labelled by boxes or choices alone" in said
    assert files(project).wanted("1") == {}


def whole_image(project: Backend) -> None:
    annotate(project, 11, [], [brush(np.ones((48, 64), bool))])


def boxes_alone(project: Backend) -> None:
    annotate(project, 11, [(20, 20, 250)], [rectangle(16, 16, 8, 8)])


def no_references(project: Backend) -> None:
    label(project, 11)
    for row in project.services.store.references.of_project("1"):
        project.services.references.remove("1", row.id)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (whole_image, "Its mask fills the whole image"),
        (boxes_alone, "labelled by boxes or choices alone"),
        (no_references, "There is no reference to paint on: mark at least one image"),
        (lambda project: None, "No image has a label of this type any more."),
    ],
)
def test_what_cannot_be_generated_is_said(
    project: Backend, prepare: Callable[[Backend], None], said: str
) -> None:
    prepare(project)
    with pytest.raises(JobFailed, match=said):
        generate(project)
    assert pictures(project) == [] and files(project).wanted("1") == {}


def test_nothing_that_can_be_seen_comes_out(project: Backend) -> None:
    label(project, 11)
    painter = BoxPainter()
    painter.paints = False
    with pytest.raises(JobFailed, match="nothing came out for 'scratch'"):
        generate(project, painter=painter)


def test_a_generator_out_of_reach_is_said_and_the_one_that_ships_goes_on(project: Backend) -> None:
    label(project, 11, 12, 13)
    object.__setattr__(project.settings, "generator", "someone/inpainting")

    def load(name: str, device: str) -> BoxPainter:
        if name == "small":
            return BoxPainter()
        raise GeneratorError("The hub cannot be reached.")

    said = generate(project, load=load)
    assert "4 pictures were generated" in said
    assert (
        "The generator that ships painted, because ADCLICK_GENERATOR=someone/inpainting cannot be used: The hub cannot "
        "be reached." in said
    )


@pytest.mark.skipif(
    find_spec("diffusers") is None or find_spec("transformers") is None,
    reason="the extra generation is not installed: pip install 'adclick-backend[generation]'",
)
def test_a_latent_diffusion_model_paints_when_the_settings_name_its_folder(
    project: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LdmGenerator.__init__.__kwdefaults__, "learning_steps", 2)  # type: ignore[arg-type]
    monkeypatch.setitem(LdmGenerator.__init__.__kwdefaults__, "steps", 3)  # type: ignore[arg-type]
    label(project, 11, 12, 13)
    object.__setattr__(project.settings, "generator", str(write_pipeline(tmp_path / "published")))
    files(project).want("1", "scratch", 2)
    assert "2 pictures were generated" in run("1", project.services, Control())
    assert all(one.origin.generator.startswith("ldm-published-") for one in pictures(project))


def test_what_saw_data_without_a_stated_licence_does_not_paint_where_that_was_asked_for(
    project: Backend,
) -> None:
    label(project, 11, 12, 13)
    object.__setattr__(project.settings, "checkpoint", PACKAGED_STATED)
    with pytest.raises(JobFailed, match="without a stated licence as well"):
        generate(project, load=lambda name, device: BoxPainter())
    object.__setattr__(project.settings, "generator", "own.safetensors")
    assert "pictures were generated" in generate(project, load=lambda name, device: BoxPainter())


def test_without_any_generator_the_job_fails_in_words(project: Backend) -> None:
    label(project, 11)

    def load(name: str, device: str) -> BoxPainter:
        raise CheckpointError("The weights adclick-anogen.safetensors are damaged.")

    with pytest.raises(JobFailed, match="are damaged"):
        generate(project, load=load)


def test_a_full_disk_stops_and_leaves_whole_pictures(
    project: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(project, 11, 12, 13)
    generate(project, 2)
    usage = shutil.disk_usage(project.settings.data_dir)._replace(free=1 << 20)
    painter = BoxPainter()
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(OSError, match="left to labels") as error:
            generate(project, 4, painter=painter)
    assert error.value.errno == errno.ENOSPC
    assert len(pictures(project)) == 2 and not list(folder(project).glob(".*"))
    generate(project, 4)
    assert len(pictures(project)) == 4


def test_removing_a_project_takes_its_pictures_along(project: Backend) -> None:
    from adclick_backend.store.removal import take_away

    label(project, 11, 12, 13)
    generate(project, 2)
    take_away(project.services.store.database, project.settings.data_dir, "1")
    assert not list(project.settings.data_dir.rglob("generated-*"))


def folder(project: Backend) -> Path:
    return project.settings.data_dir / "projects/1/generated" / key_of_type("scratch")
