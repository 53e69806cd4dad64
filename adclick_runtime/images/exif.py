"""The one thing of EXIF data that counts here: how the picture is to be turned."""

from __future__ import annotations

from adclick_runtime.images.tiff_tags import tags
from adclick_runtime.images.upright import ORIENTATION


def orientation(exif: bytes) -> int:
    """The EXIF orientation, 1 to 8; 1 where it is missing, damaged or none of these.

    Args:
        exif: from the byte order on.
    """
    try:
        found = tags(exif).get(ORIENTATION, (1,))[0]
    except ValueError:
        return 1
    return found if 1 <= found <= 8 else 1
