"""What a file that cannot be decoded here is, by its first bytes, in words for a person."""

from __future__ import annotations

# What cameras and people write; JPEG includes MPO. Pillow's other decoders stay out: PostScript runs a program.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP")

_DECODED = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
)
_OTHERS = (
    (b"\0\0\1\0", "a Windows icon (ICO)"),
    (b"\0\0\2\0", "a Windows cursor (CUR)"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL \r\n", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  \r\n", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"8BPS", "a Photoshop document"),
    (b"v/1\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    *((b"P%d" % number, "a Netpbm image (PBM, PGM, PPM, PAM)") for number in range(1, 8)),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK\3\4", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a video"),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "an AVIF image"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "a HEIC image"),
}


def what_else(data: bytes) -> str:
    """A sentence about a file that is no image of `FORMATS`."""
    if not data:
        return "The image file is empty."
    for start, name in _DECODED:
        if data.startswith(start):
            return f"The image file begins as {name} does, but it is damaged or of a kind of {name} not known here."
    known = f"an image of a known kind ({', '.join(FORMATS)})"
    if kind := _other(data):
        return f"This is {kind}; it is not {known}. Save it as PNG and import that."
    text = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<"):
        if b"<svg" in text:
            return f"This is an SVG drawing, which has no pixels; it is not {known}. Save it as PNG and import that."
        return "Instead of an image there is a web page (a login page, perhaps) or another text in angle brackets."
    if text.startswith((b"{", b"[")):
        return "Instead of an image there is a text in JSON (an error message, perhaps)."
    # Not a byte of it is shown: whoever can name an address would read with this what only this machine reaches.
    return f"The file is not {known}."


def _other(data: bytes) -> str:
    """The kind of a file that a camera, a phone or an office may well write; "" for anything else."""
    for start, name in _OTHERS:
        if data.startswith(start):
            return name
    if data[4:8] == b"ftyp":
        brands = [data[8:12], *(data[at : at + 4] for at in range(16, min(data[3], 64), 4))]
        return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), "a video")
    if data[128:132] == b"DICM":
        return "a DICOM file"
    return ""
