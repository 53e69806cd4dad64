"""How much memory hostile annotations and images take, each in a process of its own (row "hostile size")."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

START = """
import struct, sys, zlib
import numpy as np
from adclick_backend.brush.rle import encode_rle
from adclick_backend.labels.results import Drawn, Statement, draw_label
from adclick_backend.store import Answer
from adclick_backend.store.answers import pack_map, pack_mask

def region(kind, **value):
    return {"id": kind, "type": f"{kind}labels", "original_width": 4000, "original_height": 3000, "value": value}

mask = np.zeros((3000, 4000), bool)
mask[1000:1400, 1000:1500] = True
rle = encode_rle(mask)
"""
# Not getrusage: what that says begins with the memory of the process that started this one.
END = """
(held,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(held.split()[1]) / 1e6)
"""

ANNOTATIONS = {
    "60 clicked masks": """
brush = region("brush", rle=rle)
answer = Answer("1", 1, "brush", "x", ((1200.0, 1200.0, True),), "", "", (), (3000, 4000), pack_mask(rle), (384, 512),
                pack_map(np.full((384, 512), 0.25, np.float32)), 0.0)
drawn = tuple(Drawn("x", "clicked", brush) for _ in range(60))
draw_label(Statement(drawn), "x", 3000, 4000, {"brush": answer})
""",
    "200 rectangles": """
box = region("rectangle", x=10, y=10, width=20, height=20)
draw_label(Statement(tuple(Drawn("x", "box", box) for _ in range(200))), "x", 3000, 4000, {})
""",
    "200 painted masks and rectangles": """
box, brush = region("rectangle", x=10, y=10, width=20, height=20), region("brush", rle=rle)
drawn = [Drawn("x", *one) for one in (("box", box), ("mask", brush)) for _ in range(100)]
draw_label(Statement(tuple(drawn)), "x", 3000, 4000, {})
""",
}
IMAGE = r"""
from adclick_backend.images.task_images import LoadedImage

def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

side = 10_900
row, packed = b"\0" + b"\x40\x01\x20\x02\x10\x03\x80\x04" * side, zlib.compressobj(9)
pixels = b"".join(packed.compress(row) for _ in range(side)) + packed.flush()
header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0))
data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
image = LoadedImage(data, 120)
shown = image.read(image.brightness.white)
assert len(data) < 2e6 and shown.shape == (side, side, 3)
"""


def peak(program: str) -> float:
    """Gigabytes that a program has held at most."""
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", START + program + END],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in other units")
@pytest.mark.parametrize("name", ANNOTATIONS)
def test_many_regions_of_a_large_image_take_the_memory_of_a_few(name: str) -> None:
    """All of them at once took 4 to 5 GB."""
    assert peak(ANNOTATIONS[name]) < 0.8


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in other units")
def test_a_small_file_with_119_megapixels_of_16_bit_takes_less_than_two_gigabytes() -> None:
    """It took 3."""
    assert peak(IMAGE) < 2.2
