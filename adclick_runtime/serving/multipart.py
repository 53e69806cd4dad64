"""The one file of a form (RFC 7578), cut out of a body that is there as a whole."""

from __future__ import annotations

from email.message import Message
from email.parser import BytesHeaderParser

from adclick_runtime.errors import ApiError

_HINT = "send the image as one file of the form, as in curl -F image=@part.png"


def file_of(body: bytes, content_type: str) -> bytes:
    """The bytes of the file.

    Args:
        body: of the request.
        content_type: value of its header, which names the boundary.

    Raises:
        ApiError: 400, where the form is damaged, or has another number of files than one.
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if not boundary:
        raise _bad(f"The form has no boundary: {_HINT}.")
    delimiter = b"--" + boundary.encode("latin-1", "replace")
    files = []
    at = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if at == 1:
        raise _bad(f"The form has no part: {_HINT}.")
    while body[at + len(delimiter) : at + len(delimiter) + 2] != b"--":
        start = body.find(b"\r\n\r\n", at)
        end = body.find(b"\r\n" + delimiter, at + len(delimiter))
        if start < 0 or end < start:
            raise _bad(f"The form ends within a part: {_HINT}.")
        part = BytesHeaderParser().parsebytes(body[body.find(b"\r\n", at) + 2 : start + 4])
        if part.get_filename() is not None:
            files.append((start + 4, end))
        at = end + 2
    if len(files) != 1:
        raise _bad(f"The form has {len(files)} files: {_HINT}.")
    ((start, end),) = files
    return body[start:end]


def _bad(message: str) -> ApiError:
    return ApiError(400, "bad_request", message)
