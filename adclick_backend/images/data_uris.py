"""Images that a task holds itself, as ``data:`` URIs. Nothing is fetched."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from adclick_backend.errors import ImageError


def is_data_uri(url: str) -> bool:
    """Whether an address is the image itself."""
    return url[:5].lower() == "data:"


def read_data_uri(url: str, *, max_bytes: int) -> bytes:
    """The bytes in a ``data:`` URI, in base64 or percent-encoded, as browsers read them.

    Raises ImageError when it announces anything but an image, is damaged, or holds more than `max_bytes`.
    """
    header, comma, body = url[5:].partition(",")
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    if not comma or not kind.startswith("image/"):
        raise ImageError(
            f"The image address {url[:60]!r} is no image: one begins as data:image/png;base64, does."
        )
    too_large = ImageError(
        f"The image in the task's data: address is larger than {max_bytes / 1e6:g} MB (ADCLICK_MAX_IMAGE_MB), so it "
        "was not read."
    )
    if len(body) > 4 * max_bytes:  # every byte takes three characters at most, where it is written as %00
        raise too_large
    data = unquote_to_bytes(body.partition("#")[0])
    if "base64" in parameters[-1:]:
        data = _from_base64(data)
    if len(data) > max_bytes:
        raise too_large
    return data


def _from_base64(text: bytes) -> bytes:
    """Base64 with or without its padding, with white space anywhere."""
    text = re.sub(rb"[\t\n\f\r ]", b"", text).rstrip(b"=")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ImageError(f"The image in the task's data: address is not base64: {error}.") from error
