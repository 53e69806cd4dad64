"""``Content-Encoding`` undone, piece by piece and never beyond a limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator

_UNDONE = frozenset({"gzip", "x-gzip", "deflate"})
_NOT_HERE = frozenset({"br", "zstd", "compress", "x-compress", "dcb", "dcz"})
_STEP = 256 * 1024  # bytes that a decoder gives at a time, so that a bomb is noticed before it is large


def decoded(pieces: Iterable[bytes], codings: str, *, refuse: Callable[[str], Exception]) -> Iterator[bytes]:
    """The body behind a ``Content-Encoding`` header, as it comes in.

    Args:
        pieces: what the server sent.
        codings: value of the header, "" for none. Applied in this order, so undone from the last one on.
        refuse: makes the exception that is raised for a coding that is not known, or for damaged data, of the rest
            of a sentence that begins with the address.
    """
    names = [name.strip().lower() for name in codings.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    for name in names:
        if name in _NOT_HERE:
            raise refuse(
                f"came with the Content-Encoding {name!r}, which was not asked for and cannot be undone here. Let "
                "that server send the image as it is, or with gzip"
            )
    if all(name in _UNDONE for name in names):  # else the header is no coding at all, and browsers ignore it
        for name in reversed(names):
            pieces = _inflated(pieces, name, refuse)
    yield from pieces


def _inflated(pieces: Iterable[bytes], name: str, refuse: Callable[[str], Exception]) -> Iterator[bytes]:
    inflater = None
    for piece in pieces:
        if inflater is None:
            inflater = zlib.decompressobj(_window(piece, name))
        while piece and not inflater.eof:  # what follows the end is ignored, as browsers do
            try:
                yield inflater.decompress(piece, _STEP)
            except zlib.error as error:
                raise refuse(
                    f"came with the Content-Encoding {name!r}, but is not compressed that way ({error})"
                ) from error
            piece = inflater.unconsumed_tail
    if inflater is not None and not inflater.eof:
        raise refuse(f"ended before its Content-Encoding {name!r} did")


def _window(start: bytes, name: str) -> int:
    """What zlib is to expect; of "deflate" there are two readings, with a header and without."""
    if name != "deflate":
        return 16 + zlib.MAX_WBITS
    with_header = len(start) >= 2 and start[0] & 15 == 8 and (start[0] << 8 | start[1]) % 31 == 0
    return zlib.MAX_WBITS if with_header else -zlib.MAX_WBITS
