"""How large an image may be, held against its header before anything is decoded."""

from __future__ import annotations

from adclick_runtime.errors import ImageError


def check_size(width: int, height: int, max_megapixels: float) -> None:
    """Raises ImageError for an image of no pixels, or of more than `max_megapixels`."""
    if width <= 0 or height <= 0:
        raise ImageError(f"The image file says that it is {width} x {height} pixels large.")
    if width * height > max_megapixels * 1e6:
        raise ImageError(
            f"The image has {width} x {height} = {width * height / 1e6:.0f} megapixels; the limit is "
            f"{max_megapixels:g} (ADCLICK_MAX_MEGAPIXELS)."
        )


def check_bytes(size: int, max_image_mb: float) -> None:
    """Raises ImageError for a file of more than `max_image_mb` million bytes."""
    if size > max_image_mb * 1_000_000:
        raise ImageError(
            f"The file has {size / 1e6:.0f} MB; the limit is {max_image_mb:g} MB (ADCLICK_MAX_IMAGE_MB)."
        )
