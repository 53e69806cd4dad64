"""Every kind of image file becomes the pixels that a person sees, or a sentence."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from adclick_backend.errors import ImageError
from adclick_backend.images.decode import decode_image, image_size, is_deep, is_deep_file

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def scene(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """A smooth picture without any symmetry, so that every wrong turn shows."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [255 * columns / width, 255 * rows / height, 255 * (columns + 2 * rows) / (width + 2 * height)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def saved(image: Image.Image | NDArray[Any], format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def by_opencv(pixels: NDArray[Any], extension: str) -> bytes:
    """16-bit colour, which Pillow cannot write; RGB or RGBA."""
    order = [2, 1, 0, 3][: pixels.shape[2]]
    done, data = cv2.imencode(extension, pixels[..., order])
    assert done
    return data.tobytes()


def decode(data: bytes, max_megapixels: float = 1.0, white: int = 0) -> NDArray[np.uint8]:
    pixels = decode_image(data, max_megapixels=max_megapixels, white=white)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.flags.c_contiguous
    height, width = pixels.shape[:2]
    assert image_size(data, max_megapixels=max_megapixels) == (width, height)
    return pixels


def colours(data: bytes, white: int = 0) -> list[tuple[int, ...]]:
    """The first row of an image."""
    return [tuple(int(value) for value in pixel) for pixel in decode(data, white=white)[0]]


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_keep_every_pixel(format: str) -> None:
    """reliability row 6."""
    options = {"lossless": True} if format == "WEBP" else {}
    assert np.array_equal(decode(saved(scene(), format, **options)), scene())


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "tiff_jpeg"])
def test_compressed_tiff(compression: str) -> None:
    """reliability row 6."""
    pixels = decode(saved(scene(), "TIFF", compression=compression))
    assert np.abs(pixels.astype(int) - scene()).max() <= (12 if compression == "tiff_jpeg" else 0)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_is_what_pillow_makes_of_it(mode: str, progressive: bool) -> None:
    """reliability row 6: the fast decoder and the careful one agree."""
    data = saved(Image.fromarray(scene()).convert(mode), "JPEG", quality=90, progressive=progressive)
    expected = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
    assert np.abs(decode(data).astype(int) - expected).max() <= 1
    assert (
        np.abs(
            decode(data).astype(int) - np.asarray(Image.fromarray(scene()).convert(mode).convert("RGB"))
        ).max()
        <= 8
    )


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "JPEG"])
def test_grey_has_three_equal_channels(format: str) -> None:
    """reliability row 6."""
    pixels = decode(saved(np.full((4, 6), 100, np.uint8), format))
    assert np.all(pixels == 100)


def test_black_and_white() -> None:
    """reliability row 6."""
    assert colours(saved(Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"), "PNG")) == [
        (0,) * 3,
        WHITE,
    ]


def test_palette() -> None:
    """reliability row 6."""
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putdata([2, 0, 1])
    assert colours(saved(image, "PNG")) == [BLUE, RED, GREEN]
    assert colours(saved(image, "GIF")) == [BLUE, RED, GREEN]


def test_transparency_lies_on_the_white_page() -> None:
    """reliability row 6: whatever colour hides under alpha 0."""
    image = Image.new("RGBA", (3, 1))
    image.putdata([(255, 0, 0, 255), (255, 0, 0, 0), (255, 0, 0, 128)])
    for format in ("PNG", "TIFF"):
        assert colours(saved(image, format)) == [RED, WHITE, (255, 127, 127)]
    assert colours(saved(image, "WEBP", lossless=True))[:2] == [RED, WHITE]


def test_grey_with_transparency_lies_on_the_white_page() -> None:
    """reliability row 6."""
    image = Image.new("LA", (3, 1))
    image.putdata([(0, 255), (0, 0), (100, 128)])
    assert colours(saved(image, "PNG")) == [(0, 0, 0), WHITE, (177, 177, 177)]


def test_transparent_colours_of_palettes_and_rgb() -> None:
    """reliability row 6: transparency without an alpha channel."""
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *GREEN])
    palette.putdata([0, 1])
    assert colours(saved(palette, "PNG", transparency=1)) == [RED, WHITE]
    assert colours(saved(palette, "GIF", transparency=1)) == [RED, WHITE]
    keyed = Image.new("RGB", (2, 1))
    keyed.putdata([RED, GREEN])
    assert colours(saved(keyed, "PNG", transparency=GREEN)) == [RED, WHITE]


