"""Folders of products in MVTec layout."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

NO_PRODUCT = (
    "No product in MVTec layout (train/good, test/<type>, ground_truth/<type>) was found in these folders."
)

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Category:
    """A product in MVTec layout: ``train/good``, ``test/<type>``, ``ground_truth/<type>/<name>_mask.png``."""

    root: Path

    @property
    def name(self) -> str:
        """Set and product, for example ``bsdata/ball_screw_drive``."""
        return f"{self.root.parent.name}/{self.root.name}"

    def good(self) -> list[Path]:
        """Defect-free images, without links that lead nowhere."""
        return [p for s in ("train", "test") for p in _images(self.root / s / "good") if p.exists()]

    def defects(self) -> list[tuple[Path, Path]]:
        """Defect images with their masks; links that lead nowhere are found out when they are read."""
        pairs = []
        for folder in sorted(p for p in (self.root / "test").iterdir() if p.is_dir() and p.name != "good"):
            for image in _images(folder):
                mask = self.root / "ground_truth" / folder.name / f"{image.stem}_mask.png"
                if mask.exists() or mask.is_symlink():
                    pairs.append((image, mask))
        return pairs


def good_split(category: Category) -> tuple[list[Path], list[Path]]:
    """The good images of a product that a detector may learn from, and those that it is tested with.

    Learned from are those of ``train/good``, as the sets have it. A product that has none there gives the first half of
    ``test/good`` in the order of their names, the larger one of an odd number, and is tested with the others.
    """
    train, test = ([p for p in _images(category.root / s / "good") if p.exists()] for s in ("train", "test"))
    if train:
        return train, test
    half = (len(test) + 1) // 2
    return test[:half], test[half:]


def find_categories(folders: Sequence[Path]) -> list[Category]:
    """Every product in MVTec layout at or below the given folders, also behind symbolic links; each of them once."""
    roots = [
        folder for folder, names in _folders_below(folders) if "test" in names and (folder / "test").is_dir()
    ]
    return [Category(root) for root in sorted(roots)]


def broken_links(folders: Sequence[Path]) -> list[Path]:
    """Symbolic links at or below the given folders that lead nowhere."""
    found = (folder / name for folder, names in _folders_below(folders) for name in names)
    return sorted(path for path in found if path.is_symlink() and not path.exists())


def said_broken(link: Path) -> str:
    """What is wrong with a link that leads nowhere, as a sentence."""
    return f"{link} is a link to {link.readlink()}, which is not there."


def _folders_below(folders: Sequence[Path]) -> Iterator[tuple[Path, list[str]]]:
    """Every folder at or below the given ones with the names in it, each of them once, however many links lead to it.

    Links are followed when all else is done, in the order of their names, so that a folder that is there itself is
    not found under the name of a link; one that leads back to a folder above ends there.
    """
    waiting, links, seen = sorted(folders, reverse=True), list[Path](), set[tuple[int, int]]()
    while waiting or links:
        if not waiting:
            waiting, links = sorted(links, reverse=True), []
        folder = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue  # not a folder, gone by now, or not for us to read
        seen.add((status.st_dev, status.st_ino))
        yield folder, [entry.name for entry in entries]
        inside = [(folder / entry.name, entry) for entry in entries]
        links += [path for path, entry in inside if entry.is_symlink()]
        waiting += [path for path, entry in reversed(inside) if entry.is_dir(follow_symlinks=False)]


def followed(path: Path) -> Path:
    """The same path.

    Raises:
        ValueError: it is a link that leads nowhere.
    """
    if path.is_symlink() and not path.exists():
        raise ValueError(said_broken(path))
    return path


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """An image file as (H, W, 3) uint8 RGB.

    Raises:
        ValueError: it cannot be read.
    """
    pixels = cv2.imread(str(followed(path)), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"{path} cannot be read as an image.")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """A mask file as (H, W) bool.

    Raises:
        ValueError: it cannot be read.
    """
    mask = cv2.imread(str(followed(path)), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise ValueError(f"{path} cannot be read as a mask.")
    return np.asarray(mask > 127)


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)


class ImageFiles(Sequence[NDArray[np.uint8]]):
    """Images that are read when they are asked for, (H, W, 3) uint8 RGB each."""

    def __init__(self, paths: Sequence[Path]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        if isinstance(place, slice):
            return ImageFiles(self.paths[place])
        return read_rgb(self.paths[place])
