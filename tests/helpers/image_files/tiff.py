"""TIFF, which Chromium does not show: what must come out is what was put in."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.helpers.image_files.picture import ImageFile, alpha, grey, picture, saved, with_alpha

_ROWS_PER_STRIP = 278  # the tag; OpenCV has had a name for it since 4.10


def written(values: NDArray[Any], **options: Any) -> bytes:
    """A TIFF as tifffile writes it."""
    buffer = BytesIO()
    tifffile.imwrite(buffer, values, metadata=None, **options)
    return buffer.getvalue()


def _strips(deep: NDArray[np.uint16]) -> bytes:
    """As OpenCV writes it: LZW with a predictor, a few rows at a time."""
    done, data = cv2.imencode(".tif", deep[..., ::-1], [_ROWS_PER_STRIP, 4])
    assert done
    return data.tobytes()


def files() -> list[ImageFile]:
    """Every TIFF."""

    def file(kind: str, data: bytes, pixels: NDArray[np.uint8] | None = None, **more: Any) -> ImageFile:
        return ImageFile(f"TIFF, {kind}", data, ".tif", pixels=pixels, **more)

    scene, g = picture(), grey()
    deep, deep_grey = scene.astype(np.uint16) * 257, g.astype(np.uint16) * 257
    three = np.dstack([g] * 3)
    white = np.full_like(scene, 255)
    laid = np.rint(white + (scene.astype(float) - white) * (alpha()[..., None] / 255)).astype(np.uint8)
    bits = Image.fromarray(((g > 127) * 255).astype(np.uint8)).convert("1")
    bilevel = np.dstack([np.asarray(bits.convert("L"))] * 3)
    colours = Image.fromarray(scene).quantize(64)
    strange = "floating-point pixels"
    return [
        file("RGB", written(scene, photometric="rgb"), scene),
        file("grey", written(g), three),
        file("RGB, big-endian", written(scene, photometric="rgb", byteorder=">"), scene),
        file("grey 16 bit", written(deep_grey), three),
        file("grey 16 bit, big-endian", written(deep_grey, byteorder=">"), three),
        file("RGB 16 bit", written(deep, photometric="rgb"), scene),
        file(
            "grey 16 bit of a 12-bit camera",
            written(g.astype(np.uint16) * 16),
            np.rint(three * 16.0 * 255 / 4095).astype(np.uint8),
            white=4095,
        ),
        file("zero is white", written(255 - g, photometric="miniswhite"), three),
        file("zero is white, 16 bit", written(65535 - deep_grey, photometric="miniswhite"), three),
        file("1 bit", saved(bits, "TIFF"), bilevel),
        file("1 bit, fax (group 4)", saved(bits, "TIFF", compression="group4"), bilevel),
        file("palette", saved(colours, "TIFF"), np.asarray(colours.convert("RGB"))),
        file(
            "RGBA", written(with_alpha(), photometric="rgb", extrasamples=["unassalpha"]), laid, tolerance=1
        ),
        file(
            "RGB, planes apart",
            written(np.moveaxis(scene, 2, 0).copy(), photometric="rgb", planarconfig="separate"),
            scene,
        ),
        file(
            "RGB 16 bit, planes apart",
            written(np.moveaxis(deep, 2, 0).copy(), photometric="rgb", planarconfig="separate"),
            refused="16-bit TIFF of a kind that is not known here",
        ),
        file(
            "RGBA 16 bit",
            written(with_alpha().astype(np.uint16) * 257, photometric="rgb", extrasamples=["unassalpha"]),
            laid,
            tolerance=1,
        ),
        file("RGB 16 bit, LZW in strips", _strips(deep), scene),
        file(
            "CMYK 16 bit",
            written(
                np.asarray(Image.fromarray(scene).convert("CMYK")).astype(np.uint16) * 257,
                photometric="separated",
            ),
            refused="of a kind",
        ),
        file(
            "grey 16 bit with alpha",
            written(
                np.dstack([deep_grey, deep_grey]),
                photometric="minisblack",
                planarconfig="contig",
                extrasamples=["unassalpha"],
            ),
            refused="of a kind",
        ),
        file("tiles", written(scene, photometric="rgb", tile=(16, 16)), scene),
        file("tiles, 16 bit", written(deep_grey, tile=(16, 16)), three),
        file(
            "several pages",
            saved(scene, "TIFF", save_all=True, append_images=[Image.fromarray(255 - scene)]),
            scene,
        ),
        file("BigTIFF", written(scene, photometric="rgb", bigtiff=True), scene),
        *(
            file(name, saved(scene, "TIFF", compression=compression), scene)
            for name, compression in (
                ("LZW", "tiff_lzw"),
                ("deflate", "tiff_adobe_deflate"),
                ("PackBits", "packbits"),
            )
        ),
        file("grey 16 bit, LZW", saved(Image.fromarray(deep_grey), "TIFF", compression="tiff_lzw"), three),
        file("JPEG inside", saved(scene, "TIFF", compression="tiff_jpeg", quality=95), scene, tolerance=16),
        file("CMYK", saved(Image.fromarray(scene).convert("CMYK"), "TIFF"), scene, tolerance=2),
        file("orientation 6", saved(scene, "TIFF", tiffinfo={274: 6}), np.rot90(scene, -1)),
        file("floating point", written(g.astype(np.float32) / 255), refused=strange),
        file(
            "floating point, 16 bit",
            written((g / 255).astype(np.float16)),
            refused="of a kind of TIFF not known here",
        ),
        file("signed 16 bit", written(g.astype(np.int16) - 9), refused="pixel values from -9 to"),
        file("32 bit integers", written(g.astype(np.uint32) * 100_000), refused="pixel values from 0 to"),
    ]
