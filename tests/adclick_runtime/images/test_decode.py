"""The runtime's decoder shows what the backend's shows, or refuses the file in words; never other pixels."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image

from adclick_backend.images.decode import decode_image as by_the_backend
from adclick_runtime.errors import ImageError
from adclick_runtime.images.decode import decode_image
from adclick_runtime.images.transparency import on_white
from tests.helpers.image_files import FILES, ImageFile
from tests.helpers.image_files.outcome import distance
from tests.helpers.image_files.picture import exif, picture, saved

REFUSED_HERE_ALONE = {
    "PNG, animated, its still picture no part of it": "its still picture is no part of the animation",
    "BMP, 16 bit (555)": "The BMP has 16 bits a pixel",
    "BMP, 16 bit (565)": "The BMP has 16 bits a pixel",
    "TIFF, tiles": "of a kind of TIFF that OpenCV does not read",  # of 16 x 16 pixels; larger tiles are read
}
ROUNDING = {"JPEG, CMYK (Adobe)", "JPEG, YCCK (Adobe)", "JPEG, CMYK without its end", "TIFF, RGBA"}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's, about the file whose EXIF data is damaged
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.kind)
def test_every_kind_is_what_the_backend_makes_of_it_or_refused(file: ImageFile) -> None:
    """reliability row 6."""
    try:
        expected = by_the_backend(file.data, max_megapixels=1, white=file.white)
    except ImageError:
        with pytest.raises(ImageError):
            decode_image(file.data, max_megapixels=1, white=file.white)
        return
    if words := REFUSED_HERE_ALONE.get(file.kind):
        with pytest.raises(ImageError, match=words):
            decode_image(file.data, max_megapixels=1, white=file.white)
        return
    found = decode_image(file.data, max_megapixels=1, white=file.white)
    assert (found.dtype, found.ndim, found.shape[2]) == (np.uint8, 3, 3) and found.flags.c_contiguous
    assert distance(found, expected) <= (1 if file.kind in ROUNDING else 0)


@pytest.mark.parametrize("file", [file for file in FILES if file.refused], ids=lambda file: file.kind)
def test_what_is_no_image_is_named(file: ImageFile) -> None:
    with pytest.raises(ImageError) as refused:
        decode_image(file.data, max_megapixels=1)
    assert str(refused.value)[0].isupper() and str(refused.value).endswith(".")


def with_size(width: int, height: int) -> list[tuple[str, bytes]]:
    """Files of one pixel whose headers announce another size."""
    made = []
    small = Image.new("RGB", (1, 1))
    for kind, offset, layout in (("PNG", 16, ">II"), ("BMP", 18, "<ii"), ("GIF", 6, "<HH")):
        data = bytearray(saved(small, kind))
        struct.pack_into(layout, data, offset, width, height)
        made.append((kind, bytes(data)))
    jpeg = bytearray(saved(small, "JPEG"))
    struct.pack_into(">HH", jpeg, jpeg.index(b"\xff\xc0") + 5, height, width)
    made.append(("JPEG", bytes(jpeg)))
    tiff = bytearray(saved(small, "TIFF"))
    (start,) = struct.unpack_from("<I", tiff, 4)
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", tiff, start)[0], 12):
        if (tag := struct.unpack_from("<H", tiff, entry)[0]) in (256, 257):
            struct.pack_into("<HII", tiff, entry + 2, 4, 1, width if tag == 256 else height)
    made.append(("TIFF", bytes(tiff)))
    webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"".join(
        (side - 1).to_bytes(3, "little") for side in (width, height)
    )
    made.append(("WebP", webp))
    return made


@pytest.mark.parametrize(("kind", "data"), with_size(20_000, 10_000), ids=lambda value: str(value)[:8])
def test_a_giant_is_refused_by_its_header(kind: str, data: bytes) -> None:
    """reliability row 6: before anything is decoded."""
    with pytest.raises(ImageError, match=r"20000 x 10000 = 200 megapixels; the limit is 120"):
        decode_image(data, max_megapixels=120)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP"])
def test_a_file_cut_anywhere_is_refused_or_whole(kind: str) -> None:
    """reliability row 6: never half a picture, never another error."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    data = saved(Image.fromarray(noise), kind)
    whole = decode_image(data, max_megapixels=1)
    for end in range(0, len(data) - 16, max(1, len(data) // 97)):
        try:
            found = decode_image(data[:end], max_megapixels=1)
        except ImageError as error:
            assert str(error)
        else:
            assert np.array_equal(found, whole), end


def test_a_png_without_one_of_its_chunks_is_refused() -> None:
    """reliability row 6: cut where a chunk ends, so that only the pixels tell."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    data = saved(Image.fromarray(noise), "PNG")
    second = data.index(b"IDAT", data.index(b"IDAT") + 4) - 4
    with pytest.raises(ImageError, match="damaged"):
        decode_image(data[:second], max_megapixels=1)
    turned = bytearray(data)
    turned[second + 1000] ^= 255
    with pytest.raises(ImageError, match="damaged"):
        decode_image(bytes(turned), max_megapixels=1)


def test_a_tiff_of_large_tiles_is_read() -> None:
    scene = np.random.default_rng(0).integers(0, 256, (300, 500, 3), np.uint8)
    buffer = BytesIO()
    tifffile.imwrite(buffer, scene, photometric="rgb", tile=(256, 256), metadata=None)
    assert np.array_equal(decode_image(buffer.getvalue(), max_megapixels=1), scene)


def test_grey_tiff_with_alpha_is_refused_in_words() -> None:
    buffer = BytesIO()
    tifffile.imwrite(
        buffer,
        np.zeros((8, 9, 2), np.uint8),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
        metadata=None,
    )
    with pytest.raises(ImageError, match="grey TIFF of 2 samples a pixel"):
        decode_image(buffer.getvalue(), max_megapixels=1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_all_orientations(kind: str, orientation: int) -> None:
    """reliability row 6."""
    options = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": exif(orientation)}
    data = saved(picture(), kind, **options)
    assert distance(decode_image(data, max_megapixels=1), by_the_backend(data, max_megapixels=1)) == 0


def test_an_image_alone_has_a_white_point_of_its_own() -> None:
    data = saved(np.array([[0, 1000, 4095]], np.uint16), "PNG")
    assert decode_image(data, max_megapixels=1)[0, :, 0].tolist() == [0, 62, 255]
    assert decode_image(data, max_megapixels=1, white=65535)[0, :, 0].tolist() == [0, 4, 16]


def test_transparency_over_white_rounds_as_pillow_does() -> None:
    """Every colour under every alpha."""
    values, alphas = (each.astype(np.uint8) for each in np.mgrid[0:256, 0:256])
    rgba = np.dstack([values, values, values, alphas])
    page = Image.new("RGBA", (256, 256), "white")
    page.alpha_composite(Image.fromarray(rgba))
    assert np.array_equal(on_white(rgba), np.asarray(page.convert("RGB")))


def test_bytes_of_all_sorts_raise_one_kind_of_error() -> None:
    """Headers that lead out of the file, loops, lengths of nothing."""
    generator = np.random.default_rng(0)
    starts = [file.data[: 8 + number % 60] for number, file in enumerate(FILES)]
    starts.append(
        b"II+\0\x08\0\0\0" + b"\xff" * 8
    )  # a BigTIFF whose directory lies beyond what a file can have
    for start in starts:
        data = start + generator.bytes(200)
        try:
            decode_image(data, max_megapixels=1)
        except ImageError as error:
            assert str(error).endswith(".")


def test_a_png_that_unpacks_to_more_than_its_header_says_stays_small() -> None:
    """reliability row 6: libpng stops where the picture ends."""
    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(50_000_000))), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    try:
        assert decode_image(data, max_megapixels=1).shape == (4, 4, 3)
    except ImageError as error:
        assert "damaged" in str(error)
