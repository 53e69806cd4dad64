"""Labels of a project taken along: which, under which annotation, in which form, and why others are not."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from adclick_backend.cli import main
from adclick_backend.commands import export_labels, project_arguments
from adclick_backend.exports.labels import LABELS, LEFT_OUT, LabelExport
from adclick_backend.exports.wish import ExportError, Wish, read_shares
from adclick_backend.labels.proposed import PREFIX
from adclick_backend.services import Services
from adclick_runtime import coco_rle
from model.datasets.layouts.folder import write
from tests.helpers.backend import CONFIG, Backend
from tests.helpers.disks import small_disk
from tests.helpers.fake_engine import FakeEngine
from tests.helpers.fake_label_studio import PERSONAL_TOKEN, FakeLabelStudio
from tests.helpers.labels import SHAPE, annotated, block, brush, choice, rectangle, region
from tests.helpers.local_server import Reply
from tests.helpers.versions import candidate

SCRATCH = Path(tempfile.gettempdir())
HOLED = block(8, 12, 30, 40) & ~block(14, 20, 20, 30)
TRIANGLE = region("polygonlabels", "dent", "p", points=[[10, 10], [60, 20], [30, 80]])


def image(number: int, suffix: str = ".png", **options: Any) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, {".png": "PNG", ".jpg": "JPEG", ".gif": "GIF"}[suffix], **options)
    return file.getvalue()


class Project:
    """Project 1 of a fake Label Studio, and a backend that was connected to it."""

    def __init__(self, backend: Backend, server: FakeLabelStudio) -> None:
        self.backend, self.server = backend, server

    def task(self, number: int, *annotations: Any, data: bytes | None = None, name: str = "") -> None:
        """A task with these annotations, or with these results of one."""
        path = f"/data/upload/1/{number:08d}-{name or f'image {number}.png'}"
        given = [one if isinstance(one, dict) else annotated(number, one) for one in annotations]
        self.server.tasks.append({"id": number, "project": 1, "data": {"image": path}, "annotations": given})
        self.server.files[path] = Reply(body=data or image(number))

    def export(self, format: str = "coco", **wish: Any) -> tuple[LabelExport, dict[str, bytes]]:
        """Synchronise and export; the export and its files."""
        remark = self.backend.sync()
        export = LabelExport("1", self.backend.services, Wish(format, **wish), remark)
        return export, {entry.path: b"".join(entry.pieces) for entry in export.entries(SCRATCH)}


@pytest.fixture
def project(make_backend: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setattr("adclick_backend.label_studio.transport.random.uniform", lambda low, high: 0.0)
    with FakeLabelStudio() as server:
        backend = make_backend(label_studio_url=server.url, label_studio_api_key=PERSONAL_TOKEN)
        server.configs[1] = CONFIG
        backend.services.store.projects.save("1", label_config=CONFIG, hostname=server.url, title="Flanges")
        monkeypatch.setattr(project_arguments, "get_settings", lambda: backend.settings)
        monkeypatch.setattr(export_labels, "Services", lambda settings: Services(settings, FakeEngine()))  # type: ignore[arg-type]
        yield Project(backend, server)


def rows(files: dict[str, bytes], name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files[name].decode())))


def test_masks_with_holes_polygons_boxes_and_good_images(project: Project) -> None:
    project.task(1, [brush(HOLED, "scratch"), {**TRIANGLE}])
    project.task(2, [rectangle(8, 12, 16, 20, "dent")])
    project.task(3, [choice("normal")])
    export, files = project.export()
    found = json.loads(files["annotations.json"])
    assert [one["name"] for one in found["categories"]] == ["scratch", "dent"]
    assert [one["file_name"] for one in found["images"]] == [
        "1-image_1.png",
        "2-image_2.png",
        "3-image_3.png",
    ]
    assert files["images/1-image_1.png"] == image(1)
    masks = [coco_rle.decoded(one["segmentation"], *SHAPE) for one in found["annotations"]]
    assert np.array_equal(masks[0], HOLED)
    corners = (np.array([[10, 10], [60, 20], [30, 80]]) / 100 * (SHAPE[1], SHAPE[0]) - 0.5) * 16
    drawn = np.zeros(SHAPE, np.uint8)
    cv2.fillPoly(drawn, [np.rint(corners).astype(np.int32)], (1,), shift=4)
    assert np.array_equal(masks[1], drawn)
    assert masks[2].sum() == found["annotations"][2]["area"] >= 16 * 20
    assert [(one["origin"], one["shape"]) for one in found["annotations"]] == [
        ("person", "brush"),
        ("person", "polygon"),
        ("person", "rectangle"),
    ]
    assert export.sentence == (
        "3 images, 1 of them free of defects, with 3 regions. 1 of the regions are rectangles or ellipses, and their "
        "masks all of the inside. Nothing was left out."
    )
    assert [(row["image"], row["type"], row["pixels"]) for row in rows(files, LABELS)] == [
        ("1-image_1.png", "scratch", str(HOLED.sum())),
        ("1-image_1.png", "dent", str(drawn.sum())),
        ("2-image_2.png", "dent", str(masks[2].sum())),
        ("3-image_3.png", "", "0"),
    ]


def test_what_is_not_exported_is_listed_with_the_reason(project: Project) -> None:
    project.task(1, [brush(HOLED), brush(HOLED, "rust", "r2"), rectangle(1, 1, 5, 5, name="r3")])
    project.task(2, [choice("defective")])
    project.task(3, [choice("normal"), brush(HOLED)])
    project.task(4, annotated(4, [brush(HOLED)], was_cancelled=True))
    project.task(5, [brush(HOLED)], data=image(1))
    project.task(6, [brush(HOLED)], data=b"<html>")
    project.task(7, [rectangle(8, 12, 16, 20)])
    project.task(8, [brush(block(8, 12, 30, 40, (48, 48)))])
    export, files = project.export(boxes=False)
    listed = [(int(row["task"]), row["reason"]) for row in rows(files, LEFT_OUT)]
    assert [number for number, _ in listed] == [1, 1, 1, 2, 3, 4, 6, 7, 8, 8]
    said = " ".join(reason for _, reason in listed)
    for words in (
        'The label "rust" is no longer in the labeling config',
        "the same file as that of task 5, which was labelled later",
        "Somebody says that the image shows defect, and nobody drew where",
        "It is called normal, and a defect is marked in it",
        "Whoever annotated it skipped it",
        "web page",
        "The rectangle labelled scratch was left out",
        "painted on a picture of 48 x 48 pixels",
        "None of its regions can be drawn",
    ):
        assert words in said
    assert [row["image"] for row in rows(files, LABELS)] == ["5-image_5.png"]
    assert export.sentence.endswith("Left out: 10; left_out.csv in it says what and why.")


def test_machine_made_masks_are_marked(project: Project) -> None:
    before = brush(HOLED, name=f"{PREFIX}2")
    after = {**brush(HOLED | block(1, 1, 4, 4), name=f"{PREFIX}2"), "origin": "prediction-changed"}
    regions = [
        {**brush(HOLED, name=f"{PREFIX}1"), "origin": "prediction"},
        after,
        {**brush(HOLED, name="other"), "origin": "prediction"},
        brush(HOLED, name="painted"),
    ]
    project.task(1, regions)
    project.server.tasks[0]["predictions"] = [{"result": [before]}]
    _, files = project.export()
    assert [row["origin"] for row in rows(files, LABELS)] == [
        "machine",
        "machine, corrected",
        "machine",
        "person",
    ]


def test_only_reviewed_ones_and_only_one_persons(project: Project) -> None:
    project.task(
        1,
        annotated(1, [brush(HOLED)], completed_by=7, ground_truth=True),
        annotated(11, [choice("normal")], 5, completed_by=8),
    )
    project.task(2, annotated(2, [brush(HOLED)], completed_by=8))
    project.backend.services.store.values.set("1", "annotators", json.dumps({"7": "Ada Lovelace"}))
    _, files = project.export(reviewed=True)
    assert [
        (row["image"], row["annotator"], row["reviewed"], row["type"]) for row in rows(files, LABELS)
    ] == [("1-image_1.png", "Ada Lovelace", "yes", "scratch")]
    assert "Label Studio's star" in rows(files, LEFT_OUT)[0]["reason"]
    _, files = project.export(annotator="8")
    assert [(row["image"], row["type"]) for row in rows(files, LABELS)] == [
        ("1-image_1.png", ""),
        ("2-image_2.png", "scratch"),
    ]
    _, files = project.export(annotator="ada lovelace")
    assert rows(files, LEFT_OUT)[0]["reason"] == "ada lovelace did not annotate it."
    with pytest.raises(
        ExportError, match="Nobody called 'Eve' has labelled anything here; known: Ada Lovelace, 8"
    ):
        project.export(annotator="Eve")


def test_a_star_that_is_set_later_is_heard(project: Project) -> None:
    project.task(1, annotated(1, [brush(HOLED)]))
    project.backend.sync()
    starred = annotated(1, [brush(HOLED)], 9, ground_truth=True)
    project.server.tasks[0]["annotations"] = [starred]
    _, files = project.export(reviewed=True)
    assert len(rows(files, LABELS)) == 1


def test_what_was_held_out_is_never_learned_from(project: Project) -> None:
    for number in range(1, 21):
        project.task(number, [brush(HOLED)])
    project.backend.sync()
    shas = [row.sha for row in project.backend.services.store.labels.of_project("1")]
    registry = project.backend.services.registry
    folder = candidate(project.backend.settings.data_dir / "candidate", b"w", data={"held_out": shas[:6]})
    registry.publish("1", folder, "v1")
    registry.activate("1", "v1")
    _, files = project.export("yolo-seg")
    held = {f"{number}-image_{number}.png" for number in range(1, 7)}
    parts = {row["image"]: row["part"] for row in rows(files, LABELS)}
    assert {parts[name] for name in held} == {"val"}
    assert list(parts.values()).count("train") == 14
    _, again = project.export("yolo-seg")
    assert again == files
    with pytest.raises(ExportError, match="6 of the images are kept back"):
        project.export("coco", shares=read_shares("100/0/0"))
    export, files = project.export("coco", shares=read_shares("50/25/25"))
    assert "(10 train, 4 val, 6 test)" in export.sentence


def test_image_files_that_not_every_tool_reads_alike_are_written_anew(project: Project) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = image(1, ".jpg", exif=exif)
    project.task(1, [brush(block(8, 12, 30, 40, SHAPE[::-1]))], data=turned, name="turned.jpg")
    project.task(2, [brush(HOLED)], data=image(2, ".gif"), name="moving.gif")
    project.task(3, [brush(HOLED)], data=image(3, ".jpg"), name="named.png")
    project.backend.sync()
    _, files = project.export(images="link")
    found = {
        one["file_name"]: (one["width"], one["height"])
        for one in json.loads(files["annotations.json"])["images"]
    }
    assert found == {"1-turned.png": SHAPE, "2-moving.png": SHAPE[::-1], "3-named.jpg": SHAPE[::-1]}
    pixels = cv2.imdecode(np.frombuffer(files["images/1-turned.png"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(pixels, cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR))
    export = LabelExport("1", project.backend.services, Wish("coco", images="link"))
    write(export.entries(SCRATCH), project.backend.images / "out")
    links = sorted(p.name for p in (project.backend.images / "out/images").iterdir() if p.is_symlink())
    assert links == ["3-named.jpg"]
    _, files = project.export(images="none")
    assert [name for name in files if name.startswith("images/")] == []


def test_references_that_were_handed_in_are_good_images_of_mvtec(project: Project) -> None:
    project.task(1, [brush(HOLED)])
    project.task(2, [choice("normal")])
    project.task(3, [choice("normal")])
    project.backend.sync()
    services = project.backend.services
    for data, name in ((image(50), "good one.png"), (image(2), "again.png")):
        services.references.add("1", data, source="upload", name=name)
    project.backend.work()
    (third,) = [row for row in services.store.references.of_project("1") if row.task_id == 3]
    services.references.remove("1", third.id)
    _, files = project.export("mvtec")
    good = [name for name in files if "/good/" in name]
    (handed_in,) = [name for name in good if "reference-" in name]
    assert handed_in.startswith("Flanges/train/good/reference-")
    assert handed_in.endswith("-good_one.png")
    assert files[handed_in] == image(50)
    assert sorted(set(good) - {handed_in}) == ["Flanges/train/good/2-image_2.png"]
    assert [row["task"] for row in rows(files, LABELS)] == ["1", "2", "reference"]
    assert "removed on the page References" in rows(files, LEFT_OUT)[0]["reason"]
    assert not [name for name in project.export("coco")[1] if "reference-" in name]


def test_a_region_for_each_connected_part(project: Project) -> None:
    project.task(1, [brush(block(2, 2, 8, 8) | block(20, 20, 30, 30))])
    assert len(rows(project.export()[1], LABELS)) == 1
    assert len(rows(project.export(parts=True)[1], LABELS)) == 2


def test_a_label_that_changes_meanwhile_is_left_out(project: Project) -> None:
    project.task(1, [brush(HOLED)])
    project.task(2, [brush(HOLED)])
    project.backend.sync()
    export = LabelExport("1", project.backend.services, Wish("coco"))
    project.server.tasks[1]["annotations"] = [annotated(2, [choice("normal")], 30)]
    project.backend.sync()
    files = {entry.path: b"".join(entry.pieces) for entry in export.entries(SCRATCH)}
    assert [row["task"] for row in rows(files, LABELS)] == ["1"]
    assert "changed or deleted while the export was written" in rows(files, LEFT_OUT)[0]["reason"]


# --- the command


def export(*words: str) -> int:
    return main(["export", "labels", "--project", "1", *words])


def test_the_command_fetches_what_is_new_and_says_what_it_wrote(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.task(1, [brush(HOLED)])
    project.task(2, [choice("normal")])
    for out in ("a", "labels.zip", "again.zip"):
        assert export("--format", "mvtec", str(tmp_path / out)) == 0
    assert f"{tmp_path / 'a'}: 2 images, 1 of them free of defects, with 1 regions" in capsys.readouterr().out
    assert (tmp_path / "labels.zip").read_bytes() == (tmp_path / "again.zip").read_bytes()
    names = sorted(str(p.relative_to(tmp_path / "a")) for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert names == [
        "Flanges/ground_truth/scratch/1-image_1_mask.png",
        "Flanges/test/scratch/1-image_1.png",
        "Flanges/train/good/2-image_2.png",
        "export.json",
        "labels.csv",
        "left_out.csv",
    ]
    about = json.loads((tmp_path / "a/export.json").read_text())
    assert (about["project"], about["title"], about["format"], about["seed"]) == ("1", "Flanges", "mvtec", 0)
    assert (about["split"], about["types"]) == ({"train": 0.8, "test": 0.2}, ["scratch", "dent"])
    assert export("--format", "coco", str(tmp_path / "a")) == 1
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "voc", "OUT"], "There is no format 'voc'; there are coco, yolo-seg, mvtec, png."),
        (["--format", "mvtec", "--split", "80/10/10", "OUT"], "has no part val, only train and test"),
        (["--format", "coco", "--split", "80/20", "OUT"], "A split is three shares"),
        (["--format", "coco", "--split", "0/0/0", "OUT"], "A split is three shares"),
        (["--format", "coco", "--images", "link", "OUT.zip"], "A zip file holds no links"),
        (
            ["--format", "coco", "--project", "9", "OUT"],
            "Project 9 was not connected to this backend; known projects: 1.",
        ),
        (["--format", "coco", "OUT"], "Project 1 has no label that can be exported."),
    ],
)
def test_bad_wishes_are_a_sentence_each(
    words: list[str], said: str, project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(*(word.replace("OUT", str(tmp_path / "out")) for word in words)) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("*out*"))


def test_without_label_studio_what_is_known_is_exported_and_that_is_said(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.task(1, [brush(HOLED)])
    project.backend.sync()
    project.server.failures = [Reply.json({}, 401)] * 50
    assert export("--format", "coco", str(tmp_path / "out")) == 0
    assert "The newest labels could not be read" in capsys.readouterr().err
    assert "The newest labels could not be read" in (tmp_path / "out/left_out.csv").read_text()
    assert export("--format", "coco", "--no-sync", str(tmp_path / "quiet")) == 0
    assert capsys.readouterr().err.strip() == ""


def test_a_full_disk_leaves_nothing_and_is_said(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(1, 6):
        project.task(number, [brush(HOLED)])
    project.backend.sync()
    with small_disk(tmp_path / "small", 1) as disk:
        ballast = disk.folder / "own"
        ballast.write_bytes(bytes((1 << 20) - (1 << 15)))
        for name in ("out", "out.zip"):
            assert export("--format", "coco", "--no-sync", str(disk.folder / name)) == 1
            assert "its disk is full: make room there). Nothing is left of it." in capsys.readouterr().err
            assert list(disk.folder.iterdir()) == [ballast]


def test_several_images_of_a_task(make_backend: Callable[..., Backend]) -> None:
    config = """<View><Image name="front" value="$front"/><Image name="back" value="$back"/>
      <BrushLabels name="a" toName="front"><Label value="scratch"/></BrushLabels>
      <BrushLabels name="b" toName="back"><Label value="scratch"/></BrushLabels></View>"""
    backend = make_backend()
    backend.setup(config=config)
    data = {"front": backend.draw("f.png"), "back": backend.draw("b.png", grey=120)}
    result = [{**brush(HOLED), "from_name": "b", "to_name": "back"}]
    backend.webhook(
        "ANNOTATION_CREATED", config=config, annotation=annotated(1, result), task={"id": 1, "data": data}
    )
    backend.services.connections.label_studio("1")._transport._sleep = lambda seconds: None
    backend.sync()
    export = LabelExport("1", backend.services, Wish("mvtec"))
    names = [entry.path for entry in export.entries(SCRATCH)]
    assert names[1:3] == ["back/test/scratch/1-back-b.png", "back/ground_truth/scratch/1-back-b_mask.png"]
