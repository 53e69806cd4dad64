"""COCO-AD: everyday pictures in which some classes of objects were never shown, in MVTec layout.

The benchmark of InvAD (Zhang et al. 2024). The 80 classes of COCO 2017, counted in the order of its file, make four
splits of 20. In split k the classes 20k to 20k + 19 are what is anomalous: training has the images of train2017 that
show none of them, testing those of val2017, where the anomalous places are all instances of these classes together,
crowds included. Images without any annotation belong to neither.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from model.datasets.coco_instances import Instances, Photo, read_instances
from model.datasets.coco_masks import union

SPLITS = 4
CLASSES = 80
HELD_OUT = CLASSES // SPLITS

TRAIN_IMAGES = (30_438, 65_133, 79_083, 77_580)
"""Training images of each split, as the benchmark was published."""

TEST_IMAGES = 4_952
"""Test images of every split."""

WHOLE = {"train2017": 118_287, "val2017": 5_000}
"""Images in the complete parts of COCO 2017; in a part of them nothing is compared with the published numbers."""

ANOMALY = "held_out"
"""The one type of anomaly, as a name of a folder."""


@dataclass(frozen=True)
class Part:
    """Some images of COCO and what is annotated in them.

    Attributes:
        images: folder of the image files.
        annotations: file.
        whole: how many images there are if it is complete; 0 where nobody knows.
    """

    images: Path
    annotations: Path
    whole: int = 0


@dataclass
class Counts:
    """What a split holds.

    Attributes:
        train: images to learn from.
        good: test images without an anomaly.
        anomalous: test images with one.
        notes: sentences on what is missing, or differs from what was published.
    """

    train: int
    good: int
    anomalous: int
    notes: list[str]


def parts_of(folder: Path) -> tuple[Part, Part]:
    """Where the images to learn from and those to test with lie; twice the same where one file describes all.

    Raises:
        ValueError: the folder has neither form of COCO; the sentence says what is looked for.
    """
    files = {name: folder / "annotations" / f"instances_{name}.json" for name in WHOLE}
    if all(file.is_file() for file in files.values()):
        train, test = (Part(folder / name, file, WHOLE[name]) for name, file in files.items())
        return train, test
    if (folder / "instances.json").is_file():
        part = Part(folder / "images", folder / "instances.json")
        return part, part
    wanted = " and ".join(f"annotations/{file.name}" for file in files.values())
    raise ValueError(
        f"{folder} holds no COCO: it has neither {wanted}, with the folders train2017 and val2017, nor one file "
        "instances.json with the folder images."
    )


def build_split(folder: Path, out: Path, split: int, copy: bool = False) -> Counts:
    """Make one split of COCO-AD in MVTec layout.

    Args:
        folder: of COCO (:func:`parts_of`).
        out: folder to make; there must be none. It appears when it is complete.
        split: 0 to 3.
        copy: whether the images are copied; default: links to where they are.

    Raises:
        ValueError: the folder is no COCO, or damaged, or ``out`` is there already.
        OSError: the disk is full or cannot be written.
    """
    if out.exists():
        raise ValueError(f"{out} is there already: delete it, or name another folder.")
    train, test = parts_of(folder)
    half = out.with_name(f".{out.name}.building")
    shutil.rmtree(half, ignore_errors=True)
    try:
        if train == test:
            counts = _from_one_file(test, half, split, copy)
        else:
            counts = _from_two_files(train, test, half, split, copy)
        if not (counts.train and counts.anomalous):
            raise ValueError(
                f"{folder} has {counts.train} images to learn from and {counts.anomalous} with a held-out "
                f"class, of those that lie there: both are needed. {' '.join(counts.notes)}"
            )
        half.rename(out)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return counts


def _from_two_files(train: Part, test: Part, out: Path, split: int, copy: bool) -> Counts:
    notes: list[str] = []
    learned = read_instances(train.annotations, shapes=False)
    held_out = held_out_classes(learned, split)
    without = [i for i in sorted(learned.classes) if not learned.classes[i] & held_out]
    kept = _place(train, learned, without, out / "train" / "good", copy, notes)
    whole = len(learned.photos) == train.whole and kept == len(without)
    _compare(notes, whole, "images to learn from", kept, TRAIN_IMAGES[split])
    del learned
    shown = read_instances(test.annotations, shapes=True)
    if held_out_classes(shown, split) != held_out:
        raise ValueError(
            f"{train.annotations} and {test.annotations} have other classes: they are not of one set."
        )
    good, anomalous = _place_test(test, shown, sorted(shown.classes), held_out, out, copy, notes)
    whole = len(shown.photos) == test.whole and good + anomalous == len(shown.classes)
    _compare(notes, whole, "test images", good + anomalous, TEST_IMAGES)
    return Counts(kept, good, anomalous, notes)


def _from_one_file(part: Part, out: Path, split: int, copy: bool) -> Counts:
    """Every other image without a held-out class is learned from, in the order of the ids; all others test."""
    notes = ["Training and test images come from one file, so no figure compares with a published one."]
    found = read_instances(part.annotations, shapes=True)
    held_out = held_out_classes(found, split)
    without = [i for i in sorted(found.classes) if not found.classes[i] & held_out]
    kept = _place(part, found, without[::2], out / "train" / "good", copy, notes)
    tested = sorted(found.classes.keys() - set(without[::2]))
    good, anomalous = _place_test(part, found, tested, held_out, out, copy, notes)
    return Counts(kept, good, anomalous, notes)


def held_out_classes(instances: Instances, split: int) -> set[int]:
    """The ids of the classes that are anomalous in a split.

    Raises:
        ValueError: there is no such split, or the file has not COCO's 80 classes.
    """
    if not 0 <= split < SPLITS:
        raise ValueError(f"COCO-AD has the splits 0 to {SPLITS - 1}, not {split}.")
    if len(instances.categories) != CLASSES:
        raise ValueError(
            f"The annotations have {len(instances.categories)} classes and COCO has {CLASSES}: which are held out is "
            "told by their place among all of them."
        )
    return set(instances.categories[split * HELD_OUT : (split + 1) * HELD_OUT])


def _place_test(
    part: Part,
    instances: Instances,
    images: Iterable[int],
    held_out: set[int],
    out: Path,
    copy: bool,
    notes: list[str],
) -> tuple[int, int]:
    """Lay out the test images and their masks; returns how many are good and how many anomalous."""
    numbers = list(images)
    anomalous = [i for i in numbers if instances.classes[i] & held_out]
    good = [i for i in numbers if not instances.classes[i] & held_out]
    shown = _place(part, instances, good, out / "test" / "good", copy, notes)
    masks = out / "ground_truth" / ANOMALY
    masks.mkdir(parents=True)
    placed = 0
    for number in _there(part, instances, anomalous, notes):
        photo = instances.photos[number]
        shapes = [shape for category, shape in instances.shapes[number] if category in held_out]
        try:
            mask = union(shapes, photo.height, photo.width)
        except ValueError as error:
            raise ValueError(f"{part.annotations}, image {number}: {error}") from error
        png = cv2.imencode(".png", mask.astype(np.uint8) * 255)[1]
        (masks / f"{Path(photo.file_name).stem}_mask.png").write_bytes(png.tobytes())
        _lay(part, photo, out / "test" / ANOMALY, copy)
        placed += 1
    return shown, placed


def _place(
    part: Part, instances: Instances, images: Iterable[int], folder: Path, copy: bool, notes: list[str]
) -> int:
    """Lay out images in a folder; returns how many there are."""
    placed = 0
    for number in _there(part, instances, images, notes):
        _lay(part, instances.photos[number], folder, copy)
        placed += 1
    return placed


def _there(part: Part, instances: Instances, images: Iterable[int], notes: list[str]) -> Iterator[int]:
    """Those of some images whose files are there; a note says how many are not."""
    asked, missing = 0, 0
    for number in images:
        asked += 1
        photo = instances.photos.get(number)
        if photo is None:
            raise ValueError(f"{part.annotations} annotates image {number}, which is not among its images.")
        if Path(photo.file_name).name != photo.file_name:
            raise ValueError(
                f"{part.annotations} has an image called {photo.file_name!r}, which is no file name."
            )
        if (part.images / photo.file_name).is_file():
            yield number
        else:
            missing += 1
    if missing:
        notes.append(f"{missing} of {asked} images are not in {part.images}, and are left out.")


def _lay(part: Part, photo: Photo, folder: Path, copy: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    source = (part.images / photo.file_name).resolve()
    if copy:
        shutil.copyfile(source, folder / photo.file_name)
    else:
        (folder / photo.file_name).symlink_to(source)


def _compare(notes: list[str], whole: bool, what: str, found: int, published: int) -> None:
    if not whole:
        notes.append(f"This is a part of COCO: {found} {what}, where the benchmark has {published}.")
    elif found != published:
        notes.append(
            f"There are {found} {what}, and the benchmark has {published}: the figures do not compare."
        )
