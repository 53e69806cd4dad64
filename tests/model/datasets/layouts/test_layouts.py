"""Every layout read back by other code than wrote it: masks to the pixel, with holes; the same bytes each time."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from model.datasets.layouts.coco import coco
from model.datasets.layouts.file_names import folders_of, safe
from model.datasets.layouts.folder import write
from model.datasets.layouts.mvtec import mvtec
from model.datasets.layouts.picture import Entry, Mark, Picture
from model.datasets.layouts.png_masks import MOST_TYPES, png_masks
from model.datasets.layouts.yolo_seg import yolo_seg
from model.datasets.layouts.zipped import zipped
from model.datasets.mvtec import find_categories, read_mask, read_rgb
from tests.helpers.coco_rle import lengths_of, packed

HEIGHT, WIDTH = 41, 57
TYPES = ("scratch", "dent/deep", "hole")
Layout = Callable[[Iterator[Picture]], Iterator[Entry]]

LAYOUTS: dict[str, Layout] = {
    "coco": lambda pictures: coco(pictures, TYPES, "Labels of a test"),
    "yolo-seg": lambda pictures: yolo_seg(pictures, TYPES),
    "mvtec": lambda pictures: mvtec(pictures, TYPES),
    "png": lambda pictures: png_masks(pictures, TYPES),
}


def ring(x: int, y: int, outer: int, inner: int) -> NDArray[np.bool_]:
    away = np.hypot(*(np.indices((HEIGHT, WIDTH)) - np.array([y, x])[:, None, None]))
    return np.asarray((away <= outer) & (away > inner))


def spot(x: int, y: int) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y, x] = True
    return mask


def shown(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def pictures(part: Any = "") -> list[Picture]:
    """Holes, two parts of one region, a single pixel at the rim, two types in one image, and a good image."""
    first = [
        Mark.of("scratch", ring(20, 20, 12, 6) | ring(50, 8, 4, -1)),
        Mark.of("scratch", spot(56, 40), "machine"),
    ]
    second = [
        Mark.of("dent/deep", ring(30, 20, 15, 3), shape="rectangle"),
        Mark.of("hole", ring(30, 20, 6, -1)),
    ]
    all_marks: list[list[Mark]] = [first, second, []]
    return [
        Picture(f"{i}-a b.png" if i == 2 else f"{i}.png", HEIGHT, WIDTH, marks, shown(i), part, "flange", i)
        for i, marks in enumerate(all_marks, start=1)
    ]


def files(layout: str, given: list[Picture]) -> dict[str, bytes]:
    return {entry.path: b"".join(entry.pieces) for entry in LAYOUTS[layout](iter(given))}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_and_a_zip_hold_the_same_files_and_the_same_bytes_twice(layout: str, tmp_path: Path) -> None:
    expected = files(layout, pictures())
    write(LAYOUTS[layout](iter(pictures())), tmp_path / "out")
    found = {
        str(p.relative_to(tmp_path / "out")): p.read_bytes()
        for p in (tmp_path / "out").rglob("*")
        if p.is_file()
    }
    assert found == expected
    for name in ("a.zip", "b.zip"):
        write(LAYOUTS[layout](iter(pictures())), tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == expected


def test_coco_says_masks_to_the_pixel_and_what_they_are() -> None:
    found = json.loads(files("coco", pictures())["annotations.json"])
    assert [(one["id"], one["name"]) for one in found["categories"]] == [
        (1, "scratch"),
        (2, "dent/deep"),
        (3, "hole"),
    ]
    assert [(one["file_name"], one["width"], one["height"]) for one in found["images"]] == [
        ("1.png", WIDTH, HEIGHT),
        ("2-a b.png", WIDTH, HEIGHT),
        ("3.png", WIDTH, HEIGHT),
    ]
    marks = [(i, mark) for i, picture in enumerate(pictures(), start=1) for mark in picture.marks]
    assert len(found["annotations"]) == len(marks) == 4
    for one, (image, mark) in zip(found["annotations"], marks, strict=True):
        assert one["segmentation"] == {"size": [HEIGHT, WIDTH], "counts": packed(lengths_of(mark.mask))}
        y, x = np.nonzero(mark.mask)
        assert one["bbox"] == [x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1]
        assert (one["area"], one["image_id"], one["iscrowd"]) == (len(x), image, 0)
        assert TYPES[one["category_id"] - 1] == mark.type
        assert (one["origin"], one["shape"]) == (mark.origin, mark.shape)


def test_coco_with_an_annotation_for_each_connected_part() -> None:
    first = pictures()[0].in_connected_parts()
    assert len(first.marks) == 3
    assert np.array_equal(first.union(), pictures()[0].union())
    assert {mark.origin for mark in first.marks} == {"person", "machine"}


def test_coco_without_any_picture_of_a_part_is_still_whole() -> None:
    made = files("coco", [replace(pictures()[2], part="val"), *pictures("train")])
    assert json.loads(made["val/annotations.json"])["annotations"] == []
    assert len(json.loads(made["train/annotations.json"])["images"]) == 3
    assert "val/images/3.png" in made


@pytest.mark.parametrize("whole", [np.floor, np.round])
def test_yolo_polygons_filled_as_readers_do_are_the_masks(whole: Callable[..., NDArray[Any]]) -> None:
    made = files("yolo-seg", pictures())
    assert yaml.safe_load(made["data.yaml"]) == {
        "train": "images/train",
        "val": "images/train",
        "names": dict(enumerate(TYPES)),
    }
    for picture in pictures():
        found = {name: np.zeros((HEIGHT, WIDTH), np.uint8) for name in TYPES}
        for line in made[f"labels/train/{picture.stem}.txt"].decode().splitlines():
            number, *corners = line.split()
            assert len(corners) >= 6
            polygon = np.array(corners, float).reshape(-1, 2)
            assert polygon.min() >= 0
            assert polygon.max() <= 1
            cv2.fillPoly(found[TYPES[int(number)]], [whole(polygon * (WIDTH, HEIGHT)).astype(np.int32)], (1,))
        for name in TYPES:
            assert np.array_equal(found[name] > 0, picture.union(name))


def test_yolo_names_the_parts_that_there_are() -> None:
    made = files("yolo-seg", [*pictures("train")[:1], *pictures("val")[1:2], *pictures("test")[2:]])
    assert yaml.safe_load(made["data.yaml"]) | {"names": {}} == {
        "train": "images/train",
        "val": "images/val",
        "test": "images/test",
        "names": {},
    }
    assert made["labels/test/3.txt"] == b""


def test_mvtec_is_read_by_this_projects_own_commands(tmp_path: Path) -> None:
    good = replace(pictures()[2], name="4.png", part="test")
    write(LAYOUTS["mvtec"](iter([*pictures(), good])), tmp_path / "out")
    (product,) = find_categories([tmp_path / "out"])
    assert product.name == "out/flange"
    assert [path.name for path in product.good()] == ["3.png", "4.png"]
    assert (product.root / "test/good/4.png").exists()
    pairs = {image.relative_to(product.root).as_posix(): mask for image, mask in product.defects()}
    assert list(pairs) == ["test/combined/2-a b.png", "test/scratch/1.png"]
    for picture, mask in zip(pictures()[1::-1], pairs.values(), strict=True):
        assert np.array_equal(read_mask(mask), picture.union())
    shown_there = cv2.cvtColor(cv2.imdecode(np.frombuffer(shown(1), np.uint8), 1), cv2.COLOR_BGR2RGB)
    assert np.array_equal(read_rgb(product.root / "test/scratch/1.png"), shown_there)


def test_png_masks_by_type_and_by_number() -> None:
    made = files("png", pictures())
    second = pictures()[1]
    with Image.open(io.BytesIO(made["indexed/2-a b.png"])) as image:
        assert image.mode == "P"
        numbers, palette = np.asarray(image), image.getpalette() or []
    assert np.array_equal(numbers == 3, second.union("hole"))
    assert np.array_equal(numbers == 2, second.union("dent/deep") & ~second.union("hole"))
    rows = list(csv.DictReader(io.StringIO(made["types.csv"].decode())))
    assert [(row["number"], row["type"], row["folder"]) for row in rows] == [
        ("0", "", ""),
        ("1", "scratch", "scratch"),
        ("2", "dent/deep", "dent_deep"),
        ("3", "hole", "hole"),
    ]
    colours = ["#{:02x}{:02x}{:02x}".format(*palette[3 * i : 3 * i + 3]) for i in range(4)]
    assert colours == [row["colour"] for row in rows]
    assert len(set(colours)) == 4
    with Image.open(io.BytesIO(made["masks/dent_deep/2-a b.png"])) as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), second.union("dent/deep") * np.uint8(255))
    assert not [name for name in made if name.endswith("3.png") and name.startswith("masks")]


def test_more_types_than_an_indexed_file_has_values() -> None:
    with pytest.raises(ValueError, match="tells 255 types apart, and there are 256"):
        next(png_masks(iter(pictures()), [str(number) for number in range(MOST_TYPES + 1)]))


def test_links_and_images_left_out(tmp_path: Path) -> None:
    kept = tmp_path / "kept.png"
    kept.write_bytes(shown(1))
    linked, bare = replace(pictures()[0], file=kept), replace(pictures()[1], file=None)
    write(LAYOUTS["coco"](iter([linked, bare])), tmp_path / "out")
    assert (tmp_path / "out/images/1.png").readlink() == kept.resolve()
    assert [path.name for path in (tmp_path / "out/images").iterdir()] == ["1.png"]
    assert b"".join(zipped(LAYOUTS["coco"](iter([linked])))).count(shown(1)) == 1


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_what_fails_in_the_middle_leaves_nothing(name: str, tmp_path: Path) -> None:
    def broken() -> Iterator[Picture]:
        yield pictures()[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write(LAYOUTS["coco"](broken()), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="is there already"):
        write(LAYOUTS["coco"](iter(pictures())), tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"mine"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_picture_is_asked_for_at_a_time(layout: str) -> None:
    asked = 0

    def counted() -> Iterator[Picture]:
        nonlocal asked
        for picture in pictures():
            asked += 1
            yield picture

    made = LAYOUTS[layout](counted())
    next(made)
    assert asked == 1


def test_names_that_every_system_takes() -> None:
    assert safe("Kratzer (tief) ü.1") == "Kratzer_tief_ü.1"
    assert safe("../..//x") == "_.._x"
    assert safe("...") == "_"
    assert safe("CON") == "_CON"
    assert len(safe("x" * 300)) == 80
    assert folders_of(["a/b", "a b", "A_b", "good"], taken=["good"]) == {
        "a/b": "a_b",
        "a b": "a_b-2",
        "A_b": "A_b-3",
        "good": "good-2",
    }
