"""Arguments that several commands have; numbers out of their range are refused in words.

The ranges are those of the settings that the arguments become, so both refuse the same numbers in the same words.
"""

from __future__ import annotations

import argparse

from model.checkpoint.manifest import BACKBONES
from model.checkpoint.ranges import COUNT, NONE_OR_MORE, NOT_NEGATIVE, POSITIVE, SEED, SHARE, Range
from model.features.number_format import AUTO, CHOICES


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


def add_behind(parser: argparse.ArgumentParser) -> None:
    """Declare ``--behind``, a packaged backbone."""
    parser.add_argument(
        "--behind",
        choices=tuple(BACKBONES),
        default=next(iter(BACKBONES)),
        help="packaged backbone that is seen with (default: %(default)s)",
    )


def add_number_format(parser: argparse.ArgumentParser) -> None:
    """Declare ``--number-format``, one of :data:`model.features.number_format.CHOICES`."""
    parser.add_argument(
        "--number-format",
        choices=CHOICES,
        default=AUTO,
        help="in which networks compute; auto is bfloat16 where the processor has it in hardware, else float32 "
        "(default: %(default)s)",
    )
