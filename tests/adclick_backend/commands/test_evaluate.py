"""``adclick evaluate`` and its report."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from draw_samples import draw, save_image
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from adclick_backend.benchmark.local_engine import LocalEngine
from adclick_backend.cli import main
from adclick_backend.commands import evaluate as evaluate_command
from adclick_backend.commands import project_arguments
from adclick_backend.dashboard.figures import words_of
from adclick_backend.dashboard.image_names import ImageName
from adclick_backend.dashboard.words import percent
from adclick_backend.engine.bank import ReferenceBank
from adclick_backend.report.effort import efforts
from adclick_backend.report.evaluation import evaluate, mean_figures
from adclick_backend.report.page import Effort, Report, Section, render
from adclick_backend.report.sources import _apart
from adclick_backend.services import Services
from adclick_backend.training.promotion import measure
from model.labels.labelled import Kind, LabelledImage, WeakLabel
from tests.helpers.backend import Backend
from tests.helpers.training import TrainingEngine, label_images
from tests.helpers.versions import candidate

SHAPE = (40, 60)


def an_image(number: int, *types: str, kind: Kind = "mask") -> LabelledImage:
    """An image of one grey value with an 8 x 8 defect of each type, each in its own place."""
    labels = {}
    for place, name in enumerate(types):
        target = np.zeros(SHAPE, np.float32)
        target[8:16, 8 + 20 * place : 16 + 20 * place] = 1
        labels[name] = WeakLabel(kind, target, target > 0)
    return LabelledImage(f"{number:064x}", lambda: np.full((*SHAPE, 3), 90 + number, np.uint8), labels)


def look(image: LabelledImage) -> Mapping[str, NDArray[np.float32]]:
    """Sees dents exactly, of scratches the upper half, and noise everywhere."""
    rng = np.random.default_rng(int(image.name, 16))
    found = {name: rng.uniform(0, 0.4, SHAPE).astype(np.float32) for name in ("dent", "scratch")}
    for name, label in image.labels.items():
        seen = label.target > 0
        seen[12:] &= name == "dent"
        found[name][seen] += 0.55
    return found


IMAGES = [
    an_image(1, "dent"),
    an_image(2, "scratch"),
    an_image(3, "scratch", "dent"),
    an_image(4),
    an_image(5),
]


def test_figures_are_those_of_scikit_learn_over_all_images() -> None:
    found = evaluate(IMAGES, look)
    maps = [np.maximum(*look(image).values()) for image in IMAGES]
    truth = [
        np.any([np.zeros(SHAPE, bool), *(label.target > 0 for label in image.labels.values())], axis=0)
        for image in IMAGES
    ]
    scores, pixels = np.concatenate([m.ravel() for m in maps]), np.concatenate([t.ravel() for t in truth])
    assert found.images == (3, 2)
    assert found.figures["pooled AP"] == pytest.approx(average_precision_score(pixels, scores))
    assert found.figures["pixel AUROC"] == pytest.approx(roc_auc_score(pixels, scores))
    assert found.figures["image AUROC"] == 1.0
    assert found.figures["IoU"] == pytest.approx((1 + 0.5 + 0.75) / 3)
    assert found.figures["Marked in normal images"] == 0.0
    assert {name: count for name, (count, _) in found.types.items()} == {"dent": 2, "scratch": 2}
    assert found.types["dent"][1]["IoU"] > found.types["scratch"][1]["IoU"]
    assert [seen.image.name[-1] for seen in found.worst[:3]] == ["2", "3", "1"]
    curve = next(c for c in found.roc if c.name == "pixels")
    assert len(curve.points) <= 200
    assert (curve.points[0], curve.points[-1]) == ((0.0, 0.0), (1.0, 1.0))
    x, y = np.array(curve.points).T
    assert float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)) == pytest.approx(curve.area, abs=0.005)


def test_the_report_has_the_figures_of_the_page_versions() -> None:
    """One figure for one thing: what a training measures of the same images, with the same name and rounding."""
    found = evaluate(IMAGES, look).figures
    measured = measure(look, IMAGES)
    assert {words_of(name): value for name, value in measured.items()} == {
        name: found[name] for name in ("IoU", "Pixel AP", "Marked in normal images")
    }
    text = render(Report("Report", {}, [Section("nut", "", evaluate(IMAGES, look))]))
    assert f"<td>{percent(measured['iou'])}</td><td>{percent(measured['ap'])}</td>" in re.sub(
        r">\s+<", "><", text
    )


def test_the_report_calls_images_what_people_call_them() -> None:
    def named(sha: str) -> ImageName:
        return ImageName(
            f"nut_{sha[-1]}.png, task {sha[-1]}", f"http://label-studio/projects/1/data?task={sha[-1]}"
        )

    text = render(Report("Report", {}, [Section("nut", "", evaluate(IMAGES, look), named)]))
    assert (
        '<a href="http://label-studio/projects/1/data?task=2">nut_2.png, task 2</a>: scratch, IoU 50.0 %'
        in text
    )
    assert f"{2:064x}"[:12] not in text


def test_where_a_defect_is_in_a_box_is_not_known_so_only_its_image_counts() -> None:
    found = evaluate([an_image(1, "dent", kind="box"), an_image(4)], look)
    assert set(found.figures) == {"image AUROC", "Marked in normal images"}
    assert found.precision == []
    assert all(math.isnan(seen.overlap) for seen in found.worst)


def test_a_figure_that_some_products_lack_is_averaged_over_the_others() -> None:
    assert mean_figures([{"a": 0.5, "b": 1.0}, {"a": 1.0}]) == {"a": 0.75, "b": 1.0}


class Page(HTMLParser):
    """Tags that stay open, and everything that a page would fetch."""

    VOID = frozenset({"meta", "img", "line", "polyline", "circle", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_report_needs_nothing_beside_itself_and_escapes_what_it_shows() -> None:
    section = Section("<b>nut</b>", "A remark.", evaluate(IMAGES, look))
    effort = [Effort("v1", 40, {"mIoU": 0.5}), Effort("v2", 90, {"mIoU": 0.7})]
    text = render(Report("Report", {"version": "v2"}, [section, section], effort, ["Left out: <i>x</i>"]))
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert len(page.fetched) == 2 * 5
    assert all(source.startswith("data:image/png;base64,") for source in page.fetched)
    assert "url(" not in text
    assert "&lt;b&gt;nut&lt;/b&gt;" in text
    assert "<b>nut" not in text
    assert "<i>x" not in text
    assert page.tags.count("svg") == 1 + 2 * 2
    assert "v2 (90 clicks)" in text
    assert re.search(r'<th scope="row">scratch</th><td>2</td>', text)
    assert "mean over products" in text


# --- the command


@pytest.fixture
def backend(
    tmp_path: Path, make_backend: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    """Project 1 with six labelled images and two normal ones, evaluated by an engine without a network."""
    made = make_backend(engine=TrainingEngine())
    label_images(made)
    made.work()
    made.services.connections.label_studio("1")._transport._sleep = lambda seconds: None
    made.sync()
    monkeypatch.setattr(evaluate_command, "Services", lambda settings: Services(settings, TrainingEngine()))  # type: ignore[arg-type]
    monkeypatch.setattr(project_arguments, "get_settings", lambda: made.settings)
    yield made


def a_version(backend: Backend, quality: float, **manifest: object) -> None:
    registry = backend.services.registry
    name = registry.new_name("1")
    content = json.dumps({"quality": quality}).encode()
    folder = candidate(backend.settings.data_dir / f"candidate-{name}", content, **manifest)
    registry.publish("1", folder, name)
    registry.activate("1", name)


def test_a_project_is_evaluated_on_what_its_version_was_not_trained_on(
    backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled = sorted(row.sha for row in backend.services.store.labels.of_project("1"))
    a_version(backend, 1.0)
    a_version(backend, 0.5, data={"images": labelled[:3]})
    reports = backend.settings.data_dir / "projects/1/reports"
    assert main(["evaluate", "--project", "1"]) == 0
    assert str(reports / "v2.html") in capsys.readouterr().out
    text = (reports / "v2.html").read_text()
    assert "None of these images was trained on." in text
    assert re.search(r'<th scope="row">Project 1</th><td>5</td>', text)
    assert main(["evaluate", "--project", "1", "--version", "v1"]) == 0
    assert re.search(r'<th scope="row">Project 1</th><td>8</td>', (reports / "v1.html").read_text())
    listed = backend.client.get("/projects/1/reports").text
    assert "v1" in listed
    assert "v2" in listed


def test_without_a_version_and_references_there_is_nothing_to_evaluate(
    backend: Backend, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingEngine, "source", lambda *_: "none")
    assert main(["evaluate", "--project", "1"]) == 1
    assert "without a trained version it takes" in capsys.readouterr().err
    assert main(["evaluate", "--project", "1", "--version", "v9"]) == 1
    assert "no version 'v9'" in capsys.readouterr().err
    assert main(["evaluate"]) == main(["evaluate", "x", "--project", "1"]) == 2


def test_clicks_in_accepted_masks_are_the_effort_of_a_version(backend: Backend) -> None:
    from adclick_backend.store.answers import Answer

    for task, (answered, accepted) in enumerate([(1.0, True), (2.0, False), (4e9, True)], 100):
        clicks = ((1.0, 1.0, True),) * 3
        backend.services.store.answers.put(
            Answer(
                "1",
                task,
                "r",
                "scratch",
                clicks,
                "a" * 64,
                "m",
                (),
                (1, 1),
                b"",
                (1, 1),
                b"",
                answered,
                accepted,
            )
        )
    a_version(backend, 1.0, metrics={"iou": 0.6, "ap": None})
    a_version(backend, 1.0)
    versions = backend.services.registry.list("1")
    assert efforts("1", backend.services.store, versions) == [Effort("v1", 3, {"IoU": 0.6})]


def test_good_images_are_references_or_looked_at_never_both() -> None:
    train, test = (
        [Path(split, "good", f"{i}.png") for i in range(n)] for split, n in (("train", 3), ("test", 2))
    )
    assert _apart([*train, *test]) == (train, test)
    assert _apart([*train[:1], *test]) == ([train[0], test[1]], [test[0]])


@pytest.mark.usefixtures("without_transformer")
def test_an_image_that_is_one_of_too_few_references_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, seeds in (("train", (1, 2, 5)), ("test", (5,))):
        for seed in seeds:
            image = draw("flange", seed=seed, size=64).image
            save_image(tmp_path / f"set/flange/{split}/good/{seed}.png", image)
    assert main(["evaluate", str(tmp_path), "--out", str(tmp_path / "report.html")]) == 1
    said = capsys.readouterr().err
    assert "it takes 3 references, and an image, which is one itself, can be compared with 2." in said


def test_a_folder_is_evaluated_with_its_training_images_as_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "set/flange"
    for split, seeds in (("train", (1, 2, 5)), ("test", (3, 4))):
        for seed in seeds:
            save_image(root / f"{split}/good/{seed}.png", draw("flange", seed=seed, size=64).image)
    sample = draw("flange", "stain", seed=8, size=64)
    save_image(root / "test/stain/0.png", sample.image)
    save_image(root / "ground_truth/stain/0_mask.png", sample.mask.astype(np.uint8) * 255)
    banks: list[ReferenceBank] = []

    class Perfect(LocalEngine):
        """References without features, and maps without a network."""

        def bank(self, project: str, files: object) -> ReferenceBank:
            assert [file.parent.parent.name for file in files] == ["train"] * 3  # type: ignore[attr-defined]
            banks.append(ReferenceBank(project, "", ("a", "b", "c", "d")))
            return banks[-1]

    def maps(
        _: object, key: object, bank: ReferenceBank, load: Callable[[], NDArray[np.uint8]], __: object
    ) -> object:
        same = (load() == sample.image).all()
        return {"defect": cv2.blur((sample.mask * float(same)).astype(np.float32), (3, 3))}

    monkeypatch.setattr(evaluate_command, "LocalEngine", Perfect)
    monkeypatch.setattr("adclick_backend.engine.engine.Engine.maps", maps)
    out = tmp_path / "report.html"
    assert main(["evaluate", str(tmp_path), "--out", str(out)]) == 0
    text = out.read_text()
    assert "4 references; the normal images are other ones." in text
    assert re.search(r'<th scope="row">set/flange</th><td>3</td>\s*<td>', text)
    assert '<th scope="row">stain</th>' in text
    assert main(["evaluate", str(tmp_path / "none"), "--out", str(out)]) == 2
