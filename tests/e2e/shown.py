"""What a browser shows of image files, pixel by pixel."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tests.helpers.image_files import ImageFile
from tests.helpers.local_server import LocalServer, Reply, Request

if TYPE_CHECKING:
    from playwright.sync_api import Page

# An <img> as Label Studio has it, drawn onto the white of the page; null when the browser cannot show it.
_PIXELS = """async url => {
  const image = new Image();
  image.src = url;
  try { await image.decode(); } catch (error) { return null; }
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", {colorSpace: "srgb", willReadFrequently: true});
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
  return [canvas.height, canvas.width, btoa(String.fromCharCode(...data))];
}"""


def shown_by(page: Page, files: Sequence[ImageFile]) -> dict[str, NDArray[np.uint8] | None]:
    """Kind -> RGB (H, W, 3) uint8 on white, None where nothing is shown. The files are small."""

    def answer(request: Request) -> Reply | None:
        if request.path == "/":
            return Reply(body=b"<!DOCTYPE html>", headers={"Content-Type": "text/html"})
        number = request.path.strip("/").partition(".")[0]
        if not number.isdigit():
            return None
        file = files[int(number)]
        kind = mimetypes.guess_type(f"x{file.suffix}")[0] or "application/octet-stream"
        return Reply(body=file.data, headers={"Content-Type": kind})

    with LocalServer(answer) as server:
        page.goto(server.url)
        return {
            file.kind: _pixels(page.evaluate(_PIXELS, f"/{number}{file.suffix}"))
            for number, file in enumerate(files)
        }


def _pixels(found: tuple[int, int, str] | None) -> NDArray[np.uint8] | None:
    if found is None:
        return None
    height, width, data = found
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3].copy()