def test_inks_become_light() -> None:
    """reliability row 6: CMYK, also as Adobe writes it into JPEG."""
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert colours(saved(image, "TIFF"))[0] == RED
    assert np.abs(np.array(colours(saved(image, "JPEG", quality=95))[0]) - RED).max() <= 3


def test_window_of_12_bit_cameras() -> None:
    """reliability row 6: told that the white point is 4095."""
    for values in ([0, 1000, 4095], [0, 1000, 2048]):
        data = saved(np.array([values], np.uint16), "PNG")
        shown = [colour[0] for colour in colours(data, white=4095)]
        assert shown == [round(value * 255 / 4095) for value in values]


def test_window_of_16_bit_images() -> None:
    """reliability row 6: told nothing, the white point is 65535, whatever the brightest value."""
    for values in ([0, 257, 65535], [0, 1000, 4096], [128 * 257, 5000, 60000]):
        for format in ("PNG", "TIFF"):
            data = saved(np.array([values], np.uint16), format)
            assert [colour[0] for colour in colours(data)] == [round(value * 255 / 65535) for value in values]


def test_images_of_one_product_stay_comparable() -> None:
    """reliability row 6: the same grey value is the same grey, however bright the rest of the image is."""
    for white in (0, 4095, 8191):
        images = [saved(np.array([[1000, rest]], np.uint16), "PNG") for rest in (1500, 4000, 4300, 60000)]
        assert len({colours(image, white)[0] for image in images}) == 1


def test_what_is_brighter_than_white_is_white() -> None:
    """reliability row 6."""
    data = saved(np.array([[4000, 4095, 4300, 65535]], np.uint16), "PNG")
    assert [colour[0] for colour in colours(data, white=4095)] == [249, 255, 255, 255]


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize(("factor", "white"), [(257, 65535), (16, 4095)])
def test_16_bit_colour_has_the_same_window(extension: str, factor: int, white: int) -> None:
    """reliability row 6: one rule for grey and for colour."""
    deep = scene().astype(np.uint16) * factor
    expected = np.rint(deep * (255 / white)).astype(np.uint8)
    assert np.array_equal(decode(by_opencv(deep, extension), white=white), expected)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_the_depth_of_a_file_is_known_from_its_beginning(tmp_path: Path, format: str) -> None:
    for pixels, deep in ((scene(), False), (scene()[..., 0].astype(np.uint16), True)):
        (tmp_path / "image").write_bytes(saved(pixels, format))
        assert is_deep((tmp_path / "image").read_bytes(), max_megapixels=1) is deep
        assert is_deep_file(tmp_path / "image", max_megapixels=1) is deep
    for data in (b"", b"\x89PNG\r\n\x1a\n", saved(scene(), "JPEG")):
        (tmp_path / "image").write_bytes(data)
        assert not is_deep_file(tmp_path / "image", max_megapixels=1)


def test_16_bit_colour_with_alpha() -> None:
    """reliability row 6: of alpha, 65535 is opaque whatever the white point."""
    deep = np.array([[[4095, 0, 0, 65535], [4095, 0, 0, 0]]], np.uint16)
    assert colours(by_opencv(deep, ".png"), white=4095) == [RED, WHITE]


