"""Folders of products in MVTec layout."""

from __future__ import annotations

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
        """Defect-free images."""
        return [p for split in ("train", "test") for p in _images(self.root / split / "good")]

    def defects(self) -> list[tuple[Path, Path]]:
        """Defect images with their masks."""
        pairs = []
        for folder in sorted(p for p in (self.root / "test").iterdir() if p.is_dir() and p.name != "good"):
            for image in _images(folder):
                mask = self.root / "ground_truth" / folder.name / f"{image.stem}_mask.png"
                if mask.exists():
                    pairs.append((image, mask))
        return pairs


def find_categories(folders: list[Path]) -> list[Category]:
    """Every product in MVTec layout at or below the given folders."""
    roots = {
        test.parent
        for folder in folders
        for test in [folder / "test", *folder.rglob("test")]
        if test.is_dir()
    }
    return [Category(root) for root in sorted(roots)]


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """An image file as (H, W, 3) uint8 RGB."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"{path} cannot be read as an image.")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """A mask file as (H, W) bool."""
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise ValueError(f"{path} cannot be read as a mask.")
    return np.asarray(mask > 127)


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
