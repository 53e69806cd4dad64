"""Numbers of the command line that have to lie in a range, for ``type`` of an argument; others are refused in words."""

from __future__ import annotations

import argparse


def at_least_one(text: str) -> int:
    """A whole number from 1 on."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few, it takes at least 1")
    return number


def share(text: str) -> float:
    """A number from 0 to 1."""
    if not 0 <= (number := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{number:g} is no share, which goes from 0 to 1")
    return number
