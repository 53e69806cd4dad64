"""JPEG: every colour space, sampling and orientation."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from PIL import Image

from tests.helpers.image_files.picture import PROFILE, ImageFile, decoded, exif, grey, picture, saved
from tests.helpers.image_files.profile import swapped_colours

# The picture as `cjpeg -arithmetic -quality 80` writes it; neither Pillow nor OpenCV writes this kind.
_ARITHMETIC = (
    "|JeWF01!$>Nk#wx0RR9200961|JwjV00smF1_cBL1_cHO2L=cV5DE$j2?`Vr4-60&6c`v66c!d59VH(c8zUSR79cDjBPJ&)Dk&Ks"
    "Eif%8FeNA{DF534LjeZ|2MP!Z6AB6wC>j<TC@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@BBQ"
    "01*fP5C9kh0U`hb5di}c0sqVZ3IGrg1pyEd1^?Or3<CiG0ucid06zf#0MhSQV-ugUW1VYESRvIYGS&%OdswSoGfbWvp6aJu{7Sv?"
    "p7(-q=Z3!)s)cQ>6LN##|Je"
)

LAST_BLOCKS = "Chromium leaves the last row of blocks white, though all of it is there"


def files() -> list[ImageFile]:
    """Every JPEG."""

    def file(kind: str, data: bytes, tolerance: int = 3, suffix: str = ".jpg", **more: Any) -> ImageFile:
        return ImageFile(f"JPEG, {kind}", data, suffix, tolerance=tolerance, **more)

    scene = Image.fromarray(picture())
    whole = saved(scene, "JPEG", quality=90)
    inks = saved(scene.convert("CMYK"), "JPEG", quality=95)
    thumbnail = Image.Exif()
    thumbnail[274] = 6
    thumbnail.get_ifd(0x8769)[0xA002] = 24
    return [
        file("4:4:4", saved(scene, "JPEG", subsampling=0, quality=90)),
        file("4:2:2", saved(scene, "JPEG", subsampling=1, quality=90)),
        file("4:2:0", whole),
        file("4:1:1", _by_opencv(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411)),
        file("4:4:0", _by_opencv(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440)),
        file("progressive", saved(scene, "JPEG", progressive=True, quality=90)),
        file("progressive grey", saved(grey(), "JPEG", progressive=True, quality=90)),
        file("grey", saved(grey(), "JPEG", quality=90)),
        file("restart markers", _by_opencv(cv2.IMWRITE_JPEG_RST_INTERVAL, 1)),
        file("RGB without conversion (Adobe)", saved(scene, "JPEG", keep_rgb=True, quality=90)),
        file("CMYK (Adobe)", inks),
        file("YCCK (Adobe)", _ycck()),
        file("arithmetic coding", base64.b85decode(_ARITHMETIC)),
        *(
            file(f"EXIF orientation {turn}", saved(scene, "JPEG", quality=90, exif=exif(turn)))
            for turn in range(1, 9)
        ),
        file(
            "EXIF orientation 6 beside other tags", saved(scene, "JPEG", quality=90, exif=thumbnail.tobytes())
        ),
        file("EXIF orientation 6, progressive grey", saved(grey(), "JPEG", progressive=True, exif=exif(6))),
        file("damaged EXIF", saved(scene, "JPEG", quality=90, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")),
        file(
            "ICC, another colour space",
            saved(scene, "JPEG", quality=90, icc_profile=swapped_colours()),
            differs=PROFILE,
            pixels=decoded(whole),
        ),
        file(
            "several pictures (MPO)", saved(scene, "MPO", save_all=True, append_images=[_other()], quality=90)
        ),
        file("named .jfif", whole, suffix=".jfif"),
        file("without its end (EOI)", whole[:-2], differs=LAST_BLOCKS, pixels=decoded(whole)),
        file("without the last byte", whole[:-1], differs=LAST_BLOCKS, pixels=decoded(whole)),
        file("progressive without its end", saved(scene, "JPEG", progressive=True, quality=90)[:-2]),
        file("CMYK without its end", inks[:-2], differs=LAST_BLOCKS, pixels=decoded(inks)),
        file(
            "EXIF orientation 6 without its end",
            saved(scene, "JPEG", quality=90, exif=exif(6))[:-2],
            differs=LAST_BLOCKS,
            pixels=np.rot90(decoded(whole), -1),
        ),
        file("bytes behind its end", whole + bytes(17)),
        file("half a file", _half(), refused="The image file is damaged"),
        file("half a file with an end", _half() + b"\xff\xd9"),
    ]


def _by_opencv(option: int, value: int) -> bytes:
    done, data = cv2.imencode(".jpg", picture()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90, option, value])
    assert done
    return data.tobytes()


def _ycck() -> bytes:
    """CMYK whose first three planes are luma and chroma, as Adobe's programs write it."""
    inks = 255 - np.asarray(Image.fromarray(picture()).convert("CMYK"))
    luma = np.asarray(Image.fromarray(np.ascontiguousarray(inks[..., :3])).convert("YCbCr"))
    planes = [Image.fromarray(np.ascontiguousarray(255 - plane)) for plane in np.moveaxis(luma, 2, 0)]
    black = Image.fromarray(np.ascontiguousarray(255 - inks[..., 3]))
    data = bytearray(saved(Image.merge("CMYK", [*planes, black]), "JPEG", quality=95))
    start = data.index(b"Adobe")
    data[start + 11] = 2  # the transform: from YCCK
    return bytes(data)


def _other() -> Image.Image:
    return Image.fromarray(255 - picture())


def _half() -> bytes:
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = saved(noise, "JPEG", quality=90)
    return data[: len(data) // 2]
