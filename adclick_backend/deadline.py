"""The time that what this thread does may still take: everything that waits asks for it.

Label Studio gives up after 100 s, a person much sooner. What is waited for one after the other (a lock, a connection,
a second attempt) shares one deadline, so that the waits cannot add up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

LONG_ANSWER = "adclick.long_answer"
"""In the WSGI environ, where the server has it: called by an app whose answer takes as long as its client takes it, so
that the thread waits for the client instead of piling the answer up."""


class _Limits(NamedTuple):
    began: float  # of time.monotonic
    ends: float


_limits: ContextVar[_Limits | None] = ContextVar("limits", default=None)


@contextmanager
def within(seconds: float, *, waited: float = 0.0) -> Iterator[None]:
    """Give what the block does `seconds`, of which `waited` are over.

    A block inside another one shares its beginning, and ends no later.
    """
    outer = _limits.get()
    began = time.monotonic() - waited if outer is None else outer.began
    ends = began + seconds if outer is None else min(began + seconds, outer.ends)
    token = _limits.set(_Limits(began, ends))
    try:
        yield
    finally:
        _limits.reset(token)


def remaining(most: float) -> float:
    """Seconds that are left, at most `most` and never below 0; `most` where there is no deadline."""
    limits = _limits.get()
    return most if limits is None else max(0.0, min(most, limits.ends - time.monotonic()))


def total(most: float) -> float:
    """Seconds that there were from the beginning on, at most `most`; for sentences."""
    limits = _limits.get()
    return most if limits is None else min(most, limits.ends - limits.began)
