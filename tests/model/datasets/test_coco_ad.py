"""COCO-AD against independent code: a made-up COCO, whose masks are told pixel by pixel, and real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_backend.cli import main
from model.datasets import coco_ad
from model.datasets.coco_ad import ANOMALY, build_split, held_out_classes, parts_of
from model.datasets.coco_instances import read_instances
from model.datasets.coco_masks import union
from model.datasets.mvtec import find_categories, good_split, read_mask, read_rgb
from tests.helpers.coco_rle import lengths_of, packed

HEIGHT, WIDTH = 30, 40
SHARED = Path(__file__).parents[4] / "shared" / "data" / "coco_subset"
needs_subset = pytest.mark.skipif(
    not SHARED.is_dir(), reason="needs ../shared/data/coco_subset, images of COCO"
)


def rectangle(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


def crowd(mask: NDArray[np.bool_], compressed: bool) -> dict[str, Any]:
    lengths = lengths_of(mask)
    return {"size": [HEIGHT, WIDTH], "counts": packed(lengths) if compressed else lengths}


CIRCLE = (np.add.outer((np.arange(HEIGHT) - 14) ** 2, (np.arange(WIDTH) - 21) ** 2)) < 81

FILES: dict[str, list[list[tuple[int, Any]]]] = {
    # Of each image its instances: place of the class among the 80, and the segmentation.
    "train2017": [
        [(25, [[1, 1, 5, 1, 5, 5, 1, 5]])],
        [(0, [[1, 1, 5, 1, 5, 5, 1, 5]]), (25, [[1, 1, 5, 1, 5, 5, 1, 5]])],
        [],
        [(79, crowd(CIRCLE, False))],
        [(19, crowd(CIRCLE, True))],
        [(20, [[1, 1, 5, 1, 5, 5, 1, 5]])],
    ],
    "val2017": [
        [(30, [[1, 1, 5, 1, 5, 5, 1, 5]])],
        [],
        [(0, [[2.9, 3.9, 9.9, 3.2, 9.1, 8.9, 2.2, 8.1], [20, 20, 25, 20, 25, 25, 20, 25]])],
        [(3, crowd(CIRCLE, False)), (19, crowd(rectangle(30, 2, 39, 6), True)), (50, crowd(~CIRCLE, False))],
    ],
}
MASKS = {
    "val2017-2": rectangle(2, 3, 9, 8)
    | rectangle(20, 20, 25, 25),  # corners cut to whole pixels, the border drawn
    "val2017-3": CIRCLE | rectangle(30, 2, 39, 6),
}


def ids() -> list[int]:
    """The ids of the 80 classes: with gaps, as COCO's, and not in their order, so that only the file's order tells."""
    return [3 * (n ^ 1) + 1 for n in range(80)]


def written(name: str) -> dict[str, Any]:
    """An annotation file; the classes come last, as in COCO's."""
    images = [
        {"id": 100 + n, "file_name": f"{name}-{n}.jpg", "height": HEIGHT, "width": WIDTH}
        for n in range(len(FILES[name]))
    ]
    annotations = [
        {
            "id": 10 * n + m,
            "image_id": 100 + n,
            "category_id": ids()[place],
            "segmentation": shape,
            "iscrowd": 0,
        }
        for n, instances in enumerate(FILES[name])
        for m, (place, shape) in enumerate(instances)
    ]
    categories = [{"id": number, "name": f"class {place}"} for place, number in enumerate(ids())]
    info = {"description": 'brackets ]} and "quotes"', "n": [1, [2]]}
    return {
        "info": info,
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    folder = tmp_path / "coco"
    (folder / "annotations").mkdir(parents=True)
    for name, images in FILES.items():
        (folder / name).mkdir()
        (folder / "annotations" / f"instances_{name}.json").write_text(json.dumps(written(name), indent=1))
        for n in range(len(images)):
            pixels = np.full((HEIGHT, WIDTH, 3), 10 * n, np.uint8)
            cv2.imwrite(str(folder / name / f"{name}-{n}.jpg"), pixels)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*")) if folder.exists() else []


@pytest.mark.parametrize("copy", [False, True])
def test_a_split_is_laid_out_by_the_rule(coco: Path, tmp_path: Path, copy: bool) -> None:
    counts = build_split(coco, tmp_path / "out" / "split0", 0, copy)
    out = tmp_path / "out" / "split0"
    assert (counts.train, counts.good, counts.anomalous) == (3, 1, 2)
    assert names(out / "train/good") == ["train2017-0", "train2017-3", "train2017-5"]
    assert names(out / "test/good") == ["val2017-0"]
    assert names(out / f"test/{ANOMALY}") == list(MASKS)
    for name, mask in MASKS.items():
        assert np.array_equal(read_mask(out / f"ground_truth/{ANOMALY}/{name}_mask.png"), mask)
    (category,) = find_categories([tmp_path / "out"])
    assert category.name == "out/split0"
    assert [len(part) for part in good_split(category)] == [3, 1]
    assert [read_rgb(image).shape[:2] for image, _ in category.defects()] == [(HEIGHT, WIDTH)] * 2
    linked = [path.is_symlink() for path in (out / "train/good").iterdir()]
    assert linked == [not copy] * 3
    assert any("30438" in note for note in counts.notes), "what the whole set would have"


def test_the_classes_of_the_other_splits(coco: Path, tmp_path: Path) -> None:
    """The place in the file counts, not the id: split 1 has the places 20 to 39, split 3 the last ones."""
    instances = read_instances(coco / "annotations/instances_val2017.json", shapes=False)
    assert [held_out_classes(instances, k) for k in range(4)] == [
        set(ids()[20 * k : 20 * k + 20]) for k in range(4)
    ]
    assert not instances.shapes
    counts = build_split(coco, tmp_path / "split1", 1)
    assert (counts.train, counts.good, counts.anomalous) == (2, 2, 1)
    assert names(tmp_path / "split1/train/good") == ["train2017-3", "train2017-4"]


def test_one_file_for_both_keeps_training_and_test_apart(coco: Path, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "images").symlink_to(coco / "train2017")
    (folder / "instances.json").write_text(json.dumps(written("train2017")))
    counts = build_split(folder, tmp_path / "split0", 0)
    assert (counts.train, counts.good, counts.anomalous) == (2, 1, 2)
    assert "come from one file" in counts.notes[0]
    assert names(tmp_path / "split0/test/good") == ["train2017-3"]


def test_the_complete_set_is_compared_with_the_published_counts(
    coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coco_ad, "WHOLE", {"train2017": 6, "val2017": 4})
    counts = build_split(coco, tmp_path / "a", 0)
    assert counts.notes == [
        "There are 3 images to learn from, and the benchmark has 30438: the figures do not compare.",
        "There are 3 test images, and the benchmark has 4952: the figures do not compare.",
    ]
    monkeypatch.setattr(coco_ad, "TRAIN_IMAGES", (3, 0, 0, 0))
    monkeypatch.setattr(coco_ad, "TEST_IMAGES", 3)
    assert build_split(coco, tmp_path / "b", 0).notes == []
    (coco / "train2017/train2017-0.jpg").unlink()
    notes = build_split(coco, tmp_path / "c", 0).notes
    assert notes[0].startswith("1 of 3 images are not in")
    assert notes[1].startswith("This is a part of COCO: 2 images to learn from")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"size": [30, 41], "counts": [1230]}, "do not fit an image of 30 x 40"),
        ([[1, 1, 2, 2]], "at least three pairs"),
        ([[1, 1, 2, 2, 3, "x"]], "at least three pairs"),
        ([[1, 1, 2, 2, 3, 1e9]], "32768 pixels or more outside"),
        ([[1, 1, 2, 2, 3, float("nan")]], "32768 pixels or more outside"),
        (7, "list of polygons or run lengths"),
    ],
)
def test_a_damaged_segmentation_is_refused_in_words(wrong: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        union([wrong], HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"images": [', "ends in the middle"),
        ('{"images": [{"id": 1}]}', "lacks 'file_name'"),
        ("[]", "belongs"),
        ('{"licenses": [1 2]}', "belongs"),
        ("{}", "not of COCO's form"),
        ('{"images": [], "annotations": []}', "lacks one of COCO's lists"),
    ],
)
def test_a_damaged_annotation_file_is_refused_in_words(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_instances(path, shapes=True)
    with pytest.raises(ValueError, match="cannot be read"):
        read_instances(tmp_path / "missing.json", shapes=True)


def test_the_command_says_what_it_made_and_what_is_wrong(
    coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["build", "coco-ad", str(coco), str(out), "--split", "0"]) == 0
    assert (
        "3 images to learn from; 3 to test with, 2 of them with a held-out class" in capsys.readouterr().out
    )
    assert main(["build", "coco-ad", str(coco), str(out), "--split", "0"]) == 2
    assert "is there already" in capsys.readouterr().out
    assert main(["build", "coco-ad", str(tmp_path / "out"), str(out), "--split", "1"]) == 2
    assert "holds no COCO" in capsys.readouterr().out
    data = written("val2017")
    data["images"][3]["file_name"] = "../val2017-3.jpg"
    (coco / "annotations/instances_val2017.json").write_text(json.dumps(data))
    assert main(["build", "coco-ad", str(coco), str(out), "--split", "2"]) == 2
    assert "which is no file name" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["split0"], "nothing half built is left"


@needs_subset
def test_real_images_of_coco(tmp_path: Path) -> None:
    """Every mask against the sum of its instances as the file's own ``area`` has it, and the counts by another way."""
    counts = build_split(SHARED, tmp_path / "split0", 0)
    data = json.loads((SHARED / "instances.json").read_text())
    held = {category["id"] for category in data["categories"][:20]}
    shown: dict[int, set[int]] = {}
    for entry in data["annotations"]:
        shown.setdefault(entry["image_id"], set()).add(entry["category_id"])
    anomalous = {image for image, classes in shown.items() if classes & held}
    assert counts.anomalous == len(anomalous)
    assert counts.train + counts.good == len(shown) - len(anomalous)
    photos = {image["id"]: image for image in data["images"]}
    for image in sorted(anomalous):
        own = [a for a in data["annotations"] if a["image_id"] == image and a["category_id"] in held]
        mask = read_mask(
            tmp_path / f"split0/ground_truth/{ANOMALY}/{Path(photos[image]['file_name']).stem}_mask.png"
        )
        assert mask.shape == (photos[image]["height"], photos[image]["width"])
        largest = max(float(a["area"]) for a in own)
        assert mask.sum() > 0.97 * largest
        around = sum(2 * (a["bbox"][2] + a["bbox"][3]) for a in own)
        assert mask.sum() < sum(float(a["area"]) for a in own) + 2 * around + 20 * len(own)
    assert parts_of(SHARED)[0] == parts_of(SHARED)[1]