def tiff(values: NDArray[Any], photometric: int = 1, orientation: int = 1) -> bytes:
    """One uncompressed grey strip, with tags that Pillow does not write."""
    height, width = values.shape
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    pixels = values.astype(values.dtype.newbyteorder("<")).tobytes()
    tags = [
        *((256, width), (257, height), (258, values.dtype.itemsize * 8), (259, 1), (262, photometric)),
        *((273, 8), (274, orientation), (277, 1), (278, height), (279, len(pixels)), (339, kind)),
    ]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory + bytes(4)


def test_tiff_where_zero_is_white() -> None:
    """reliability row 6: as radiographs are stored."""
    values = np.array([[0, 30000, 65535]], np.uint16)
    assert [c[0] for c in colours(tiff(values, photometric=0))] == [255, 255 - round(30000 / 257), 0]


def test_32_bit_integers_that_fit() -> None:
    """reliability row 6."""
    assert [c[0] for c in colours(tiff(np.array([[0, 65535]], np.int32)))] == [0, 255]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([[0.0, 1.0]], np.float32), "floating-point pixels"),
        (np.array([[-1, 5]], np.int16), "pixel values from -1 to 5"),
        (np.array([[0, 65536]], np.int32), "pixel values from 0 to 65536"),
    ],
)
def test_depth_without_a_white_point_is_refused(values: NDArray[Any], reason: str) -> None:
    """reliability row 6."""
    with pytest.raises(ImageError, match=reason):
        decode_image(tiff(values), max_megapixels=1)


