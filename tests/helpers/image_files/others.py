"""Kinds that are refused in words, whether or not Chromium shows them."""

from __future__ import annotations

import base64
import struct
from typing import Any

from tests.helpers.image_files.picture import HEIGHT, WIDTH, ImageFile, picture
from tests.helpers.image_files.png import RGB, png

_KNOWN = (
    "it is not an image of a known kind (JPEG, PNG, TIFF, BMP, GIF, WEBP). Save it as PNG and import that."
)
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="24" height="16"><rect width="9" height="9" fill="red"/></svg>'
# The picture as Pillow 13 writes it; older ones know neither kind.
_AVIF = (
    "0000WW^{RQVRmU|00000VRmU|ZE0pPZE0a<O+hh20002%ZDn*}000000000XXk=`10000000000aA{+700000000000000000000"
    "4sdC7Z2$lO000310016oY;R)#0000)000310RR910RR926951JIRF3vC~0YKW&i*H00031000_kZf0cy000000RRADb}%tRZ)|UJ"
    "00000YH4tCZ~y=ROKEUpZvX%Q6lrsCWdHyG000007ytkO5C8xG5O8UDX#fBK00RgJ2mk;83}JRLLxBJc000006Ju{|a&BX6cmM$a"
    "4FCp!0000NX>e^}0000000001009I60)qqq002R4WMOm?0162h5bx~}5YT8qGAbI!hlSzHFv9|c006G1zv+TVj@fb=AN_czxtI0l"
    "iBp9*TUP)7|Csm$"
)


def files() -> list[ImageFile]:
    """Every other kind."""

    def file(kind: str, data: bytes, suffix: str, name: str, **more: Any) -> ImageFile:
        return ImageFile(kind, data, suffix, refused=f"This is {name}; {_KNOWN}", **more)

    small = png(picture(), RGB, 8)
    entry = lambda kind: struct.pack("<HHHBBBBHHII", 0, kind, 1, WIDTH, HEIGHT, 0, 0, 1, 32, len(small), 22)  # noqa: E731
    drawing = f"This is an SVG drawing, which has no pixels; {_KNOWN}"
    return [
        file("ICO", entry(1) + small, ".ico", "a Windows icon (ICO)"),
        file("CUR", entry(2) + small, ".cur", "a Windows cursor (CUR)"),
        file("AVIF", base64.b85decode(_AVIF), ".avif", "an AVIF image"),
        ImageFile("SVG", _SVG, ".svg", refused=drawing),
        ImageFile(
            "SVG with an XML declaration",
            b'<?xml version="1.0"?>\n<!-- drawn -->\n' + _SVG,
            ".svg",
            refused=drawing,
        ),
        file("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), ".heic", "a HEIC image"),
        file("JPEG XL", b"\xff\x0a" + bytes(40), ".jxl", "a JPEG XL image"),
        file("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), ".jp2", "a JPEG 2000 image"),
        file("DICOM", bytes(128) + b"DICM" + bytes(40), ".dcm", "a DICOM file"),
        file("PDF", b"%PDF-1.7\n", ".pdf", "a PDF document"),
        file(
            "PostScript",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            ".eps",
            "a PostScript document",
        ),
        file("Photoshop", b"8BPS\0\1" + bytes(40), ".psd", "a Photoshop document"),
        file("video (MP4)", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(40), ".mp4", "a video"),
        file("Netpbm", b"P5\n2 2\n255\n\0\1\2\3", ".pgm", "a Netpbm image (PBM, PGM, PPM, PAM)"),
        ImageFile(
            "web page",
            b"<!DOCTYPE html><html>Log in</html>",
            ".png",
            refused="Instead of an image there is a web page",
        ),
        ImageFile(
            "error message in JSON",
            b'{"detail": "Not found."}',
            ".png",
            refused="Instead of an image there is a text in JSON",
        ),
        ImageFile("empty file", b"", ".png", refused="The image file is empty."),
    ]
