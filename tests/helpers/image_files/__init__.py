"""Image files of every kind that a browser shows or a camera writes, drawn by code, and what becomes of each here."""

from __future__ import annotations

from tests.helpers.image_files import bmp, gif_webp, jpeg, others, png, tiff
from tests.helpers.image_files.picture import ImageFile

__all__ = ["FILES", "ImageFile"]

FILES: tuple[ImageFile, ...] = (
    *png.files(),
    *jpeg.files(),
    *bmp.files(),
    *gif_webp.files(),
    *tiff.files(),
    *others.files(),
)
