"""The text in a generated picture that says so, and all that is known of it. Imports no network."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

TEXT = "adclick"
"""Key of the text in a picture that holds, as JSON, all that is known of it."""

SAYS = "This picture is generated: the defect in it was painted by a network and is not real."
"""What other programs show as the description of a picture."""


def stamped_png(pixels: NDArray[np.uint8] | NDArray[np.bool_], told: Mapping[str, Any]) -> bytes:
    """A picture (H, W, 3) uint8 RGB, or a mask (H, W) bool, as a PNG file that says that it is generated, and more.

    Args:
        pixels: of the picture.
        told: what is known of it, as JSON has it.
    """
    texts = PngInfo()
    texts.add_itxt("Description", SAYS)
    texts.add_itxt(TEXT, json.dumps({"generated": True, **told}, ensure_ascii=False))
    data = io.BytesIO()
    shown = pixels.astype(np.uint8) * 255 if pixels.dtype == np.bool_ else pixels
    Image.fromarray(shown).save(data, "PNG", pnginfo=texts)
    return data.getvalue()


def read_stamp(path: Path, *, whole: bool = False) -> dict[str, Any] | None:
    """What is told of a picture; None of one that cannot be read or does not say that it is generated.

    Args:
        path: of the picture.
        whole: read its pixels too, so that a damaged one is found out.
    """
    try:
        with Image.open(path) as picture:
            told = json.loads(picture.info[TEXT])
            if whole:
                picture.verify()
    except (OSError, SyntaxError, UnidentifiedImageError, KeyError, TypeError, ValueError):
        return None
    return told if isinstance(told, dict) and told.get("generated") is True else None
