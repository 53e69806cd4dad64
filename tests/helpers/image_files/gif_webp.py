"""GIF and WebP: still, animated, transparent."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from tests.helpers.image_files.picture import ImageFile, exif, grey, picture, saved, with_alpha


def _half_webp() -> bytes:
    noise = np.random.default_rng(4).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    data = saved(noise, "WEBP", lossless=True)
    return data[: len(data) // 2]


def files() -> list[ImageFile]:
    """Every GIF and WebP."""

    def gif(kind: str, data: bytes, **more: Any) -> ImageFile:
        return ImageFile(f"GIF, {kind}", data, ".gif", **more)

    def webp(kind: str, data: bytes, **more: Any) -> ImageFile:
        return ImageFile(f"WebP, {kind}", data, ".webp", **more)

    scene, inverted = Image.fromarray(picture()), Image.fromarray(255 - picture())
    indexed = scene.quantize(64)
    later = {"save_all": True, "append_images": [inverted], "duration": 60_000}
    small = bytearray(saved(indexed, "GIF", optimize=False))
    small[6:10] = b"\x20\0\x18\0"  # a canvas of 32 x 24 around the frame
    half = saved(np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8), "GIF")
    return [
        gif("still", saved(indexed, "GIF")),
        gif("grey", saved(grey(), "GIF")),
        gif("transparent", saved(indexed, "GIF", transparency=int(np.asarray(indexed)[2, 2]))),
        gif("not interlaced", saved(indexed, "GIF", interlace=0)),
        gif("animated", saved(indexed, "GIF", **{**later, "append_images": [inverted.quantize(64)]})),
        gif("a frame smaller than its canvas", bytes(small)),
        gif("half a file", half[: len(half) // 2], refused="The image file is damaged"),
        webp("lossy", saved(scene, "WEBP", quality=90), tolerance=3),
        webp("lossless", saved(scene, "WEBP", lossless=True)),
        webp("lossy with alpha", saved(with_alpha(), "WEBP", quality=90), tolerance=4),
        webp("lossless with alpha", saved(with_alpha(), "WEBP", lossless=True, exact=True), tolerance=1),
        webp("animated", saved(scene, "WEBP", lossless=True, **later)),
        webp("EXIF orientation 6", saved(scene, "WEBP", lossless=True, exif=exif(6))),
        webp("half a file", _half_webp(), refused="The image file is damaged"),
    ]
