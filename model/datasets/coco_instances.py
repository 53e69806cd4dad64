"""COCO's annotation files, read entry by entry: the one of train2017 has 450 MB, and a tenth of it is needed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

_BLANKS = (" ", "\t", "\n", "\r")


class Photo(NamedTuple):
    """An image: its file name, and its size in pixels."""

    file_name: str
    height: int
    width: int


@dataclass
class Instances:
    """What an annotation file says.

    Attributes:
        categories: ids of the classes, in the order of the file.
        names: id of a class -> its name.
        photos: id of an image -> what it is.
        classes: id of an image -> the ids of the classes that are annotated in it; images without any are missing.
        shapes: id of an image -> class and segmentation of each instance; empty unless they were asked for.
    """

    categories: list[int] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    photos: dict[int, Photo] = field(default_factory=dict)
    classes: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    shapes: dict[int, list[tuple[int, Any]]] = field(default_factory=lambda: defaultdict(list))


def read_instances(path: Path, shapes: bool) -> Instances:
    """Read an annotation file of COCO's form.

    The file is held as text and its entries are parsed one by one, so that it takes about twice its size in memory,
    where ``json.load`` takes six times.

    Args:
        path: of the file.
        shapes: whether the segmentations are kept.

    Raises:
        ValueError: it cannot be read, or is not of that form.
    """
    found = Instances()
    try:
        for key, entry in _entries(path.read_text("utf-8")):
            if key == "images":
                photo = Photo(str(entry["file_name"]), int(entry["height"]), int(entry["width"]))
                found.photos[int(entry["id"])] = photo
            elif key == "annotations":
                image, category = int(entry["image_id"]), int(entry["category_id"])
                found.classes[image].add(category)
                if shapes:
                    found.shapes[image].append((category, entry["segmentation"]))
            elif key == "categories":
                found.categories.append(int(entry["id"]))
                found.names[int(entry["id"])] = str(entry["name"])
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    except KeyError as error:
        raise ValueError(f"{path} is not of COCO's form: an entry lacks {error.args[0]!r}.") from error
    except IndexError as error:
        raise ValueError(f"{path} is not of COCO's form: it ends in the middle.") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is not of COCO's form: {error}.") from error
    if not (found.photos and found.classes and found.categories):
        raise ValueError(f"{path} lacks one of COCO's lists: images, annotations, categories.")
    return found


def _entries(text: str) -> Iterator[tuple[str, Any]]:
    """Name and entry, for every entry of every list that the JSON object holds."""
    decode = json.JSONDecoder().raw_decode

    def after_blanks(place: int) -> int:
        while text[place : place + 1] in _BLANKS:
            place += 1
        return place

    def expect(allowed: str, place: int) -> tuple[str, int]:
        place = after_blanks(place)
        if text[place] not in allowed:
            raise ValueError(
                f"there is {text[place]!r} at character {place}, where one of {allowed!r} belongs"
            )
        return text[place], after_blanks(place + 1)

    sign, place = expect("{", 0)
    while sign != "}":
        key, place = decode(text, place)
        _, place = expect(":", place)
        if text[place] != "[":
            _, place = decode(text, place)
        elif text[after_blanks(place + 1)] == "]":
            place = after_blanks(place + 1) + 1
        else:
            inner, place = expect("[", place)
            while inner != "]":
                entry, place = decode(text, place)
                yield key, entry
                inner, place = expect(",]", place)
        sign, place = expect(",}", place)