def turned(orientation: int, format: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return saved(scene(), format, exif=exif.tobytes(), **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_exif_orientation_is_applied_once(format: str, orientation: int) -> None:
    """reliability row 6: all eight, against Pillow's own."""
    data = turned(orientation, format)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB"))
    assert np.array_equal(decode(data), expected)


def test_exif_orientation_of_webp_is_not_applied() -> None:
    """reliability row 6: no more than browsers do, or clicks and masks would lie elsewhere."""
    assert np.array_equal(decode(turned(6, "WEBP", lossless=True)), scene())


def test_image_lying_on_its_side() -> None:
    """reliability row 6: 6 means that the top of the scene is at the right of the file."""
    pixels = decode(turned(6, "PNG"))
    assert np.array_equal(pixels, np.rot90(scene(), -1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_tiff(orientation: int) -> None:
    """reliability row 6: an ordinary tag there; 8 bit, 16 bit grey, and 16 bit colour take different paths."""
    expected = decode(turned(orientation, "PNG"))
    image = Image.fromarray(scene())
    data = saved(image, "TIFF", tiffinfo={274: orientation})
    assert np.array_equal(decode(data), expected)
    grey = tiff(scene()[..., 0].astype(np.uint16) * 257, orientation=orientation)
    assert np.array_equal(decode(grey)[..., 0], expected[..., 0])
    colour = by_opencv(scene().astype(np.uint16) * 257, ".tiff")
    assert np.array_equal(decode(with_tiff_orientation(colour, orientation)), expected)


def with_tiff_orientation(data: bytes, orientation: int) -> bytes:
    """The same TIFF with the tag added, in a directory that is written anew behind the file."""
    assert data[:4] == b"II*\0"
    (offset,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, offset)
    entries = [data[offset + 2 + 12 * i :][:12] for i in range(count)]
    kept = [entry for entry in entries if struct.unpack_from("<H", entry)[0] != 274]
    kept.append(struct.pack("<HHIHH", 274, 3, 1, orientation, 0))
    kept.sort(key=lambda entry: int(struct.unpack_from("<H", entry)[0]))
    directory = struct.pack("<H", len(kept)) + b"".join(kept) + bytes(4)
    body = data + bytes(len(data) % 2)
    return body[:4] + struct.pack("<I", len(body)) + body[8:] + directory


def test_exif_behind_the_pixels_of_a_png() -> None:
    """reliability row 6: browsers have laid out the picture by then."""
    data = turned(6, "PNG")
    start = data.index(b"eXIf") - 4
    end = start + 12 + struct.unpack_from(">I", data, start)[0]
    assert start < data.index(b"IDAT")
    moved = data[:start] + data[end:-12] + data[start:end] + data[-12:]  # in front of IEND
    assert np.array_equal(decode(moved), scene())


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's about the damage
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
def test_damaged_exif_says_nothing(exif: bytes) -> None:
    """reliability row 6."""
    assert decode(saved(scene(), "JPEG", exif=exif)).shape == (48, 64, 3)


def test_orientation_out_of_range_says_nothing() -> None:
    """reliability row 6."""
    assert np.array_equal(decode(turned(9, "PNG")), scene())


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animation_is_its_first_frame(format: str) -> None:
    """reliability row 6."""
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    options = {"lossless": True} if format == "WEBP" else {}
    assert colours(saved(first, format, save_all=True, append_images=[second], **options))[0] == RED


def png_header(width: int, height: int) -> bytes:
    """A PNG of all-zero pixels whose size costs next to nothing until it is decoded."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    pixels = zlib.compress(bytes(1000))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (2_000_000_000, 1), (1, 2_000_000_000)])
def test_decompression_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    """reliability row 6: before any pixel has a place in memory."""
    data = png_header(width, height)
    tracemalloc.start()
    start = time.perf_counter()
    for examine in (decode_image, image_size):
        with pytest.raises(ImageError, match=rf"{width} x {height} = \d+ megapixels; the limit is 120"):
            examine(data, max_megapixels=120)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert time.perf_counter() - start < 1.0


def test_image_of_exactly_the_limit_is_decoded() -> None:
    """reliability row 6: also above the limit that Pillow has of its own."""
    data = saved(np.zeros((1000, 1000), np.uint8), "PNG")
    assert decode(data, max_megapixels=1.0).shape == (1000, 1000, 3)
    with pytest.raises(ImageError, match=r"the limit is 0\.999"):
        decode_image(data, max_megapixels=0.999)


def test_pillows_own_limit_does_not_interfere() -> None:
    with pytest.raises(ImageError, match="damaged"):  # and no DecompressionBombError or warning before that
        decode_image(png_header(20_000, 10_000), max_megapixels=1000)


@pytest.mark.parametrize(("width", "height"), [(0, 10), (10, 0), (0, 0)])
def test_image_without_pixels_is_refused(width: int, height: int) -> None:
    """reliability row 6."""
    with pytest.raises(ImageError):
        decode_image(png_header(width, height), max_megapixels=1)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_truncated_file_is_refused(format: str, part: float) -> None:
    """reliability row 6: half a picture would be labelled as if it were whole."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    data = saved(noise, format)
    with pytest.raises(ImageError, match=r"damaged|not an image"):
        decode_image(data[: int(len(data) * part)], max_megapixels=1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"  <!DOCTYPE html><html>Log in</html>", "a web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"%PDF-1.7", "not an image of a known kind"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known kind"),
        (bytes(100), "not an image of a known kind"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, reason: str) -> None:
    """reliability row 6: PostScript, which Pillow would hand to a program, is among it."""
    for examine in (decode_image, image_size):
        with pytest.raises(ImageError, match=reason):
            examine(data, max_megapixels=1)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's about the damage
def test_random_damage_is_an_image_error_or_an_image() -> None:
    """reliability row 6: no other exception, whatever the bytes."""
    random = np.random.default_rng(7)
    whole = [saved(scene(), format) for format in ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP")]
    whole.append(by_opencv(scene().astype(np.uint16), ".png"))
    for data in whole:
        for _ in range(60):
            damaged = bytearray(data)
            for position in random.integers(0, len(data), 6):
                damaged[position] = random.integers(0, 256)
            try:
                assert decode_image(bytes(damaged), max_megapixels=1).dtype == np.uint8
            except ImageError as error:
                assert str(error)
