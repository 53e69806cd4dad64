"""glibc's heap, told to keep what this process will need again."""

from __future__ import annotations

import ctypes

# The numbers of <malloc.h>.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

KEPT_BYTES = 512 * 2**20
"""Free memory at the end of the heap that is not given back."""

MAPPED_BYTES = 32 * 2**20
"""From so many bytes on a block of memory is given back when it is freed; glibc takes no larger number."""


def keep_freed_memory() -> None:
    """Keep freed memory for the next image, in one heap of all threads. Before any thread is started.

    Every image needs a few hundred megabytes for some tenths of a second. By itself glibc gives most of them back each
    time, and the system fills them with zeros anew: 8 000 to 70 000 pages an image, a tenth of the time that opening it
    takes. And it has a heap for every few threads, each with free memory of its own. Where the C library is another
    one, nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # Windows; macOS, musl
        return
    for parameter, value in (
        (_ARENA_MAX, 1),
        (_MMAP_THRESHOLD, MAPPED_BYTES),
        (_TRIM_THRESHOLD, KEPT_BYTES),
    ):
        mallopt(parameter, value)
