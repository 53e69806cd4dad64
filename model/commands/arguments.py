"""Numbers of the command line that have to lie in a range, for ``type`` of an argument; others are refused in words.

The ranges are those of the settings that the arguments become, so both refuse the same numbers in the same words.
"""

from __future__ import annotations

import argparse

from model.checkpoint.ranges import COUNT, NONE_OR_MORE, NOT_NEGATIVE, POSITIVE, SEED, SHARE, Range


def at_least_one(text: str) -> int:
    """A whole number from 1 on."""
    return int(_within(COUNT, int(text)))


def none_or_more(text: str) -> int:
    """A whole number from 0 on."""
    return int(_within(NONE_OR_MORE, int(text)))


def seed(text: str) -> int:
    """A whole number from 0 on that everything random follows from."""
    return int(_within(SEED, int(text)))


def share(text: str) -> float:
    """A number from 0 to 1."""
    return _within(SHARE, float(text))


def above_zero(text: str) -> float:
    """A finite number above 0."""
    return _within(POSITIVE, float(text))


def not_negative(text: str) -> float:
    """A finite number from 0 on."""
    return _within(NOT_NEGATIVE, float(text))


def _within(allowed: Range, number: float) -> float:
    if (why := allowed.refusal(number)) is not None:
        raise argparse.ArgumentTypeError(why)
    return number
